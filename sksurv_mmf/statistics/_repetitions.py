"""One result from several divisions of the same patients, whose results depend on each other in no known way."""

import numpy as np

from ._paired_tests import divide_or_nan


def combined_p_value(p_values):
    """Twice the median of the p-values, at most 1, or the p-value if there is one only.

    That is a p-value again whatever the dependence, at the price that it is never smaller than twice what a typical
    division says [1]_.

    References
    ----------
    .. [1] Meinshausen, N., Meier, L., Bühlmann, P. "p-values for high-dimensional regression." Journal of the American
           Statistical Association 104(488), 1671-1681 (2009), with the quantile one half.
    """
    p_values = np.asarray(p_values, dtype=float)
    return float(np.minimum(1, 2 * np.median(p_values))) if len(p_values) > 1 else float(p_values[0])


def level_of_each(confidence_level, n_repetitions):
    """Level that limits need in each division so that their medians have `confidence_level`: half the error each."""
    return confidence_level if n_repetitions == 1 else (1 + confidence_level) / 2


def stratified_concordance(sums, pairs):
    """A statistic for `paired_bootstrap`: a ratio of sums over pairs of patients of the same fold, over all folds.

    Folds that are too small to have an index of their own count with the pairs that they have.

    Parameters
    ----------
    sums : list of (ndarray of int, callable)
        Of each fold the positions of its patients, and what its pairs add to the numerator, from how often each of
        them was drawn, shape (n_in_fold, n_bootstrap), to shape (n_bootstrap,).
    pairs : list of callable
        Of each fold, what they add to the denominator.

    Returns
    -------
    callable
        From how often each patient was drawn, shape (n_bootstrap, n_patients), to the ratios; NaN without a pair.
    """

    def ratio(drawn):
        above = sum(one(drawn[:, rows].T) for rows, one in sums)
        below = sum(one(drawn[:, rows].T) for (rows, _), one in zip(sums, pairs))
        return divide_or_nan(above, below)

    return ratio
