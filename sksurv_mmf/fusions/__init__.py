"""From the modality vectors of a patient to one."""

from ._base import Fusion
from ._concat import Concat
from ._cross_modal_attention import CrossModalAttention
from ._mean import Mean

__all__ = ["Concat", "CrossModalAttention", "Fusion", "Mean"]
