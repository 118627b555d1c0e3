import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN, AttentionMIL, Identity, PathwaySNN, TileTokens
from sksurv_mmf.fusions import Bilinear, CrossModalAttention, Mean, SurvPath
from sksurv_mmf.inspection import integrated_gradients
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.preprocessing import make_modality_transformer

SETTINGS = {"n_estimators": 1, "embedding_dim": 8, "max_epochs": 3, "lr": 0.001, "random_state": 0, "device": "cpu"}
GENES = [f"rna__G{i}" for i in range(4)]


def at_baseline(X, baseline):
    return X.assign(**dict(zip(GENES, baseline)))


def test_a_linear_risk_is_attributed_exactly(cohort):
    # The risk is linear in the genes, so each gene's attribution is what it alone changes.
    model = FusionSurvivalAnalysis([("rna", Identity())], Mean(), CoxPH(), normalization=None, **SETTINGS).fit(
        cohort.X[GENES], cohort.y
    )
    found = integrated_gradients(model, cohort.X[GENES], n_steps=1)
    mean = cohort.X[GENES].mean()
    baseline = at_baseline(cohort.X[GENES], mean)
    for gene in GENES:
        alone = model.predict(baseline.assign(**{gene: cohort.X[gene]})) - model.predict(baseline)
        np.testing.assert_allclose(found[gene], alone, atol=1e-5)
    slope = found / (cohort.X[GENES] - mean)
    np.testing.assert_allclose(slope, np.broadcast_to(slope.iloc[0], slope.shape), rtol=1e-3)


AMIL_SNN = [("wsi", AttentionMIL(hidden_dim=8)), ("rna", SNN(8))]
TOKENS = [("wsi", TileTokens()), ("rna", PathwaySNN({"one": ["G0", "G1"], "two": ["G2", "G3"]}, min_genes=1))]


@pytest.mark.parametrize("objective", [DiscreteHazard(), CoxPH(), Weibull()])
@pytest.mark.parametrize(
    ("encoders", "fusion", "normalization", "tolerance"),
    [
        (AMIL_SNN, CrossModalAttention(), "layer", 0.02),
        (AMIL_SNN, Bilinear(), None, 0.02),
        (TOKENS, SurvPath(hidden_dim=16), None, 0.1),  # its own layer normalisation bends the path sharply
    ],
)
def test_attributions_sum_to_the_change_of_risk(cohort, encoders, fusion, normalization, tolerance, objective):
    X = cohort.X.copy()
    X.iloc[:3, 0] = pd.NA
    X.iloc[3:6, 1:] = np.nan
    model = FusionSurvivalAnalysis(encoders, fusion, objective, normalization=normalization, **SETTINGS).fit(
        X, cohort.y
    )
    found = integrated_gradients(model, X, n_steps=300)
    assert found.index.equals(X.index.delete([3, 4, 5]))
    assert found.columns.tolist() == GENES
    have = X.loc[found.index]
    change = model.predict(have) - model.predict(at_baseline(have, have[GENES].mean()))
    np.testing.assert_allclose(found.sum(axis=1), change, atol=tolerance * np.abs(change).max())


def test_attributions_of_an_ensemble_sum_to_the_change_of_its_risk(cohort):
    """The baseline is the mean of what members take for average."""
    X = cohort.X.copy()
    X.iloc[:3, 0] = pd.NA
    model = FusionSurvivalAnalysis(AMIL_SNN, **SETTINGS | {"n_estimators": 3, "lr": 0.01}).fit(X, cohort.y)
    found = integrated_gradients(model, X, n_steps=300)
    means = [one.net_.module_.encoders[1].standardize.mean.numpy() for one in model.estimators_]
    assert np.ptp(means, axis=0).min() > 0
    change = model.predict(X) - model.predict(at_baseline(X, np.mean(means, axis=0)))
    np.testing.assert_allclose(found.sum(axis=1), change, atol=0.02 * np.abs(change).max())
    one_by_one = [integrated_gradients(one, X, n_steps=300) for one in model.estimators_]
    assert not np.allclose(one_by_one[0], one_by_one[1], atol=1e-3)


