"""Late fusions of a comparison share the fits of equal members, and say the same as each does alone."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sksurv.ensemble import RandomSurvivalForest

from sksurv_mmf import LateFusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort
from sksurv_mmf.late_fusion._shared_fits import shared_fits
from sksurv_mmf.model_selection import compare_models
from sksurv_mmf.presets import baselines


class Counted(RandomSurvivalForest):
    """A forest that counts its fits."""

    fits = 0

    def fit(self, X, y):
        Counted.fits += 1
        return super().fit(X, y)


class Unseeded(BaseEstimator):
    """A risk from a generator that nobody knows."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.risk_ = np.random.default_rng(self.random_state).standard_normal()
        return self

    def predict(self, X):
        return X.iloc[:, 0].to_numpy() * self.risk_


@pytest.fixture(scope="module")
def cohort():
    return load_breast_cancer_cohort()


def late_fusion(combine, forest):
    return LateFusionSurvivalAnalysis([("rna", forest), ("clinical", forest)], combine=combine, cv=2)


def test_members_are_fitted_once_whatever_asks_for_them(cohort):
    forest = Counted(5, min_samples_leaf=20, random_state=0)
    X = cohort.X.filter(regex="__(age|size|.*_at)$")
    models = {combine: late_fusion(combine, forest) for combine in ("rank", "stack")}

    def run(models):
        Counted.fits = 0
        comparison = compare_models(models, X, cohort.y, 2, scoring="harrell")
        assert not comparison.fits["error"].any()
        return Counted.fits, comparison

    n_alone, rank = run({"rank": models["rank"]})
    assert n_alone == 2 * 2 * 3  # folds, members, and two inner folds beside the final fit
    n_fits, both = run(models)
    assert n_fits == n_alone
    _, stack = run({"stack": models["stack"]})
    pd.testing.assert_series_equal(both.summary()["mean"], pd.concat([rank.summary(), stack.summary()])["mean"])


def test_what_is_spared_counts_as_if_it_had_been_spent(cohort, monkeypatch):
    X = cohort.X.filter(regex="__(age|size|.*_at)$")
    forest = Counted(5, min_samples_leaf=20, random_state=0)
    ticks = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))  # a second between any two looks
    models = {combine: late_fusion(combine, forest) for combine in ("rank", "stack")}
    seconds = compare_models(models, X, cohort.y, 2, scoring="harrell").fits.set_index("model")["seconds"]
    assert (seconds["stack"] >= 1 + 6).all()  # its own, and six members' of the other


def test_other_patients_parameters_or_outcomes_are_other_fits(cohort):
    X, y = cohort.X.filter(regex="__(age|size|.*_at)$"), cohort.y
    forest = Counted(5, min_samples_leaf=20, random_state=0)
    Counted.fits = 0
    with shared_fits():
        late_fusion("rank", forest).fit(X, y)
        n_fits = Counted.fits
        late_fusion("rank", forest).fit(X, y)
        assert Counted.fits == n_fits
        late_fusion("rank", Counted(5, min_samples_leaf=20, random_state=1)).fit(X, y)
        assert Counted.fits == 2 * n_fits
        other = y.copy()
        other["time"][0] += 1
        late_fusion("rank", forest).fit(X, other)
        assert Counted.fits > 2 * n_fits
        n_fits = Counted.fits
        late_fusion("rank", forest).fit(X.iloc[1:], y[1:])
        assert Counted.fits > n_fits
    n_fits = Counted.fits
    late_fusion("rank", forest).fit(X, y)
    assert Counted.fits > n_fits  # outside of the block nothing is shared


def test_what_is_random_is_not_shared(cohort):
    X = cohort.X.filter(regex="__(age|size|.*_at)$")
    with shared_fits():
        one, two = (late_fusion("stack", Unseeded()).fit(X, cohort.y) for _ in range(2))
    assert one.estimators_["rna"].risk_ != two.estimators_["rna"].risk_


def test_late_fusions_of_the_presets_share_all_members(cohort):
    X = pd.concat([cohort.X.filter(regex="^rna").iloc[:, :5], cohort.X.filter(regex="^clinical")], axis=1)
    models = baselines(image=None, random_state=0)
    one, two = (models[f"Late fusion, {combine}"].set_params(fuse__cv=2) for combine in ("rank", "stack"))
    with shared_fits() as shared:
        one.fit(X, cohort.y)
        n_fits = len(shared.known)
        two.fit(X, cohort.y)
    assert n_fits == 2 * 3  # members, two inner folds beside the final fit
    assert len(shared.known) == n_fits


def test_members_that_cannot_be_pickled_are_fitted_as_ever(cohort):
    X = cohort.X.filter(regex="__(age|size|.*_at)$")
    forest = RandomSurvivalForest(3, min_samples_leaf=30, random_state=0)
    scaled = make_pipeline(FunctionTransformer(lambda table: table * 2), forest)
    comparison = compare_models({"late": late_fusion("rank", scaled)}, X, cohort.y, 2, scoring="harrell")
    assert not comparison.fits["error"].any()
