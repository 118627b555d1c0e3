"""Late fusion: several models, and one that combines what they predict."""

from ._late_fusion import LateFusionSurvivalAnalysis

__all__ = ["LateFusionSurvivalAnalysis"]
