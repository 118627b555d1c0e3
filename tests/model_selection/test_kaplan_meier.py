"""The curve for everybody is Kaplan's and Meier's, and what a Brier score is compared with."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sksurv.metrics import brier_score
from sksurv.util import Surv

from sksurv_mmf.model_selection import KaplanMeier, compare_models

X = pd.DataFrame({"age": [50.0, 60, 70, 80]}, index=list("ABCD"))
Y = Surv.from_arrays([True, False, True, True], [2.0, 3.0, 4.0, 9.0])


@pytest.fixture
def model():
    return KaplanMeier().fit(X, Y)


def test_it_is_the_product_by_hand(model):
    assert_array_equal(model.unique_times_, [0, 2, 3, 4, 9])
    assert_allclose(model.survival_, [1, 3 / 4, 3 / 4, 3 / 4 / 2, 0])
    curves = model.predict_survival_function(X)
    assert_allclose(curves[0]([0, 1.9, 2, 3.9, 4, 9]), [1, 1, 0.75, 0.75, 0.375, 0])
    assert_array_equal([curve.y for curve in curves], model.predict_survival_function(X, return_array=True))


def test_an_event_at_time_0_comes_at_once():
    y = Surv.from_arrays([True, True], [0.0, 1.0])
    model = KaplanMeier().fit(X[:2], y)
    assert_array_equal(model.unique_times_, [0, 1])
    assert_allclose(model.predict_survival_function(X[:1])[0]([0, 0.5, 1]), [0.5, 0.5, 0])


def test_everybody_has_the_same_risk(model):
    assert_array_equal(model.predict(X[1:]), np.zeros(3))
    assert model.score(X, Y) == 0.5


def test_columns_are_checked_and_an_outcome_is_matched_by_patient(model):
    table = pd.DataFrame({"event": Y["event"], "time": Y["time"]}, X.index)[::-1]
    assert_array_equal(KaplanMeier().fit(X, table).survival_, model.survival_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns=str.upper))


def test_its_brier_score_in_a_comparison_is_that_of_its_curve():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=90)}, [f"P{i}" for i in range(90)])
    y = Surv.from_arrays(rng.random(90) < 0.6, rng.exponential(size=90))
    comparison = compare_models({"Kaplan-Meier": KaplanMeier()}, X, y, 3, scoring="brier", horizons=0.5)
    for value, (train, test) in zip(comparison.scores["value"], comparison.folds, strict=True):
        curves = KaplanMeier().fit(X.iloc[train], y[train]).predict_survival_function(X.iloc[test])
        _, (expected,) = brier_score(y[train], y[test], [[curve(0.5)] for curve in curves], [0.5])
        assert_allclose(value, expected)
