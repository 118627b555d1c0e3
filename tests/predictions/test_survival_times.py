"""Medians, restricted means and tables of survival against sums by hand and scikit-survival's step functions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxPHSurvivalAnalysis, IPCRidge
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.predictions import median_survival_time, predict_survival_table, restricted_mean_survival_time


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(50, 3)), [f"P{i}" for i in range(50)], ["a", "b", "c"])
    time = rng.exponential(np.exp(-X["a"])) + 0.01
    y = Surv.from_arrays((time < 1.5) & (rng.random(50) < 0.9), np.minimum(time, 1.5))
    return X, y


@pytest.fixture(scope="module")
def curves(patients):
    X, y = patients
    return CoxPHSurvivalAnalysis().fit(X, y).predict_survival_function(X)


@pytest.fixture(scope="module")
def model(patients):
    return FusionSurvivalAnalysis(n_estimators=4, max_epochs=3, random_state=0).fit(*patients)


class TestMedian:
    def test_it_is_the_first_time_at_one_half_or_less(self, curves):
        medians = median_survival_time(curves)
        assert 0 < np.isnan(medians).sum() < 50
        for curve, median in zip(curves, medians):
            if np.isnan(median):
                assert curve.y.min() * curve.a > 0.5
            else:
                assert curve(median) <= 0.5
                assert median == curve.x[0] or curve(np.nextafter(median, 0)) > 0.5

    def test_of_kaplan_meier_without_censoring_it_is_the_median_of_the_times(self):
        time = np.array([4.0, 1.0, 7.0, 3.0, 9.0])
        assert_array_equal(median_survival_time([StepFunction(*kaplan_meier_estimator([True] * 5, time))]), [4])

    def test_exactly_one_half_counts(self):
        assert_array_equal(median_survival_time([StepFunction(np.array([1.0, 2, 3]), np.array([0.9, 0.5, 0.5]))]), [2])


class TestRestrictedMean:
    @pytest.mark.parametrize("horizon", [0.001, 0.3, 1.0])
    def test_it_is_the_area_by_fine_steps(self, curves, horizon):
        grid = np.linspace(0, horizon, 200_001)
        middle = (grid[1:] + grid[:-1]) / 2
        for curve, mean in zip(curves[:5], restricted_mean_survival_time(curves[:5], horizon)):
            values = np.where(middle < curve.x[0], 1, curve(np.maximum(middle, curve.x[0])))
            assert_allclose(mean, values.mean() * horizon, rtol=1e-4)

    def test_of_kaplan_meier_without_censoring_it_is_the_mean_of_the_times_cut_at_the_horizon(self):
        time = np.random.default_rng(0).exponential(size=40)
        curve = StepFunction(*kaplan_meier_estimator(np.ones(40, dtype=bool), time))
        for horizon in (time.min() / 2, 0.7, time.max()):
            assert_allclose(restricted_mean_survival_time([curve], horizon), np.minimum(time, horizon).mean())

    def test_units_are_kept(self, patients):
        X, y = patients
        days = Surv.from_arrays(y["event"], y["time"] * 365)
        in_years, in_days = (CoxPHSurvivalAnalysis().fit(X, one).predict_survival_function(X) for one in (y, days))
        assert_allclose(median_survival_time(in_days), 365 * median_survival_time(in_years))
        assert_allclose(restricted_mean_survival_time(in_days, 365), 365 * restricted_mean_survival_time(in_years, 1))

    def test_the_horizon_lies_within_every_curve(self, curves):
        end = curves[0].x[-1]
        assert np.isfinite(restricted_mean_survival_time(curves, end)).all()
        shorter = StepFunction(np.array([0.1, 0.2]), np.array([0.9, 0.8]))
        for horizon in (end * 1.01, 0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match=r"horizon must be above 0 and at most"):
                restricted_mean_survival_time(curves, horizon)
        with pytest.raises(ValueError, match=r"at most 0\.2, where the first"):
            restricted_mean_survival_time([*curves, shorter], 0.3)


@pytest.mark.parametrize("function", [median_survival_time, lambda curves: restricted_mean_survival_time(curves, 1)])
@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (StepFunction(np.array([1.0, 2.0]), np.array([0.5, 0.9])), "rises from 0.5"),
        (StepFunction(np.array([1.0, 2.0]), np.array([0.5, np.nan])), "is NaN at time 2"),
        (np.exp, "curve 0 is <ufunc 'exp'>"),
    ],
)
def test_what_is_no_survival_function_is_refused(function, curve, message):
    with pytest.raises(ValueError, match=message):
        function([curve])


class TestTable:
    def test_it_has_the_values_of_the_survival_functions(self, patients, model):
        X = patients[0].iloc[::-1]
        times = np.r_[1.0, model.unique_times_[[0, -1]], 0.3]
        table = model.predict_survival_table(X, times)
        assert table.index.tolist() == [(patient, time) for patient in X.index for time in times]
        expected = [curve(times) for curve in model.predict_survival_function(X)]
        assert_allclose(table["survival"].to_numpy().reshape(-1, 4), expected, rtol=1e-12)

    def test_limits_are_quantiles_of_the_networks(self, patients, model):
        X, time = patients[0], 0.5
        narrow, wide = (model.predict_survival_table(X, time, level) for level in (0.5, 0.999999))
        # The times of a network are its own, and a step may lie between those of the ensemble.
        at = model.unique_times_[np.searchsorted(model.unique_times_, time, side="right") - 1]
        members = [[curve(at) for curve in one.predict_survival_function(X)] for one in model.estimators_]
        assert_allclose(narrow[["lower", "upper"]].T, np.quantile(members, [0.25, 0.75], axis=0), rtol=1e-9)
        assert_allclose(wide["lower"], np.min(members, axis=0), rtol=1e-5)
        assert (narrow["upper"] - narrow["lower"]).gt(0).all()

    def test_a_single_network_has_no_limits(self, patients):
        X, y = patients
        model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=2, random_state=0).fit(X, y)
        table = model.predict_survival_table(X, [0.5, 1])
        assert list(table) == ["survival"]
        expected = [curve([0.5, 1]) for curve in model.predict_survival_function(X)]
        assert_allclose(table["survival"].to_numpy().reshape(-1, 2), expected, rtol=1e-12)

    def test_everybody_lives_before_the_first_time_and_nothing_is_known_after_the_last(self, patients, model):
        X, end = patients[0], model.unique_times_[-1]
        early = model.predict_survival_table(X, [0, model.unique_times_[0] * 0.9])
        assert_array_equal(early, 1)
        for times in (end * 1.01, [1, -1], [np.nan], [], [[1.0]]):
            with pytest.raises(ValueError, match="horizons must be one or several times from 0 to"):
                model.predict_survival_table(X, times)
        with pytest.raises(ValueError, match=r"confidence_level must be between 0 and 1, got 95"):
            model.predict_survival_table(X, 1, 95)


class TestTableOfAnyModel:
    def test_of_a_network_it_is_its_own(self, patients, model):
        X, times = patients[0].rename_axis("id"), [1.0, 0.2, 0]
        for level in (0.5, 0.9):
            expected = model.predict_survival_table(X, times, level)
            pd.testing.assert_frame_equal(predict_survival_table(model, X, times, level), expected)

    @pytest.mark.parametrize("search", [False, True])
    def test_behind_steps_it_is_that_of_what_they_return_with_the_patients_of_x(self, patients, search):
        X, y = patients
        network = FusionSurvivalAnalysis(n_estimators=2, max_epochs=2, random_state=0)
        model = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(with_std=False), network))
        if search:
            model = make_pipeline(
                StandardScaler(), GridSearchCV(model, {"pipeline__fusionsurvivalanalysis__lr": [0.01]}, cv=2)
            )
        model.fit(X, y)
        inner = model[-1].best_estimator_[-1] if search else model[-1]
        expected = inner[-1].predict_survival_table(StandardScaler().fit_transform(X), [0.3, 1])
        table = predict_survival_table(model, X[::-1], [0.3, 1])
        assert table.index.tolist() == [(patient, time) for patient in X.index[::-1] for time in (0.3, 1)]
        assert list(table) == ["survival", "lower", "upper"]
        assert (table["upper"] - table["lower"]).gt(0).all()
        assert_allclose(table.loc[X.index], expected, rtol=1e-5)

    @pytest.mark.parametrize("scaled", [False, True])
    def test_of_other_models_it_has_the_values_of_their_curves(self, patients, scaled):
        X, y = patients
        cox = CoxPHSurvivalAnalysis()
        model = (make_pipeline(StandardScaler(), cox) if scaled else cox).fit(X, y)
        times = [1.0, 0.3, y["time"].max()]
        table = predict_survival_table(model, X, times)
        assert list(table) == ["survival"]
        assert table.index.tolist() == [(patient, time) for patient in X.index for time in times]
        expected = [curve(times) for curve in model.predict_survival_function(X)]
        assert_array_equal(table["survival"].to_numpy().reshape(-1, 3), expected)

    def test_everybody_lives_before_the_first_step(self):
        X, y = np.arange(6.0)[:, np.newaxis], Surv.from_arrays([True] * 6, [6.0, 4, 5, 3, 1, 2])
        model = CoxPHSurvivalAnalysis(alpha=1).fit(X, y)
        table = predict_survival_table(model, X, [0.999, 1])["survival"].to_numpy().reshape(6, 2)
        assert_array_equal(table[:, 0], 1)
        assert (table[:, 1] < 1).all()

    def test_what_cannot_be_told_is_refused(self, patients, model):
        X, y = patients
        cox = CoxPHSurvivalAnalysis().fit(X, y)
        for one in (model, cox):
            for times in (y["time"].max() * 1.01, [1, -1], [np.nan], []):
                with pytest.raises(ValueError, match="horizons must be one or several times from 0 to"):
                    predict_survival_table(one, X, times)
            with pytest.raises(ValueError, match="confidence_level must be between 0 and 1, got 95"):
                predict_survival_table(one, X, 1, 95)
        with pytest.raises(AttributeError, match="IPCRidge, which has no predict_survival_function"):
            predict_survival_table(IPCRidge().fit(X, y), X, 1)
        with pytest.raises(NotFittedError):
            predict_survival_table(CoxPHSurvivalAnalysis(), X, 1)


@pytest.mark.parametrize("n", [24, 28, 30, 44])
def test_half_is_half_whatever_a_product_of_factors_rounds_to(n):
    time, survival = kaplan_meier_estimator(np.ones(n, dtype=bool), np.arange(1.0, n + 1))
    assert median_survival_time([StepFunction(time, survival)])[0] == n / 2
