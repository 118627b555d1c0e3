"""Designs of networks, and a fit as the functions of an ensemble see it."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import BagArray
from sksurv_mmf.cohort._reading import read_patients
from sksurv_mmf.encoders import (
    MLP,
    SNN,
    AttentionMIL,
    DeepAttnMISL,
    Encoder,
    MaxMIL,
    MeanMIL,
    PathwaySNN,
    TileTokens,
    TransformerMIL,
)
from sksurv_mmf.fusions import Bilinear, CoAttention, Concat, CrossModalAttention, GatedAttention, Mean, SurvPath
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.outcome._outcome import Outcome


class OwnModule(nn.Sequential):
    out_dim = 8


class Own(Encoder):
    """An encoder as a user may write it."""

    reads = "vector"

    def build(self, n_features, embedding_dim):
        return OwnModule(nn.Linear(n_features, embedding_dim), nn.Dropout(0.5))


GENE_SETS = {"one": ["G0", "G1"], "two": ["G1", "G2", "G3"]}
BAG_ENCODERS = [
    AttentionMIL(6, 4),
    AttentionMIL(6, 4, gated=False, input_dropout=0.2),
    AttentionMIL(6, 4, batch_norm=True),
    DeepAttnMISL(2, hidden_dim=6, attention_dim=4),
    MaxMIL(6),
    MeanMIL(6),
    TileTokens("relu"),
    TransformerMIL(8, n_heads=2, n_layers=1, n_inducing=3),
]
VECTOR_ENCODERS = [
    SNN(6),
    SNN(6, n_layers=2, activation="selu"),
    MLP(6),
    PathwaySNN(GENE_SETS, hidden_dim=4, min_genes=2),
]
ENCODERS = [(bags, SNN(6)) for bags in BAG_ENCODERS] + [(MeanMIL(6), vectors) for vectors in VECTOR_ENCODERS]
FUSIONS = [
    Bilinear(scale=2, hidden_dim=6),
    Bilinear(rank=3, hidden_dim=6),
    CoAttention(n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=6),
    Concat(6),
    CrossModalAttention(hidden_dim=4),
    CrossModalAttention(shared=False, hidden_dim=4, heads="shared", activation="relu"),
    CrossModalAttention(normalize=False, hidden_dim=4),
    GatedAttention(4),
    Mean(),
    Mean(similarity=0.3),
    SurvPath(n_heads=2, hidden_dim=6),
]
OBJECTIVES = [DiscreteHazard(3), DiscreteHazard(3, alpha=0.2, proportional=False), CoxPH(), Weibull()]
DESIGNS = [(bags, vectors, fusion) for bags, vectors in ENCODERS for fusion in FUSIONS]


def name_of(part):
    """Short name of a part, or of several."""
    if isinstance(part, tuple):
        return " + ".join(map(name_of, part))
    switches = [f"{name}={value}" for name, value in part.get_params().items() if isinstance(value, bool | str | float)]
    return f"{type(part).__name__}({', '.join(switches)})"


def network(bags=None, vectors=None, fusion=None, objective=None, **params):
    """A small estimator of tiles and genes."""
    small = {"n_estimators": 3, "embedding_dim": 8, "max_epochs": 2, "batch_size": 8, "lr": 0.01, "device": "cpu"}
    parts = [("wsi", bags or MeanMIL(6)), ("rna", vectors or SNN(6))]
    return FusionSurvivalAnalysis(parts, fusion, objective, **(small | {"random_state": 0} | params))


def lacking(X):
    """The patients, some of whom lack tiles and others genes."""
    X = X.copy()
    X.iloc[[1, 8, 20], 0] = BagArray([None] * 3)
    X.iloc[[2, 9], 1:] = np.nan
    return X


def opened(model, cohort, *, missing=False):
    """Recipe, patients and outcome of a fit."""
    X = lacking(cohort.X) if missing else cohort.X
    recipe = model._recipe(model._plan(X))
    return SimpleNamespace(
        recipe=recipe,
        patients=read_patients(X, recipe.modalities, for_training=True),
        outcome=Outcome.of(cohort.y),
    )


def assert_same_weights(one, other, **tolerance):
    """Equal names and, to a tolerance, equal numbers of two states of a network."""
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
