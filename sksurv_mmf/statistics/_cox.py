"""Cox models of a few covariates with strata, by Newton's method: coefficients, their covariance, and what is likely.

scikit-survival's Cox model has neither strata nor standard errors.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

MOST_STEPS = 50
MOST_HALVINGS = 30
CONVERGED = 1e-9  # of what a step may still add to the log-likelihood
LARGEST_STEP = 1e-3  # of a coefficient at the maximum; towards an infinite one, each step is about 1
LARGEST_MOVE = 5.0  # of a coefficient in one step, as Newton's method may leap from a flat place
DEPENDENT = 1e-8  # share of a column's length that other columns leave unexplained


@dataclass(frozen=True)
class CoxEvents:
    """What a Cox model says at each event: the mean and covariance of covariates among those at risk.

    Attributes
    ----------
    rows : ndarray of int, shape (n_events,)
        Patients with events.
    log_likelihood : float
        Log partial likelihood.
    residuals : ndarray of shape (n_events, n_columns)
        Schoenfeld residuals: covariates minus their mean among those at risk.
    covariances : ndarray of shape (n_events, n_columns, n_columns)
        Covariances of covariates among those at risk.
    """

    rows: np.ndarray
    log_likelihood: float
    residuals: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    coef : ndarray of shape (n_columns,)
        Log hazard ratios. NaN for a column that others explain, which is left out, and for all if the likelihood has no
        maximum.
    covariance : ndarray of shape (n_columns, n_columns)
        Inverse of the observed information; NaN where `coef` is.
    log_likelihood : float
        Log partial likelihood at the maximum, or what it tends to.
    rank : int
        Number of coefficients that were estimated.
    """

    coef: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    rank: int

    def interval(self, column, confidence_level=0.95):
        """Confidence limits of a coefficient (Wald)."""
        margin = stats.norm.ppf((1 + confidence_level) / 2) * np.sqrt(self.covariance[column, column])
        return self.coef[column] - margin, self.coef[column] + margin


def at_events(coef, X, event, time, stratum):
    """Look at each event with given coefficients, as `CoxEvents`.

    Tied events share Efron's denominators: the k-th of d has lost (k - 1) / d of the weight of those who have the event
    at that time.

    Parameters
    ----------
    coef : ndarray of shape (n_columns,)
        Log hazard ratios.
    X : ndarray of shape (n_patients, n_columns)
        Covariates.
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.
    stratum : ndarray of int, shape (n_patients,)
        Patients are compared with those of the same stratum alone.
    """
    # By stratum, within it from the last to the first, so that those at risk are all from the stratum's start on.
    order = np.lexsort((-time, stratum))
    X, event, time, stratum = X[order], event[order], time[order], stratum[order]
    log_hazard = X @ coef
    starts = np.r_[0, 1 + np.flatnonzero(np.diff(stratum))]
    first = np.repeat(starts, np.diff(np.r_[starts, len(X)]))
    # The largest of each stratum is 1, so that no exponential overflows.
    log_hazard = log_hazard - np.maximum.reduceat(log_hazard, starts)[np.searchsorted(starts, first)]
    weight = np.exp(log_hazard)
    new = np.r_[True, (np.diff(stratum) != 0) | (np.diff(time) != 0)]
    tie = np.cumsum(new) - 1
    n_tied = np.bincount(tie, event)[tie]
    last = np.r_[np.flatnonzero(new)[1:], len(X)][tie]  # where the patients of this time end
    earlier = np.cumsum(event) - event  # events before, of which those of the same time count
    share = (earlier - earlier[np.flatnonzero(new)][tie])[event] / n_tied[event]

    def denominators(values):
        summed = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        at_risk = (summed[last] - summed[first])[event]
        of_events = np.cumsum(np.where(event.reshape(-1, *[1] * (values.ndim - 1)), values, 0), axis=0)
        of_events = np.concatenate([np.zeros((1, *values.shape[1:])), of_events])
        tied = (of_events[last] - of_events[np.flatnonzero(new)][tie])[event]
        return at_risk - share.reshape(-1, *[1] * (values.ndim - 1)) * tied

    total = denominators(weight)
    mean = denominators(weight[:, None] * X) / total[:, None]
    square = denominators(weight[:, None, None] * X[:, :, None] * X[:, None, :]) / total[:, None, None]
    log_likelihood = float(log_hazard[event].sum() - np.log(total).sum())
    return CoxEvents(order[event], log_likelihood, X[event] - mean, square - mean[:, :, None] * mean[:, None, :])


