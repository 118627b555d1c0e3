"""Look at predictions: what they rest on, displays in scikit-learn's convention, and exports for viewers of slides."""

from ..model_selection._comparison_display import ComparisonDisplay
from ..model_selection._fusion_audit import FusionAudit, fusion_audit
from ._calibration import CalibrationDisplay
from ._export_tiles import export_geojson, export_tiles
from ._feature_importance import FeatureImportance, feature_importance
from ._integrated_gradients import integrated_gradients
from ._modality_attention import ModalityAttentionDisplay
from ._modality_importance import ModalityImportance, modality_importance
from ._risk_groups import RiskGroupDisplay
from ._tile_attention import TileAttentionDisplay

__all__ = [
    "CalibrationDisplay",
    "ComparisonDisplay",
    "FeatureImportance",
    "FusionAudit",
    "ModalityAttentionDisplay",
    "ModalityImportance",
    "RiskGroupDisplay",
    "TileAttentionDisplay",
    "export_geojson",
    "export_tiles",
    "feature_importance",
    "fusion_audit",
    "integrated_gradients",
    "modality_importance",
]
