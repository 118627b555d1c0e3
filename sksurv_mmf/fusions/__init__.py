"""From the modality vectors of a patient to one."""

from ._base import Fusion
from ._bilinear import Bilinear
from ._concat import Concat
from ._cross_modal_attention import CrossModalAttention
from ._gated_attention import GatedAttention
from ._mean import Mean

__all__ = ["Bilinear", "Concat", "CrossModalAttention", "Fusion", "GatedAttention", "Mean"]
