"""Cox models with strata against R and statsmodels, and tests of coefficients that change over time."""

import numpy as np
import pytest

from sksurv_mmf.statistics._cox import at_events, fit_cox, likelihood_ratio_test
from sksurv_mmf.statistics._proportional_hazards import (
    coefficient_over_time,
    natural_spline,
    proportional_hazards_tests,
)

# R's data set "ovarian" of survival: futime, fustat, age, ecog.ps.
OVARIAN = np.array(
    """59 1 72.3315 1; 115 1 74.4932 1; 156 1 66.4658 2; 421 0 53.3644 1; 431 1 50.3397 1; 448 0 56.4301 2;
    464 1 56.9370 2; 475 1 59.8548 2; 477 0 64.1753 1; 563 1 55.1781 2; 638 1 56.7562 2; 744 0 50.1096 1;
    769 0 59.6301 2; 770 0 57.0521 1; 803 0 39.2712 1; 855 0 43.1233 2; 1040 0 38.8932 2; 1106 0 44.6000 1;
    1129 0 53.9068 1; 1206 0 44.2055 1; 1227 0 59.5890 2; 268 1 74.5041 2; 329 1 43.1370 1; 353 1 63.2192 2;
    365 1 64.4247 1; 377 0 58.3096 1""".replace("\n", " ")
    .replace(";", " ")
    .split(),
    dtype=float,
).reshape(-1, 4)


@pytest.fixture
def ovarian():
    time, event, *X = OVARIAN.T
    return np.column_stack(X), event == 1, time, np.zeros(len(time), dtype=int)


@pytest.fixture
def tied():
    """Sixty patients in three strata, whose 31 events come at eleven times."""
    rng = np.random.default_rng(7)
    X = np.round(rng.normal(size=(60, 2)), 1)
    time = np.ceil(8 * rng.exponential(np.exp(-X @ [0.6, -0.3])))
    censored = np.ceil(12 * rng.exponential(size=60))
    return X, time <= censored, np.minimum(time, censored), np.arange(60) % 3


def test_coefficients_and_likelihood_ratio_are_those_of_r(ovarian):
    # coxph(Surv(futime, fustat) ~ age + ecog.ps, data = ovarian), as in the help of cox.zph
    fit = fit_cox(*ovarian)
    np.testing.assert_allclose(fit.coef, [0.16150, 0.01866], atol=5e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), [0.04992, 0.59908], atol=5e-6)
    chi2, df, p_value = likelihood_ratio_test(fit, fit_cox(ovarian[0][:, :0], *ovarian[1:]))
    assert (round(chi2, 2), df, round(p_value, 6)) == (14.29, 2, 0.000787)


def test_strata_are_those_of_r():
    # coxph(Surv(time, status) ~ x + strata(sex), test1), the example in the help of coxph
    time, event = np.array([4.0, 3, 1, 1, 2, 2, 3]), np.array([1, 1, 1, 0, 1, 1, 0]) == 1
    X, sex = np.array([[0.0], [2], [1], [1], [1], [0], [0]]), np.array([0, 0, 0, 0, 1, 1, 1])
    fit = fit_cox(X, event, time, sex)
    assert [round(value, 4) for value in (fit.coef[0], fit.covariance[0, 0] ** 0.5)] == [0.8023, 0.8224]
    assert round(likelihood_ratio_test(fit, fit_cox(X[:, :0], event, time, sex))[0], 2) == 1.09


def test_many_ties_in_strata_are_those_of_statsmodels(tied):
    # statsmodels 0.15, PHReg(time, X, status, strata=strata, ties="efron").fit(method="newton")
    fit = fit_cox(*tied)
    np.testing.assert_allclose(fit.coef, [0.7089933691308667, -0.6031608468810221], rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), [0.25022473185573696, 0.2598501881439654], rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(-61.483726259584465, rel=1e-9)


def test_residuals_are_the_gradient_and_covariances_the_curvature(tied):
    coef, step = np.array([0.3, -0.7]), 1e-5
    events = at_events(coef, *tied)
    moved = [at_events(coef + side * step * np.eye(2)[k], *tied) for k in (0, 1) for side in (1, -1)]
    gradient = [(moved[2 * k].log_likelihood - moved[2 * k + 1].log_likelihood) / (2 * step) for k in (0, 1)]
    np.testing.assert_allclose(events.residuals.sum(axis=0), gradient, rtol=1e-6)
    curvature = [(moved[2 * k + 1].residuals - moved[2 * k].residuals).sum(axis=0) / (2 * step) for k in (0, 1)]
    np.testing.assert_allclose(events.covariances.sum(axis=0), curvature, rtol=1e-6)


