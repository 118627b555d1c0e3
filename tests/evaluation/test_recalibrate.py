"""Recalibration finds what was done to a model, and changes no order."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hospitals import hospital, known
from sklearn.base import clone
from sksurv.metrics import concordance_index_censored
from sksurv.svm import FastSurvivalSVM

from sksurv_mmf.evaluation import RecalibratedModel, recalibrate
from sksurv_mmf.predictions import predict_survival_table


def correction(model, X, y, **arguments):
    row = recalibrate(model, X, y, **arguments).corrections_.loc["all"]
    return row["intercept"], row["slope"]


@pytest.mark.parametrize("method", ["intercept", "slope"])
def test_the_true_model_needs_none(method):
    intercept, slope = correction(known(), *hospital(3000), method=method, horizon=6)
    assert intercept == pytest.approx(0, abs=0.08)
    assert slope == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_intercept_is_the_log_of_the_factor_of_hazards(factor):
    X, y = hospital(3000, factor=factor)
    assert correction(known(), X, y, horizon=5)[0] == pytest.approx(np.log(factor), abs=0.08)


@pytest.mark.parametrize("spread", [0.5, 1.3])
def test_the_slope_is_one_by_the_spread(spread):
    X, y = hospital(1000)
    _, true_slope = correction(known(), X, y, horizon=5, method="slope")
    # Whatever the baseline hazard is taken to be.
    for shape in (1.0, 1.7):
        _, slope = correction(known(spread=spread, shape=shape), X, y, horizon=5, method="slope")
        assert slope == pytest.approx(true_slope / spread, rel=1e-4)


def test_the_intercept_is_observed_by_expected_events():
    X, y = hospital(60)
    model = recalibrate(known(factor=2), X, y, horizon=4, min_events=1)
    time, event = np.minimum(y["time"], 4), y["event"] & (y["time"] <= 4)
    curves = known(factor=2).predict_survival_function(X)
    expected = sum(-np.log(curve(t)) for curve, t in zip(curves, time))
    row = model.corrections_.loc["all"]
    assert row["n_events"] == event.sum()
    assert row["expected"] == pytest.approx(expected)
    assert row["intercept"] == pytest.approx(np.log(event.sum() / expected))


def test_curves_are_those_of_the_formula_at_the_horizon_and_raised_to_a_power_elsewhere():
    X, y = hospital(300, factor=0.5)
    model = recalibrate(known(spread=1.3), X, y, horizon=4, method="slope")
    intercept, slope = model.corrections_.loc["all", ["intercept", "slope"]]
    before, after = (one.predict_survival_function(X) for one in (known(spread=1.3), model))
    log_log = np.array([[np.log(-np.log(f(4.0))) for f in curves] for curves in (before, after)])
    np.testing.assert_allclose(log_log[1], intercept + slope * log_log[0])
    ratios = np.array([[np.log(g(t)) / np.log(f(t)) for t in (1.0, 4.0)] for f, g in zip(before, after)])
    np.testing.assert_allclose(ratios[:, 0], ratios[:, 1], rtol=1e-6)


def test_an_intercept_changes_no_order_and_lowers_all_curves():
    X, y = hospital(300, factor=0.4)
    model, recalibrated = known(), recalibrate(known(), X, y)
    np.testing.assert_array_equal(recalibrated.predict(X), model.predict(X))
    assert recalibrated.score(X, y) == concordance_index_censored(y["event"], y["time"], model.predict(X))[0]
    survival = recalibrated.predict_survival_function(X, return_array=True)
    before = np.array([f(recalibrated.unique_times_) for f in model.predict_survival_function(X)])
    assert (survival >= before).all()
    assert (np.diff(survival, axis=1) <= 0).all()
    hazard = recalibrated.predict_cumulative_hazard_function(X, return_array=True)
    np.testing.assert_allclose(np.exp(-hazard), survival)
    steps = recalibrated.predict_cumulative_hazard_function(X)
    np.testing.assert_array_equal([f(3.0) for f in steps], hazard[:, recalibrated.unique_times_ <= 3][:, -1])


def two_combinations():
    """Patients who lack b have three times the hazard that the model expects."""
    X, y = hospital(800)
    alone, y_alone = hospital(400, factor=3, seed=1, prefix="Q")
    alone["b__x"] = np.nan
    few, y_few = hospital(20, seed=2, prefix="R")
    few["a__x"] = np.nan
    return pd.concat([X, alone, few]), np.concatenate([y, y_alone, y_few])


def test_patients_with_the_same_modalities_get_their_own_correction():
    X, y = two_combinations()
    with pytest.warns(UserWarning, match=r"'b' \(\d+ events\) get the correction of all patients"):
        model = recalibrate(known(), X, y, by_modalities=True, horizon=4)
    table = model.corrections_
    assert table.index.tolist() == ["a", "a + b", "all others"]
    assert table.loc["a", "intercept"] > np.log(2)
    assert table.loc["a + b", "intercept"] == pytest.approx(0, abs=0.15)
    for rows in (X.index.str.startswith("P"), X.index.str.startswith("Q")):
        alone = recalibrate(known(), X[rows], y[rows], horizon=4)
        pair = [one.predict_survival_function(X[rows])[0](4.0) for one in (model, alone)]
        assert pair[0] == pytest.approx(pair[1])
    survival = np.array([f(4.0) for f in model.predict_survival_function(X)])
    np.testing.assert_array_equal(np.argsort(model.predict(X)), np.argsort(-survival))
    few = X[X.index.str.startswith("R")]
    common = recalibrate(known(), X, y, horizon=4).predict_survival_function(few)[0](4.0)
    assert model.predict_survival_function(few)[0](4.0) == pytest.approx(common)


def test_few_events_of_all_are_warned_of():
    X, y = hospital(60)
    cases = np.flatnonzero(y["event"] & (y["time"] <= 4))
    y["event"][cases[2:]] = False
    with pytest.warns(UserWarning, match=r"learnt from 2 events up to 4, fewer than min_events=50.*is about 0\.71"):
        model = recalibrate(known(), X, y, horizon=4)
    assert model.corrections_.index.tolist() == ["all"]
    assert model.corrections_.loc["all", "n_events"] == 2
    recalibrate(known(), X, y, horizon=4, min_events=2)  # and no warning


class Ensemble(type(known())):
    """With the limits that an ensemble has."""

    def predict_survival_table(self, X, horizons, confidence_level=0.95):
        values = np.array([f(np.atleast_1d(horizons)) for f in self.predict_survival_function(X)])
        rows = pd.MultiIndex.from_product([X.index, np.atleast_1d(horizons)], names=["patient", "time"])
        limits = {"survival": values.ravel(), "lower": values.ravel() ** 2, "upper": values.ravel() ** 0.5}
        return pd.DataFrame(limits, rows)


def test_limits_of_an_ensemble_are_corrected_too():
    X, y = hospital(300, factor=0.5)
    model = recalibrate(Ensemble().fit(X, y), X, y, horizon=4, method="slope")
    table = predict_survival_table(model, X, [2, 4])
    expected = np.array([f([2.0, 4.0]) for f in model.predict_survival_function(X)]).ravel()
    np.testing.assert_allclose(table["survival"], expected)
    np.testing.assert_allclose(table["lower"], expected**2)
    np.testing.assert_allclose(table["upper"], expected**0.5)
    without = recalibrate(known(), X, y, horizon=4)
    assert not hasattr(without, "predict_survival_table")
    assert predict_survival_table(without, X, [2, 4]).columns.tolist() == ["survival"]


def test_it_is_an_estimator():
    X, y = hospital(100)
    model = recalibrate(known(), X, y, method="slope", horizon=5, min_events=1)
    assert model.feature_names_in_.tolist() == ["a__x", "b__x"]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.predict_survival_function(X, return_array=True), model.predict_survival_function(X, return_array=True)
    )
    assert not hasattr(clone(RecalibratedModel(known())), "corrections_")
    assert model.get_params(deep=False)["horizon"] == 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"horizon": 20}, ValueError, "horizon=20 is beyond the survival functions of the model, which end at 12"),
        ({"horizon": 11.99}, ValueError, "beyond the follow-up of the 100 patients: the last leaves at"),
        ({"horizon": 1e-6}, ValueError, "None of the 100 patients has an event up to 1e-06"),
        ({"method": "both"}, ValueError, "method"),
        ({"min_events": 0}, ValueError, "min_events"),
        ({"model": known(spread=-1), "method": "slope"}, ValueError, "calibration slope is -"),
        ({"model": known(spread=0), "method": "slope"}, ValueError, "calibration slope cannot be estimated"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    X, y = hospital(100)
    with pytest.raises(error, match=message):
        recalibrate(**({"model": known(), "X": X, "y": y} | change))


def test_modalities_are_told_by_names():
    X, y = hospital(100)
    with pytest.raises(ValueError, match="by_modalities=True needs columns named"):
        recalibrate(known(), X.set_axis(["a", "b"], axis=1), y, by_modalities=True)
    with pytest.raises(AttributeError, match="no predict_survival_function"):
        recalibrate(FastSurvivalSVM(random_state=0).fit(X, y), X, y)
    with pytest.raises(ValueError, match="100 patients and y has 99"):
        recalibrate(known(), X, y[1:])
