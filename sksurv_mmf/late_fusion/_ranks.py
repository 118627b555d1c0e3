"""What a member is asked: risks as ranks, which have the same scale whatever the model, and survival curves."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone

from ..predictions._ask import predict_curves, predict_risk
from ..predictions._checks import carried_forward, check_curves, steps_of

SAME_RISK = 1e-6  # of the range of risks: floating-point noise, also of networks, that makes no patient higher


def relative_rank(risk, reference):
    """Rank of risks among those of a reference, from 0 to 1.

    The k-th lowest of n reference risks has the rank (k - 1/2) / n, and ties share their mean. In between the rank
    rises linearly, because a risk that changes in its last digit must not jump. Risks beyond the reference have the
    rank of its lowest or highest. If all risks of the reference are the same, every rank is 1/2.

    Parameters
    ----------
    risk : ndarray of shape (n_patients,)
        The risks to rank.
    reference : ndarray of shape (n_reference,)
        The risks to rank them among.

    Returns
    -------
    rank : ndarray of shape (n_patients,)
        The ranks.
    """
    reference = np.sort(reference)
    # Risks closer than noise are one group of ties; its mean risk and mean rank are a point to interpolate between.
    steps = np.diff(reference, prepend=reference[:1]) > SAME_RISK * (reference[-1] - reference[0])
    _, group, count = np.unique(np.cumsum(steps), return_inverse=True, return_counts=True)
    mean_risk = np.bincount(group, reference) / count
    mean_rank = (np.cumsum(count) - count / 2) / len(reference)
    return np.interp(risk, mean_risk, mean_rank)


@dataclass(frozen=True)
class RankingModel:
    """A fitted estimator and the risks of its training patients."""

    estimator: BaseEstimator
    reference: np.ndarray

    @classmethod
    def fit(cls, estimator, X, y):
        estimator = clone(estimator).fit(X, y)
        return cls(estimator, predict_risk(estimator, X))

    def rank(self, X):
        return relative_rank(predict_risk(self.estimator, X), self.reference)

    def survival(self, X, times):
        """Survival at `times`, (n_patients, n_times); curves that are none are refused."""
        curves = predict_curves(self.estimator, X)
        check_curves(curves, times, X.index)
        return carried_forward(curves, times)

    def steps(self, X):
        """Times at which the curve of the first patient steps, which are those of all in scikit-survival."""
        return steps_of(predict_curves(self.estimator, X)[0])
