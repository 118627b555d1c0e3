"""Resamples of patients, the same for every number that is computed from them."""

from dataclasses import dataclass

import numpy as np

from ..statistics._paired_tests import AT_ONCE, percentile_interval


@dataclass(frozen=True)
class Resamples:
    """How often each patient was drawn, with replacement, in each of many resamples.

    Attributes
    ----------
    n_patients : int
        Number of patients, and of draws.
    n_bootstrap : int
        Number of resamples.
    seed : int
        Draws the patients.
    confidence_level : float
        Level of the intervals.
    """

    n_patients: int
    n_bootstrap: int
    seed: int
    confidence_level: float

    def __iter__(self):
        """Yield counts, (n_resamples, n_patients), in blocks that fit into memory."""
        random = np.random.RandomState(self.seed)
        at_once = max(8, AT_ONCE // self.n_patients)
        for start in range(0, self.n_bootstrap, at_once):
            size = min(at_once, self.n_bootstrap - start)
            yield random.multinomial(self.n_patients, [1 / self.n_patients] * self.n_patients, size).astype(float)

    def summarise(self, statistic):
        """Value of a statistic of the patients as they are, with its percentile interval.

        Parameters
        ----------
        statistic : callable
            From counts, (n_resamples, n_patients), to (n_resamples,) or (n_resamples, n_values).

        Returns
        -------
        ndarray of shape (3,) or (3, n_values)
            Value, lower and upper limit. The interval is of those resamples in which the value exists; NaN where the
            value itself does not.
        """
        value = statistic(np.ones((1, self.n_patients)))[0]
        draws = np.concatenate([statistic(drawn) for drawn in self])
        columns = draws.reshape(len(draws), -1).T
        limits = np.array([percentile_interval(column, self.confidence_level) for column in columns])
        found = np.vstack([np.ravel(value), limits.T])
        found[:, np.isnan(found[0])] = np.nan
        return found if np.ndim(value) else found[:, 0]
