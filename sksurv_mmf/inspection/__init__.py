"""Look at predictions: displays in scikit-learn's convention."""

from ._calibration import CalibrationDisplay
from ._feature_importance import FeatureImportance, feature_importance
from ._integrated_gradients import integrated_gradients
from ._modality_attention import ModalityAttentionDisplay
from ._risk_groups import RiskGroupDisplay
from ._tile_attention import TileAttentionDisplay

__all__ = [
    "CalibrationDisplay",
    "FeatureImportance",
    "ModalityAttentionDisplay",
    "RiskGroupDisplay",
    "TileAttentionDisplay",
    "feature_importance",
    "integrated_gradients",
]