def fit_cox(X, event, time, stratum):
    """Fit a Cox model to a few covariates, with Efron's method for ties [1]_, as R's `coxph` does by default.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_columns)
        Covariates; there may be none, and some that others explain.
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.
    stratum : ndarray of int, shape (n_patients,)
        Each stratum has a baseline hazard of its own.

    Returns
    -------
    CoxFit

    References
    ----------
    .. [1] Efron, B. "The efficiency of Cox's likelihood function for censored data." Journal of the American
           Statistical Association 72(359), 557-565 (1977).
    """
    centred = _centre(X, stratum)
    kept = _independent(centred)
    centred = centred[:, kept]
    coef = np.zeros(len(kept))
    now = at_events(coef, centred, event, time, stratum)
    has_maximum = False
    for _ in range(MOST_STEPS):
        gradient, information = now.residuals.sum(axis=0), now.covariances.sum(axis=0)
        step = np.linalg.pinv(information, hermitian=True) @ gradient
        if gradient @ step < CONVERGED:
            # Without columns there is nothing to find, and numpy 2.0 has no rank of such a matrix.
            has_maximum = 0 < len(kept) == np.linalg.matrix_rank(information) and np.abs(step).max() < LARGEST_STEP
            break
        step *= min(1, LARGEST_MOVE / np.abs(step).max())
        for _ in range(MOST_HALVINGS):
            later = at_events(coef + step, centred, event, time, stratum)
            if later.log_likelihood >= now.log_likelihood:
                break
            step /= 2
        coef, now = coef + step, later
    all_coef, covariance = np.full(X.shape[1], np.nan), np.full((X.shape[1], X.shape[1]), np.nan)
    if has_maximum:
        all_coef[kept] = coef
        covariance[np.ix_(kept, kept)] = np.linalg.inv(now.covariances.sum(axis=0))
    return CoxFit(all_coef, covariance, now.log_likelihood, len(kept))


def likelihood_ratio_test(full, reduced):
    """Chi-squared, degrees of freedom and p-value of what `full` has beyond `reduced`; NaN for p if that is nothing."""
    chi2, df = max(0.0, 2 * (full.log_likelihood - reduced.log_likelihood)), full.rank - reduced.rank
    return chi2, df, float(stats.chi2.sf(chi2, df)) if df else np.nan


def _centre(X, stratum):
    """Covariates minus their mean in the stratum, which the baseline takes."""
    _, stratum = np.unique(stratum, return_inverse=True)
    sums = np.zeros((stratum.max(initial=0) + 1, X.shape[1]))
    np.add.at(sums, stratum, X)
    return X - (sums / np.maximum(np.bincount(stratum, minlength=len(sums)), 1)[:, None])[stratum]


def _independent(X):
    """Positions of the columns that are no linear combination of those before them."""
    kept, basis = [], np.empty((len(X), 0))
    for column, values in enumerate(X.T):
        rest = values - basis @ (basis.T @ values)
        rest = rest - basis @ (basis.T @ rest)  # twice, because the first leaves rounding errors behind
        length = np.linalg.norm(rest)
        if length > DEPENDENT * max(np.linalg.norm(values), 1e-300):
            kept.append(column)
            basis = np.column_stack([basis, rest / length])
    return np.array(kept, dtype=int)
