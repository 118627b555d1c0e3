"""Is the difference of two models real? Tests for scores that come from the same folds and the same patients."""

import numpy as np
from scipy import stats
from scipy.special import expit, logit

AT_ONCE = 2**19
"""Counts of a block of resamples: few enough for the cache."""


def corrected_standard_error(values, test_ratio):
    """Standard error of a mean over folds, corrected for the overlap of their training patients.

    Scores of folds are not independent: two of five training sets share three quarters of their patients. The variance
    of the mean is therefore not variance / folds, but variance x (1 / folds + n_test / n_train) [1]_.

    Parameters
    ----------
    values : array-like of shape (n_folds,)
        A score, or a difference of scores, of each fold of all repetitions.

    test_ratio : float
        Number of test patients per training patient: 0.25 with five folds.

    Returns
    -------
    float
        The standard error; NaN with fewer than two folds.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. "Inference for the generalization error", Machine Learning 52, 2003, section 3.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan
    # Repetitions let the first term vanish and not the second: they do not add patients.
    return float(np.sqrt((1 / len(values) + test_ratio) * values.var(ddof=1)))


def mean_interval(values, test_ratio, confidence_level=0.95, limits=(-np.inf, np.inf)):
    """Confidence interval of a mean over folds, from the corrected standard error and Student's t.

    It ends at `limits`, between which the values must lie: what lies beyond cannot be the mean, so that an interval
    that is cut off there covers it as often.
    """
    error = corrected_standard_error(values, test_ratio)
    if np.isnan(error):
        return np.nan, np.nan
    margin = stats.t.ppf((1 + confidence_level) / 2, len(values) - 1) * error
    lower, upper = np.clip([np.mean(values) - margin, np.mean(values) + margin], *limits)
    return float(lower), float(upper)


def score_interval(values, test_ratio, confidence_level=0.95, limits=(-np.inf, np.inf)):
    """Confidence interval of the mean of a score that lies between `limits`.

    Where both are finite it is computed on the logit scale (delta method), on which no end is near: it lies within
    them without being cut off, and is longer towards the far one. Elsewhere it is that of `mean_interval`, as for
    differences, whose interval has to leave out zero just where the t-test finds one.
    """
    if not np.isfinite(limits).all():
        return mean_interval(values, test_ratio, confidence_level, limits)
    low, high = limits
    share = (np.asarray(values, dtype=float) - low) / (high - low)
    error = corrected_standard_error(share, test_ratio)
    mean = share.mean() if len(share) else np.nan
    # NaN with a single fold; without spread, or at an end, there is nothing to transform.
    if not (error > 0 and 0 < mean < 1):
        return mean_interval(values, test_ratio, confidence_level, limits)
    margin = stats.t.ppf((1 + confidence_level) / 2, len(share) - 1) * error / (mean * (1 - mean))
    lower, upper = low + (high - low) * expit(logit(mean) + np.array([-margin, margin]))
    return float(lower), float(upper)


def difference_limits(limits):
    """Limits of the difference of two values that lie between `limits`."""
    low, high = limits
    return low - high, high - low


def corrected_resampled_t_test(differences, test_ratio):
    """Two-sided corrected resampled t-test of Nadeau and Bengio.

    Parameters
    ----------
    differences : array-like of shape (n_folds,)
        Difference of two models' scores in each fold of all repetitions.

    test_ratio : float
        Number of test patients per training patient. 0 gives the ordinary paired t-test.

    Returns
    -------
    statistic, p_value : float
        Student's t with ``n_folds - 1`` degrees of freedom, and its p-value. Differences that are all zero give 0 and
        1; a single fold gives NaN.
    """
    differences = np.asarray(differences, dtype=float)
    error = corrected_standard_error(differences, test_ratio)
    if np.isnan(error):
        return np.nan, np.nan
    mean = differences.mean()
    # Models that predict the same have no error either, and 0 / 0 is no statistic.
    if mean == 0:
        return 0.0, 1.0
    # Differences that are equal in all folds have no error; the statistic then is what it tends to.
    statistic = float(mean / error) if error > 0 else float(np.copysign(np.inf, mean))
    return statistic, float(2 * stats.t.sf(abs(statistic), len(differences) - 1))


def divide_or_nan(above, below):
    """Quotients, NaN where `below` is not positive."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


def paired_bootstrap(patients, differences, n_bootstrap, random_state):
    """Differences of two models on resampled patients.

    A patient who is drawn twice counts twice, in all repetitions of the cross-validation alike.

    Parameters
    ----------
    patients : list of ndarray of shape (n_test,)
        Of each fold the integer labels of its test patients.

    differences : iterable of callable
        Of each fold the difference of the models, from the number of times that each of its patients was drawn, shape
        (n_bootstrap, n_test), to shape (n_bootstrap,); NaN in resamples where it does not exist.

    n_bootstrap : int
        Number of resamples.

    random_state : numpy.random.RandomState
        Draws the patients.

    Returns
    -------
    ndarray of shape (n_bootstrap,)
        Mean difference over those folds in which it exists; NaN if it does in none.
    """
    labels = np.unique(np.concatenate(patients))
    folds = [(np.searchsorted(labels, in_fold), difference) for in_fold, difference in zip(patients, differences)]
    at_once = max(8, AT_ONCE // len(labels))
    blocks = [min(at_once, n_bootstrap - start) for start in range(0, n_bootstrap, at_once)]
    return np.concatenate([_resample(len(labels), folds, size, random_state) for size in blocks])


def _resample(n_labels, folds, n_bootstrap, random_state):
    drawn = random_state.multinomial(n_labels, np.full(n_labels, 1 / n_labels), size=n_bootstrap)
    total, n_folds = np.zeros(n_bootstrap), np.zeros(n_bootstrap)
    for in_fold, difference in folds:
        # Resampled within the fold, as risks of other folds come from other models, on scales of their own.
        values = difference(drawn[:, in_fold].astype(float))
        # A resample may leave a small fold without an event, and still has a difference in the others.
        exists = ~np.isnan(values)
        total[exists] += values[exists]
        n_folds += exists
    return divide_or_nan(total, n_folds)


def percentile_interval(draws, confidence_level=0.95):
    """Confidence interval from the percentiles of bootstrap draws, those that exist."""
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return np.nan, np.nan
    lower, upper = np.quantile(draws, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return float(lower), float(upper)


def bootstrap_p_value(draws):
    """Two-sided p-value of no difference: twice the share of draws on the rarer side of zero, zero included.

    One draw is added to both sides, so that the smallest p-value is 2 / (n_bootstrap + 1) and never 0.
    """
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return np.nan
    rarer = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + len(draws)))


def holm(p_values):
    """Holm's correction for several comparisons.

    Parameters
    ----------
    p_values : array-like of shape (n_comparisons,)
        Raw p-values. NaN is no comparison and stays NaN.

    Returns
    -------
    ndarray of shape (n_comparisons,)
        Adjusted p-values; the chance of any false alarm among those below a level is at most that level.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p_values), np.nan)
    # NaN come last and are cut off: what was not tested must not make the others pay.
    order = np.argsort(p_values, kind="stable")[: np.count_nonzero(~np.isnan(p_values))]
    factors = np.arange(len(order), 0, -1)
    # The factors fall, so that without the running maximum a larger p-value could become the smaller one.
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
