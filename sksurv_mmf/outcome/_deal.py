"""Patients dealt to folds like cards, for whatever is cross-validated."""

import numpy as np


def deal(event, n_folds, times=None, random_state=None):
    """Deal patients to folds in turn: those with an event first, each group from early to late.

    In turn, because any run of patients in this order is then spread with counts that differ by one at most: all
    patients, all events, and whoever has the same time or time bin. Drawing folds at random leaves some of a small
    cohort without an event.

    Parameters
    ----------
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    n_folds : int
        Number of folds.
    times : ndarray of shape (n_patients,), default=None
        Times or time bins to sort by; None sorts by event alone.
    random_state : numpy.random.RandomState, default=None
        Shuffles patients of the same event and time. None keeps their order.

    Returns
    -------
    ndarray of int, shape (n_patients,)
        The fold in which each patient is left out.
    """
    n_patients = len(event)
    order = np.arange(n_patients) if random_state is None else random_state.permutation(n_patients)
    times = np.zeros(n_patients) if times is None else times
    # The sort is stable: what was shuffled before it stays shuffled among equals. Its last key counts most.
    order = order[np.lexsort((times[order], ~event[order]))]
    folds = np.empty(n_patients, dtype=int)
    folds[order] = np.arange(n_patients) % n_folds
    return folds


def train_and_test(folds, n_folds):
    """Pairs of the positions to train on and those left out, fold by fold."""
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(n_folds)]
