"""From the modality vectors of a patient to one."""

from ._base import Fusion
from ._bilinear import Bilinear
from ._co_attention import CoAttention
from ._concat import Concat
from ._cross_modal_attention import CrossModalAttention
from ._gated_attention import GatedAttention
from ._mean import Mean
from ._survpath import SurvPath

__all__ = ["Bilinear", "CoAttention", "Concat", "CrossModalAttention", "Fusion", "GatedAttention", "Mean", "SurvPath"]
