"""Paired tests against formulas worked by hand, scipy, and what must hold for any data."""

import numpy as np
import pytest
from pairs import ratio_of_sums
from scipy import stats
from scipy.special import logit

from sksurv_mmf.statistics._paired_tests import (
    bootstrap_p_value,
    corrected_resampled_t_test,
    corrected_standard_error,
    holm,
    mean_interval,
    paired_bootstrap,
    percentile_interval,
    score_interval,
)

DIFFERENCES = [0.01, 0.03, 0.02, 0.04, 0.00]  # mean 0.02, variance 0.00025


def test_the_statistic_is_that_of_nadeau_and_bengio():
    # t = mean / sqrt((1/5 + 1/4) 0.00025) = 0.02 / sqrt(0.0001125)
    statistic, p_value = corrected_resampled_t_test(DIFFERENCES, test_ratio=0.25)
    assert statistic == pytest.approx(1.8856180831641267, rel=1e-12)
    # with 4 degrees of freedom P(|T| > t) = 1 - x (3 - x^2) / 2, x = t / sqrt(4 + t^2)
    x = statistic / np.sqrt(4 + statistic**2)
    assert p_value == pytest.approx(1 - x * (3 - x**2) / 2, rel=1e-12)
    assert p_value == pytest.approx(0.1324, abs=5e-5)


def test_ten_repetitions_do_not_make_the_correction_smaller():
    # the variance of repeated folds goes to ratio x variance, not to zero
    many = np.tile(DIFFERENCES, 10)
    expected = np.sqrt((1 / 50 + 0.25) * many.var(ddof=1))
    assert corrected_standard_error(many, 0.25) == pytest.approx(expected, rel=1e-12)
    assert corrected_standard_error(many, 0.25) > 0.5 * np.std(many)


def test_without_correction_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12))
    np.testing.assert_allclose(corrected_resampled_t_test(a - b, 0), stats.ttest_rel(a, b), rtol=1e-12)
    interval = stats.ttest_rel(a, b).confidence_interval(0.9)
    np.testing.assert_allclose(mean_interval(a - b, 0, 0.9), interval, rtol=1e-12)


def test_interval_and_p_value_agree_about_zero():
    for ratio in (0.05, 0.25, 1.0):
        p_value = corrected_resampled_t_test(DIFFERENCES, ratio)[1]
        low, high = mean_interval(DIFFERENCES, ratio, 1 - p_value)
        assert low == pytest.approx(0, abs=1e-12)
        assert high == pytest.approx(0.04, rel=1e-9)


def test_the_interval_of_a_score_is_symmetric_in_its_log_odds():
    values = np.array([0.91, 0.99, 0.95, 0.90, 0.97])
    low, high = score_interval(values, 0.25, limits=(0, 1))
    mean = values.mean()
    assert 0 < low < mean < high < 1 < mean_interval(values, 0.25)[1]
    assert logit(mean) - logit(low) == pytest.approx(logit(high) - logit(mean), rel=1e-9)
    # The slope of the transformation carries the standard error over.
    margin = stats.t.ppf(0.975, 4) * corrected_standard_error(values, 0.25)
    assert logit(high) - logit(mean) == pytest.approx(margin / (mean * (1 - mean)), rel=1e-9)
    np.testing.assert_allclose(score_interval(1 - values, 0.25, limits=(0, 1)), [1 - high, 1 - low], rtol=1e-9)
    np.testing.assert_allclose(
        score_interval(2 * values - 1, 0.25, limits=(-1, 1)), [2 * low - 1, 2 * high - 1], rtol=1e-9
    )


def test_with_little_spread_the_scale_does_not_matter():
    values = 0.7 + 1e-6 * np.arange(5)
    plain = mean_interval(values, 0.25)
    np.testing.assert_allclose(score_interval(values, 0.25, limits=(0, 1)), plain, rtol=1e-9)
    values = np.array([0.1, 0.4, 0.2])
    assert score_interval(values, 0.25, limits=(0, np.inf)) == mean_interval(values, 0.25, limits=(0, np.inf))


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0, 0.0], [0.7, 0.7]])
def test_a_score_without_spread_has_an_interval_without_length(values):
    assert score_interval(values, 0.25, limits=(0, 1)) == (values[0], values[0])


def test_no_difference_and_no_variance():
    assert corrected_resampled_t_test(np.zeros(5), 0.25) == (0, 1)
    assert corrected_resampled_t_test(np.full(4, 0.5), 0.25) == (np.inf, 0)
    assert np.isnan(corrected_resampled_t_test([0.1], 0.25)).all()
    assert np.isnan(mean_interval([], 0.25)).all()
    assert np.isnan(score_interval([0.7], 0.25, limits=(0, 1))).all()


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.04 times 4 3 2 1: 0.04 0.06 0.06 0.04, then never smaller than the one before
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06], rtol=1e-12)
    np.testing.assert_allclose(holm([0.6, 0.4]), [0.8, 0.8], rtol=1e-12)
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).tolist() == []