def test_scales_of_strata_and_the_order_of_patients_do_not_matter(tied):
    X, event, time, stratum = tied
    order = np.random.default_rng(0).permutation(len(time))
    moved = X + 1000.0 * stratum[:, np.newaxis], event, time * (1 + stratum), 5 - stratum
    other = fit_cox(*(one[order] for one in moved))
    np.testing.assert_allclose(other.coef, fit_cox(*tied).coef, rtol=1e-6)


def test_large_covariates_overflow_nothing(tied):
    X, *outcome = tied
    np.testing.assert_allclose(1e4 * fit_cox(1e4 * X, *outcome).coef, fit_cox(X, *outcome).coef, rtol=1e-6)


def test_what_others_explain_has_no_degree_of_freedom(tied):
    X, *outcome = tied
    constant, alone = np.zeros((60, 1)), fit_cox(X[:, :1], *outcome)
    for more in (constant, 2 * X[:, :1], outcome[2][:, np.newaxis]):
        fit = fit_cox(np.hstack([X[:, :1], more]), *outcome)
        assert fit.coef[0] == pytest.approx(alone.coef[0])
        assert np.isnan(fit.coef[1])
        chi2, df, p_value = likelihood_ratio_test(fit, alone)
        assert (round(chi2, 9), df) == (0, 0)
        assert np.isnan(p_value)


def test_a_perfect_order_has_no_finite_coefficient_but_a_likelihood():
    time = np.arange(1.0, 13)
    fit = fit_cox(-time[:, np.newaxis], np.ones(12, dtype=bool), time, np.zeros(12, dtype=int))
    assert np.isnan(fit.coef).all()
    assert fit.rank == 1
    assert fit.log_likelihood == pytest.approx(0, abs=1e-6)


def test_proportional_hazards_tests_are_those_of_r(ovarian):
    # cox.zph(fit) of survival from version 3 on: age 0.698, p = 0.40; ecog.ps 2.371, p = 0.12
    chi2, p_value = proportional_hazards_tests(fit_cox(*ovarian), *ovarian)
    np.testing.assert_allclose(chi2, [0.698, 2.371], atol=5e-4)
    np.testing.assert_allclose(p_value, [0.40, 0.12], atol=5e-3)


def simulate_change(change, n_patients=600):
    """Patients whose log hazard ratio is 1 + change up to time 1 and 1 - change after it."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=n_patients)
    early, late = np.exp((1 + change) * x), np.exp((1 - change) * x)
    total = rng.exponential(size=n_patients)
    time = np.where(total < early, total / early, 1 + (total - early) / late)
    censored = rng.uniform(0, 6, n_patients)
    return x[:, np.newaxis], time <= censored, np.minimum(time, censored), np.arange(n_patients) % 2


def test_a_change_is_found_where_it_is():
    steady, changing = simulate_change(0), simulate_change(0.8)
    assert proportional_hazards_tests(fit_cox(*steady), *steady)[1][0] > 0.05
    assert proportional_hazards_tests(fit_cox(*changing), *changing)[1][0] < 1e-6
    at = np.array([0.2, 2.0])
    for given, truth in ((steady, [1, 1]), (changing, [1.8, 0.2])):
        _, lower, upper = coefficient_over_time(fit_cox(*given), 0, *given, at, 0.999)
        assert (lower < truth).all()
        assert (truth < upper).all()


def test_splines_are_straight_outside_and_smooth_inside():
    knots, step = np.array([0.1, 0.4, 0.6, 0.9]), 1e-3
    x = np.arange(-0.5, 1.5, step)
    second = np.diff(natural_spline(x, knots), 2, axis=0) / step**2
    outside = (x[1:-1] < 0.1 - step) | (x[1:-1] > 0.9 + step)
    np.testing.assert_allclose(second[outside], 0, atol=1e-6)
    assert np.abs(np.diff(second, axis=0)).max() < 0.2  # no jump of the curvature
    assert np.linalg.matrix_rank(natural_spline(x, knots)) == 4
