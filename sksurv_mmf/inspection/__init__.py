"""Look at predictions: displays in scikit-learn's convention, and exports for viewers of slides."""

from ._comparison import ComparisonDisplay
from ._export_tiles import export_geojson, export_tiles
from ._modality_attention import ModalityAttentionDisplay
from ._risk_groups import RiskGroupDisplay
from ._tile_attention import TileAttentionDisplay

__all__ = [
    "ComparisonDisplay",
    "ModalityAttentionDisplay",
    "RiskGroupDisplay",
    "TileAttentionDisplay",
    "export_geojson",
    "export_tiles",
]
