"""The slope is that of scikit-survival's Cox model, in every resample."""

import numpy as np
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.statistics._calibration import calibration_slope, running_windows
from sksurv_mmf.statistics._kaplan_meier import event_probability


def sample(n_patients=80, seed=0):
    random = np.random.default_rng(seed)
    score = random.normal(size=n_patients)
    time = np.ceil(6 * random.exponential(np.exp(-score))) + 1  # with ties
    return random.uniform(size=n_patients) < 0.7, time, score


@pytest.mark.parametrize("scale", [1, 0.01, 30])
def test_slopes_are_those_of_a_cox_model(scale):
    event, time, score = sample()
    weight = np.random.default_rng(1).multinomial(80, [1 / 80] * 80, 4).astype(float)
    weight[0] = 1
    found = calibration_slope(weight, event, time, scale * score + 3)
    for one, counts in zip(found, weight.astype(int)):
        rows = np.repeat(np.arange(80), counts)
        cox = CoxPHSurvivalAnalysis(ties="breslow").fit(
            scale * score[rows, np.newaxis], Surv.from_arrays(event[rows], time[rows])
        )
        assert one == pytest.approx(cox.coef_[0], rel=1e-5)


def test_there_is_no_slope_of_nothing():
    event, time, score = sample()
    one = np.ones((1, 80))
    assert np.isnan(calibration_slope(one, np.zeros(80, bool), time, score)).all()
    assert np.isnan(calibration_slope(one, event, time, np.full(80, 2.0))).all()
    # A score in the order of the events has no finite coefficient.
    assert np.isnan(calibration_slope(np.ones((1, 5)), np.ones(5, bool), np.arange(5.0), -np.arange(5.0))).all()


def test_event_probability_is_unknown_behind_the_last_patient():
    event, time = np.array([True, False, True]), np.array([1.0, 2.0, 3.0])
    weight = np.array([[1.0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(event_probability(weight, event, time, 2.5), [1 / 3, np.nan, 1, np.nan])


def test_windows_keep_equal_values_together():
    windows = running_windows(np.array([0.3, 0.1, 0.3, 0.3, 0.2]), 2, 10)
    assert [sorted(one.tolist()) for one in windows] == [[1, 4], [0, 2, 3, 4], [0, 2, 3]]