def test_a_given_baseline_is_where_the_path_begins(cohort):
    model = FusionSurvivalAnalysis(**SETTINGS).fit(cohort.X, cohort.y)
    baseline = [1.0, -1.0, 0.5, 0.0]
    found = integrated_gradients(model, cohort.X, baseline=baseline)
    change = model.predict(cohort.X) - model.predict(at_baseline(cohort.X, baseline))
    np.testing.assert_allclose(found.sum(axis=1), change, atol=0.02 * np.abs(change).max())
    here = integrated_gradients(model, cohort.X.iloc[[0]], baseline=cohort.X.iloc[0][GENES].astype(float))
    np.testing.assert_array_equal(here, 0)


def test_a_patients_attributions_do_not_depend_on_the_others(cohort):
    model = FusionSurvivalAnalysis(**SETTINGS).fit(cohort.X, cohort.y)
    every = integrated_gradients(model, cohort.X)
    some = integrated_gradients(model, cohort.X.iloc[[7, 2]])
    np.testing.assert_allclose(some, every.iloc[[7, 2]], rtol=1e-3, atol=1e-5)


def test_without_standardize_the_baseline_is_zero_and_behind_a_pipeline_features_are_those_that_come_out(cohort):
    X = cohort.X.assign(rna__G2=1.0)
    prepare = make_modality_transformer(rna=make_pipeline(StandardScaler(), VarianceThreshold()))
    model = make_pipeline(prepare, FusionSurvivalAnalysis(standardize=False, **SETTINGS)).fit(X, cohort.y)
    found = integrated_gradients(model, X)
    assert found.columns.tolist() == ["rna__G0", "rna__G1", "rna__G3"]
    change = model.predict(X) - model.predict(at_baseline(X, X[GENES].mean()))
    np.testing.assert_allclose(found.sum(axis=1), change, atol=0.02 * np.abs(change).max())


def test_the_model_is_left_as_it_was(cohort, global_random_state):
    model = FusionSurvivalAnalysis(**SETTINGS).fit(cohort.X, cohort.y)
    risk, state = model.predict(cohort.X), global_random_state()
    integrated_gradients(model, cohort.X)
    np.testing.assert_array_equal(model.predict(cohort.X), risk)
    assert global_random_state() == state
    assert all(parameter.grad is None for parameter in model.net_.module_.parameters())


def test_too_few_steps_are_reported(cohort):
    model = FusionSurvivalAnalysis(**SETTINGS | {"lr": 0.05}).fit(cohort.X, cohort.y)
    with pytest.warns(UserWarning, match=r"With n_steps=1, the sum of attributions misses .* Use more steps"):
        integrated_gradients(model, cohort.X, n_steps=1)


def test_what_cannot_be_explained_is_named(cohort, monkeypatch):
    X, genes = cohort.X, cohort.X[GENES]
    model = FusionSurvivalAnalysis(**SETTINGS).fit(X, cohort.y)
    with pytest.raises(ValueError, match=r"modality='wsi', but one numeric modality .* these are: 'rna'"):
        integrated_gradients(model, X, modality="wsi")
    with pytest.raises(ValueError, match=r"baseline must be 4 finite numbers.*shape \(2,\)"):
        integrated_gradients(model, X, baseline=[0.0, 1.0])
    with pytest.raises(ValueError, match="None of 30 patients has modality 'rna'"):
        integrated_gradients(model, X.assign(**dict.fromkeys(GENES, np.nan)))
    with pytest.raises(TypeError, match=r"a FusionSurvivalAnalysis.*got CoxPHSurvivalAnalysis"):
        integrated_gradients(CoxPHSurvivalAnalysis().fit(genes, cohort.y), genes)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"pip install 'sksurv_mmf\[explain\]'"):
        integrated_gradients(model, X)