def test_holm_leaves_out_what_is_no_comparison():
    np.testing.assert_allclose(holm([np.nan, 0.03, 0.01]), [np.nan, 0.03, 0.02], rtol=1e-12)


def two_folds(rng, difference, n=30):
    """Patients, and their losses, which have mean `difference`."""
    return [np.arange(n), np.arange(n, 2 * n)], rng.normal(difference, 1, (2, n))


def mean_of(losses):
    """The mean as a ratio of sums over pairs."""
    n = len(losses)
    return ratio_of_sums(losses[:, np.newaxis] * np.ones(n), np.ones((n, n)))


def test_identical_models_differ_by_exactly_zero():
    rng = np.random.default_rng(0)
    weight = rng.random((20, 20))
    draws = paired_bootstrap([np.arange(20)], [ratio_of_sums(0 * weight, weight)], 500, np.random.RandomState(0))
    assert not draws.any()
    assert bootstrap_p_value(draws) == 1
    assert percentile_interval(draws) == (0, 0)


def test_bootstrap_of_a_mean_has_the_standard_error_of_a_mean():
    patients, losses = two_folds(np.random.default_rng(1), 0.5)
    draws = paired_bootstrap(patients, map(mean_of, losses), 4000, np.random.RandomState(0))
    expected = np.sqrt(sum(one.var() / 30 for one in losses)) / 2
    assert draws.mean() == pytest.approx(np.mean(losses), abs=4 * expected / np.sqrt(4000))
    assert draws.std() == pytest.approx(expected, rel=0.05)


def test_a_patient_counts_alike_in_all_repetitions():
    rng = np.random.default_rng(2)
    (patients, _), (losses, _) = two_folds(rng, 0.3)
    once = paired_bootstrap([patients], [mean_of(losses)], 300, np.random.RandomState(0))
    twice = paired_bootstrap([patients] * 2, [mean_of(losses)] * 2, 300, np.random.RandomState(0))
    np.testing.assert_allclose(once, twice, rtol=1e-12)
    order = rng.permutation(30)
    shuffled = [mean_of(losses[order])]
    np.testing.assert_allclose(
        paired_bootstrap([patients[order]], shuffled, 300, np.random.RandomState(0)), once, rtol=1e-12
    )


def test_resamples_without_a_pair_are_left_out():
    # only patient 0 can be compared with patient 1
    denominator = np.zeros((5, 5))
    denominator[0, 1] = 1
    draws = paired_bootstrap(
        [np.arange(5)], [ratio_of_sums(0.2 * denominator, denominator)], 400, np.random.RandomState(0)
    )
    assert 0 < np.isnan(draws).sum() < 400
    np.testing.assert_allclose(draws[~np.isnan(draws)], 0.2, rtol=1e-12)
    assert percentile_interval(draws) == pytest.approx((0.2, 0.2))
    nothing = paired_bootstrap(
        [np.arange(5)], [ratio_of_sums(0 * denominator, 0 * denominator)], 10, np.random.RandomState(0)
    )
    assert np.isnan([bootstrap_p_value(nothing), *percentile_interval(nothing)]).all()


def test_bootstrap_p_value_by_hand():
    assert bootstrap_p_value(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(2 * (1 + 1) / 10)
    assert bootstrap_p_value(np.arange(1, 100)) == pytest.approx(2 / 100)


def test_the_corrected_test_keeps_its_level_where_the_ordinary_one_does_not():
    """Two equally good regressions (each sees half of the columns), many cohorts: false alarms at the 5 % level."""
    rng = np.random.default_rng(0)
    alarms = np.zeros(2)
    n_cohorts, n = 200, 60
    for _ in range(n_cohorts):
        X = rng.normal(size=(n, 2))
        y = X.sum(axis=1) + rng.normal(size=n)
        differences = []
        for _ in range(3):
            for test in np.array_split(rng.permutation(n), 5):
                train = np.setdiff1d(np.arange(n), test)
                errors = [
                    np.mean((y[test] - X[test, j] * (X[train, j] @ y[train]) / (X[train, j] @ X[train, j])) ** 2)
                    for j in range(2)
                ]
                differences.append(errors[0] - errors[1])
        alarms += [corrected_resampled_t_test(differences, ratio)[1] < 0.05 for ratio in (0.25, 0)]
    corrected, ordinary = alarms / n_cohorts
    assert corrected < 0.1
    assert ordinary > 0.2
