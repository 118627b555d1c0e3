"""Sizes that are slips of digits are refused by name, before memory is taken for them."""

import tracemalloc

import pytest

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL, DeepAttnMISL, MaxMIL, MeanMIL, PathwaySNN, TransformerMIL
from sksurv_mmf.fusions import Bilinear, CoAttention, Concat, CrossModalAttention, GatedAttention, SurvPath
from sksurv_mmf.inspection import CalibrationDisplay, feature_importance, fusion_audit, integrated_gradients
from sksurv_mmf.model_selection import ModelComparison
from sksurv_mmf.preprocessing import CoxElasticNetSelector

SIZES = ("hidden_dim", "attention_dim", "feedforward_dim", "head_dim", "n_inducing", "rank", "n_layers", "n_heads")
ENCODERS = [MLP, SNN, AttentionMIL, DeepAttnMISL, MaxMIL, MeanMIL, TransformerMIL]
FUSIONS = [Bilinear, CoAttention, Concat, CrossModalAttention, GatedAttention, SurvPath]
PARTS = [*ENCODERS, *FUSIONS, lambda **params: PathwaySNN({"all": ["G0"]}, **params)]


def model(part=None, **params):
    settings = {"n_estimators": 1, "embedding_dim": 4, "max_epochs": 1, "device": "cpu", "random_state": 0} | params
    if isinstance(part, tuple(FUSIONS)):
        return FusionSurvivalAnalysis(fusion=part, **settings)
    modality = "wsi" if getattr(part, "reads", None) == "bag" else "rna"
    return FusionSurvivalAnalysis(encoders={modality: part} if part else None, **settings)


CASES = [
    (make, size)
    for make in PARTS
    for size in SIZES
    if size in getattr(make, "_parameter_constraints", PathwaySNN._parameter_constraints)
]


@pytest.mark.parametrize("value", [10**9, 10**30])
@pytest.mark.parametrize(("make", "size"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_sizes_of_parts(cohort, make, size, value):
    with pytest.raises(ValueError, match=f"'{size}' parameter of .* must be an int in the range"):
        model(make(**{size: value})).fit(cohort.X, cohort.y)


def test_sizes_of_estimators_and_functions(cohort):
    X, y = cohort.X, cohort.y
    genes = X.filter(like="rna__")
    many = 10**9
    calls = {
        "embedding_dim": lambda: model(embedding_dim=many).fit(X, y),
        "n_alphas": lambda: CoxElasticNetSelector(n_alphas=many).fit(genes, y),
        "n_steps": lambda: integrated_gradients(None, X, n_steps=many),
        "n_bootstrap": lambda: fusion_audit(None, "a", n_bootstrap=many),
        "n_groups": lambda: CalibrationDisplay.from_predictions(y, [0.5] * 30, time=1, n_groups=many),
    }
    more = {
        "n_steps": lambda: feature_importance(None, X, cv=2, n_steps=many),
        "n_bootstrap": lambda: ModelComparison.pairwise(None, n_bootstrap=many),
    }
    for name, call in [*calls.items(), *more.items()]:
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            call()


@pytest.mark.parametrize("name", ["n_patients", "n_genes", "n_tiles", "n_tile_features"])
def test_sizes_of_simulated_cohorts(name):
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"{name}=.*10000000000.* numbers, more than the 2e\\+09"):
        make_multimodal_survival(**{name: 10**10})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**7
