"""One result from several divisions of the same patients, whose results depend on each other in no known way."""

import numpy as np


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
