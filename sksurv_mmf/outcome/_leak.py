"""Columns of X that are the outcome in disguise."""

from math import log

import numpy as np
import pandas as pd
from scipy.special import gammaln

from ..utils._validation import shorten
from ..utils._warnings import warn

MAX_CHANCE = 1e-6
"""How likely a warning may be if no column has to do with the outcome."""

N_ROWS = (24, 72)
"""Patients who are looked at first: they rule out nearly all columns."""


def warn_of_leak(X, outcome):
    """Warn of columns that rise or fall with the time, or with the event, without exception.

    Such a column is the outcome itself: negated, in other units, rounded, missing for some, or zero for the censored.
    Few patients may be so by chance, so a column is named only if that is less likely than `MAX_CHANCE` for all
    columns together.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns) or ndarray
        The cohort. Columns that are not of numbers are left out; values may be missing.
    outcome : Outcome
        Event and time.
    """
    X = pd.DataFrame(X, copy=False)
    told = set()
    for name, target in {"event": outcome.event, "time": outcome.time}.items():
        columns = [column for column in leaking_columns(X, target) if column not in told]
        told.update(columns)
        if len(columns):
            one = len(columns) == 1
            warn(
                f"{len(columns)} of {X.shape[1]} columns of X {'rises or falls' if one else 'rise or fall'} with the "
                f"{name} in y without exception, as if {'it was' if one else 'they were'} the {name}: "
                f"{shorten(columns, 2)}. A model that knows the outcome predicts nothing: drop what is not known "
                "before the follow-up starts.",
            )


def leaking_columns(X, target):
    """Names of the columns whose order is that of the target, by more than chance.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        The cohort.
    target : ndarray of shape (n_patients,)
        Times or events.
    """
    is_number = {dtype: _is_number(dtype) for dtype in X.dtypes.unique()}
    columns = np.flatnonzero([is_number[dtype] for dtype in X.dtypes])
    order = np.argsort(target, kind="stable")
    n_binary = None
    for n_rows in N_ROWS:
        # Spread over the whole order, because patients of one outcome rule out nothing.
        rows = order[np.linspace(0, len(order) - 1, min(n_rows, len(order))).astype(int)]
        values = _floats(X.iloc[rows].iloc[:, columns])
        if n_binary is None:
            n_binary = ((values == 0) | (values == 1) | np.isnan(values)).all(axis=0).sum()
        columns = columns[is_monotone(values, target[rows])]
    values = _floats(X.iloc[:, columns])
    # A column of one value rises and falls with everything.
    varies = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
    columns, values = columns[varies], values[np.ix_(order, varies)]
    target, repeated = target[order], X.index.duplicated()[order]
    likely = is_monotone(values, target)
    return [
        X.columns[column]
        for column, values in zip(columns[likely], values.T[likely])
        if _is_no_chance(values, target, repeated, n_binary, X.shape[1])
    ]


def _floats(X):
    return X.to_numpy(dtype=float, na_value=np.nan)


def _is_no_chance(values, target, repeated, n_binary, n_columns):
    known = ~np.isnan(values)
    if not is_monotone(values[known, np.newaxis], target[known])[0]:
        return False
    # Columns of zeros and ones are like the event more easily than others, and often fewer.
    n_alike = n_binary if np.isin(values[known], [0, 1]).all() else n_columns
    known &= ~repeated  # a patient who was drawn twice is no further evidence
    return log_chance(values[known], target[known]) + log(n_alike) < log(MAX_CHANCE)


def is_monotone(values, target):
    """Which columns of `values` never fall, or never rise, where `target`, which is sorted, rises; NaN are passed."""
    # NaN differs from any number, so that the first patient starts a group.
    starts = np.flatnonzero(np.diff(target, prepend=np.nan) != 0)
    if not len(starts):
        return np.zeros(values.shape[1], dtype=bool)
    highest, lowest = (extreme.reduceat(values, starts, axis=0) for extreme in (np.fmax, np.fmin))
    return ~(highest[:-1] > lowest[1:]).any(axis=0) | ~(lowest[:-1] < highest[1:]).any(axis=0)


def log_chance(values, target):
    """Logarithm of the chance that `values` have the order of the target, or as exactly the reverse.

    Of all n! / prod(m_v!) ways to deal values that occur m_v times to the patients, those count which differ from the
    present one within groups of equal targets only; twice, for the two directions.
    """
    if len(values) == 0:
        return 0.0
    ranks = [np.unique(one, return_inverse=True)[1] for one in (values, target)]
    by_value, by_target = (gammaln(np.bincount(one) + 1).sum() for one in ranks)
    by_both = gammaln(np.unique(np.column_stack(ranks), axis=0, return_counts=True)[1] + 1).sum()
    # The two directions may overlap, and their sum exceed 1.
    return min(0.0, log(2) + by_target - by_both + by_value - gammaln(len(values) + 1))


def _is_number(dtype):
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
