"""Risks and survival functions of other packages are refused where they are no risks and no survival functions."""

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sksurv.functions import StepFunction

from sksurv_mmf.predictions._checks import check_curves, check_risk, common_domain, curve_values
from sksurv_mmf.statistics._paired_tests import difference_limits, mean_interval
from sksurv_mmf.utils._validation import format_time

TIMES = np.array([1.0, 2.0, 5.0])


class Curve:
    """A survival function with a domain and steps, unlike a plain callable."""

    def __init__(self, function, domain=(0, 10), x=None):
        self.function, self.domain, self.x = function, domain, x

    def __call__(self, times):
        return self.function(times)


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ([1.0, np.nan, 2.0], "NaN or infinity for 1 patients, for example for 'B'"),
        ([1.0, 2.0, -np.inf], "NaN or infinity for 1 patients, for example for 'C'"),
        (np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]), "masked values, 1 of 3"),
        ([1j, 2.0, 3.0], "an array of dtype complex128; real numbers"),
        (["a", "b", "c"], "an array of dtype <U1"),
        (np.array([1.0, None, pd.NA], dtype=object), "an array of dtype object"),
        (pd.Series([1, 2, None], dtype="Int64"), "NaN or infinity for 1 patients, for example for 'C'"),
        (np.array(["2020-01-01"] * 3, dtype="datetime64[D]"), "dtype datetime64"),
        ([1.0, 2.0], r"shape \(2,\) for 3 patients"),
        ([[1.0], [2.0], [3.0]], r"shape \(3, 1\) for 3 patients"),
        (7.0, r"shape \(\) for 3 patients"),
        (None, "None; real numbers|NaN or infinity|shape"),
    ],
    ids=str,
)
def test_risks_that_are_none(risk, message):
    with pytest.raises(ValueError, match=f"predict returned .*{message}|predict returned {message}"):
        check_risk(risk, 3, "predict returned", pd.Index(["A", "B", "C"]))


@pytest.mark.parametrize(
    "risk", [[1, 2, 3], pd.Series([1.0, 2, 3]), np.float32([1, 2, 3]), np.ma.masked_array([1, 2, 3])]
)
def test_risks_that_are_some(risk):
    found = check_risk(risk, 3, "predict returned")
    assert found.dtype == float
    assert_array_equal(found, [1, 2, 3])


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (StepFunction(TIMES, np.array([1.2, 0.5, 0.1])), "is 1.2 at time 1, no probability"),
        (StepFunction(TIMES, np.array([0.9, 0.5, -0.1])), "is -0.1 at time 5, no probability"),
        (StepFunction(TIMES, np.array([0.9, 0.5, 0.6])), "rises from 0.5 at time 2 to 0.6 at time 5"),
        (Curve(lambda times: np.where(times == 2, np.nan, 0.5)), "is NaN at time 2"),
        (Curve(lambda times: 0.5 + 0j * times), "dtype complex128"),
        (Curve(lambda times: np.ma.masked_array(0.5 + 0 * times, times > 1)), "masked values, 2 of 3"),
        (Curve(lambda times: ["a"] * len(times)), "dtype <U1"),
        (Curve(lambda times: np.ones((2, 2))), r"has shape \(2, 2\) at one time"),
        (Curve(lambda times: 1 / 0), "cannot be evaluated: ZeroDivisionError"),
        (lambda time: time / 10, "rises from 0.1 at time 1 to 0.2 at time 2"),
        (lambda time: 100 * math.exp(-time), "is 36.7879 at time 1, no probability"),
    ],
)
def test_curves_that_are_no_survival_functions(curve, message):
    with pytest.raises(ValueError, match=rf"survival function of test patient 1 .*{message}"):
        check_curves([lambda time: 0.5, curve], TIMES)


def test_the_patient_of_a_flawed_curve_is_named_where_names_are_known():
    with pytest.raises(ValueError, match="survival function of patient 'P7' rises"):
        check_curves([lambda time: 0.5, lambda time: time / 10], TIMES, ["P3", "P7"])


def test_a_step_between_the_times_is_seen():
    curve = StepFunction(np.array([1.0, 3.0, 4.0, 5.0]), np.array([0.9, 0.5, 0.8, 0.1]))
    with pytest.raises(ValueError, match=r"rises from 0.5 at time 3 to 0.8 at time 4"):
        check_curves([curve], [1.0, 5.0])


def test_times_beyond_the_domain_are_not_looked_at():
    check_curves([Curve(lambda times: np.where(times <= 2, 0.5, np.nan), (0, 2))], TIMES)


@pytest.mark.parametrize("last", [0.0, 1e-9, -1e-9])
def test_rounding_is_no_flaw(last):
    curve = StepFunction(TIMES, np.array([1 + 1e-9, 0.5, last]))
    check_curves([curve], TIMES)
    check_curves([StepFunction(TIMES, np.float32([0.9, 0.9, 0.9 + 1e-7]))], TIMES)


def test_curves_that_take_one_time_only_are_evaluated_one_by_one():
    curves = [lambda time: math.exp(-time), lambda time: 0.5, lambda times: np.exp(-np.asarray(times))]
    expected = np.array([np.exp(-TIMES), [0.5] * 3, np.exp(-TIMES)])
    assert_allclose(curve_values(curves, TIMES), expected, rtol=1e-12)
    assert_allclose(curve_values(curves, 2.0), expected[:, [1]], rtol=1e-12)


def test_domains():
    plain, step = (lambda time: 0.5), StepFunction(TIMES, np.array([0.9, 0.5, 0.1]))
    told = Curve(plain, (0.5, 8))
    assert common_domain([plain]) == (0, np.inf)
    assert common_domain([plain, told]) == (0.5, 8)
    assert common_domain([step, told]) == (max(step.domain[0], 0.5), 5)
    assert common_domain([Curve(plain, None, [2.0, 4.0]), told]) == (2, 4)


@pytest.mark.parametrize(
    ("one", "other"), [(1000000.1, 1000000.2), (365.00001, 365.0), (0.1 + 0.2, 0.3), (123456.7, 123456.8)]
)
def test_times_that_differ_are_written_differently(one, other):
    assert format_time(one) != format_time(other)
    assert float(format_time(one)) == one


@pytest.mark.parametrize(("time", "text"), [(365.0, "365"), (2.5, "2.5"), (1e6, "1e+06"), (np.float64(0.1), "0.1")])
def test_few_digits_where_they_do(time, text):
    assert format_time(time) == text


@pytest.mark.parametrize("values", [[1.0, 0.99, 1.0, 0.6], [0.0, 0.02, 0.3, 0.0], [0.5, 0.51, 0.49, 0.5]])
def test_an_interval_ends_where_a_score_ends(values):
    low, high = mean_interval(values, 0.25)
    cut = mean_interval(values, 0.25, limits=(0, 1))
    assert cut == (max(low, 0), min(high, 1))
    assert cut[0] <= np.mean(values) <= cut[1]


def test_the_interval_of_one_fold_stays_unknown():
    assert np.isnan(mean_interval([0.7], 0.25, limits=(0, 1))).all()


@pytest.mark.parametrize(
    ("limits", "expected"), [((0, 1), (-1, 1)), ((-1, 1), (-2, 2)), ((0, np.inf), (-np.inf, np.inf))]
)
def test_limits_of_differences(limits, expected):
    assert difference_limits(limits) == expected
