"""Look at predictions: displays in scikit-learn's convention."""

from ._comparison import ComparisonDisplay
from ._modality_attention import ModalityAttentionDisplay
from ._risk_groups import RiskGroupDisplay
from ._tile_attention import TileAttentionDisplay

__all__ = ["ComparisonDisplay", "ModalityAttentionDisplay", "RiskGroupDisplay", "TileAttentionDisplay"]
