"""Multimodal survival analysis with scikit-learn and scikit-survival conventions."""

from .bags._array import BagArray, BagDtype
from .bags._bag import Bag
from .bags._readers import read_bags
from .cohort._join import join_modalities
from .late_fusion._late_fusion import LateFusionSurvivalAnalysis
from .persistence._model import load_model, save_model
from .survival import FusionSurvivalAnalysis

__all__ = [
    "Bag",
    "BagArray",
    "BagDtype",
    "FusionSurvivalAnalysis",
    "LateFusionSurvivalAnalysis",
    "join_modalities",
    "load_model",
    "read_bags",
    "save_model",
]

__version__ = "0.1.0"
