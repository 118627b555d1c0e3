"""The only place that knows how networks are trained: batches, the skorch net and seeds."""

from ._net import OPTIMIZERS, infer, train
from ._network import NORMALIZATIONS, FusionNetwork, Standardize
from ._patients import BagColumn, Patients, VectorColumn
from ._seeds import draw_seed, torch_seed

__all__ = [
    "NORMALIZATIONS",
    "OPTIMIZERS",
    "BagColumn",
    "FusionNetwork",
    "Patients",
    "Standardize",
    "VectorColumn",
    "draw_seed",
    "infer",
    "torch_seed",
    "train",
]
