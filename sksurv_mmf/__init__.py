"""Multimodal survival analysis with scikit-learn and scikit-survival conventions."""

from .bags._array import BagArray, BagDtype
from .bags._bag import Bag
from .bags._readers import read_bags
from .bags._slide_vectors import read_slide_vectors
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
    "read_slide_vectors",
    "save_model",
]

__version__ = "0.1.0"
