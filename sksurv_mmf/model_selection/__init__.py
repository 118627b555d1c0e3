"""Splitting cohorts and comparing models."""

from ._compare import compare_models
from ._comparison import ModelComparison
from ._groups import tissue_source_site
from ._kaplan_meier import KaplanMeier
from ._leakage import selection_leakage
from ._split import RepeatedSurvivalKFold, SurvivalKFold

__all__ = [
    "KaplanMeier",
    "ModelComparison",
    "RepeatedSurvivalKFold",
    "SurvivalKFold",
    "compare_models",
    "selection_leakage",
    "tissue_source_site",
]
