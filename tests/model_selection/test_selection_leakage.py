"""The size of the leak: large on noise, small where genes were not selected by the outcome."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold, selection_leakage
from sksurv_mmf.preprocessing import CoxElasticNetSelector


def correlation_with_time(X, y):
    """A cheap selection by the outcome."""
    early = y["event"] - np.log(y["time"])
    return np.abs((early - early.mean()) @ X)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(100, 500)), [f"P{i}" for i in range(100)], [f"G{i}" for i in range(500)])
    return X, Surv.from_arrays(rng.random(100) < 0.6, rng.exponential(size=100))


def select_and_fit(transformer):
    return Pipeline([("scale", StandardScaler()), ("select", transformer), ("cox", CoxPHSurvivalAnalysis(alpha=10.0))])


def test_noise_that_was_selected_on_all_patients_predicts_them(noise):
    pipeline = select_and_fit(SelectKBest(correlation_with_time, k=15))
    leak = selection_leakage(pipeline, *noise, RepeatedSurvivalKFold(4, 3, random_state=0), random_state=0)
    mean = leak.summary().loc["harrell", "mean"]
    assert mean["selection beforehand"] > 0.75
    assert abs(mean["selection inside folds"] - 0.5) < 0.07
    row = leak.pairwise().loc[("selection beforehand", "selection inside folds")]
    assert row["better"] == "selection beforehand"
    assert row["t_p"] < 0.001
    assert row["boot_lower"] > 0.1


def test_the_selector_of_this_package_leaks_too_if_it_is_misused(noise):
    selector = CoxElasticNetSelector(cv=3, n_alphas=15, alpha_min_ratio=0.3, min_features=5, random_state=0)
    leak = selection_leakage(make_pipeline(selector, CoxPHSurvivalAnalysis(alpha=1.0)), *noise, 4)
    mean = leak.summary().loc["harrell", "mean"]
    assert mean["selection beforehand"] > 0.7
    assert abs(mean["selection inside folds"] - 0.5) < 0.12
    assert (leak.fits["error"] == "").all()


def test_what_does_not_see_the_outcome_does_not_leak(noise):
    leak = selection_leakage(select_and_fit(PCA(5, random_state=0)), *noise, 4, random_state=0)
    row = leak.pairwise().iloc[0]
    assert abs(row["difference"]) < 0.1
    assert row["t_p"] > 0.05


def test_both_are_the_models_fitted_by_hand(noise):
    X, y = noise
    pipeline = select_and_fit(SelectKBest(correlation_with_time, k=5))
    leak = selection_leakage(pipeline, X, y, 4)
    assert leak.reference == "selection inside folds"
    selected = pipeline[:-1].fit(X, y).transform(X)
    score = leak.scores.set_index(["model", "fold"])["value"]
    for fold, (train, test) in enumerate(SurvivalKFold(4).split(X, y)):
        inside = pipeline.fit(X.iloc[train], y[train]).score(X.iloc[test], y[test])
        outside = CoxPHSurvivalAnalysis(alpha=10.0).fit(selected[train], y[train]).score(selected[test], y[test])
        assert score["selection inside folds", fold] == pytest.approx(inside, rel=1e-12)
        assert score["selection beforehand", fold] == pytest.approx(outside, rel=1e-12)


def test_up_to_a_step_only_what_stands_before_is_fitted_beforehand(noise):
    pipeline = select_and_fit(SelectKBest(correlation_with_time, k=15))
    scaling = selection_leakage(pipeline, *noise, 4, step="scale").summary().loc["harrell", "mean"]
    assert scaling["selection beforehand"] < 0.6
    selection = selection_leakage(pipeline, *noise, 4, step="select").summary()
    pd.testing.assert_frame_equal(selection, selection_leakage(pipeline, *noise, 4).summary())


def test_the_pipeline_is_left_unfitted_and_the_cache_keeps_both_apart(noise, tmp_path):
    pipeline = select_and_fit(SelectKBest(correlation_with_time, k=5))
    first = selection_leakage(pipeline, *noise, 4, cache=tmp_path)
    second = selection_leakage(pipeline, *noise, 4, cache=tmp_path)
    pd.testing.assert_frame_equal(first.risks, second.risks)
    pd.testing.assert_frame_equal(first.risks, selection_leakage(pipeline, *noise, 4).risks)
    assert not hasattr(pipeline["select"], "scores_")


def test_what_has_no_selection_is_refused(noise):
    for wrong in (CoxPHSurvivalAnalysis(), make_pipeline(CoxPHSurvivalAnalysis())):
        with pytest.raises(ValueError, match="must be a Pipeline of at least one transformer and a survival estimator"):
            selection_leakage(wrong, *noise)
    search = GridSearchCV(select_and_fit(PCA(2)), {"cox__alpha": [1.0]})
    with pytest.raises(ValueError, match="A search for parameters belongs inside"):
        selection_leakage(search, *noise)
    with pytest.raises(ValueError, match="step='cox' is no transformer of the pipeline; there are 'scale', 'select'"):
        selection_leakage(select_and_fit(PCA(2)), *noise, step="cox")
