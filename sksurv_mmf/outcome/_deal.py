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


def deal_groups(groups, event, n_folds, times, random_state=None):
    """Deal whole groups of patients to folds: the largest first, each to the fold that has least of what it brings.

    What a group brings are shares of all patients, of all events, and of each time bin among events and among censored
    patients; a fold's load is the sum of its groups' shares. The fold in which shares and load have the smallest
    product is the one where the squared loads, summed over folds, grow least.

    Groups with events come before those without, and a fold without patients has no load. So each fold has an event
    if there are as many groups with events as folds.

    Parameters
    ----------
    groups : ndarray of int, shape (n_patients,)
        Number of each patient's group, from 0 on and without gaps.
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    n_folds : int
        Number of folds, at most the number of groups.
    times : ndarray of int, shape (n_patients,)
        Time bins.
    random_state : numpy.random.RandomState, default=None
        Shuffles groups of about the same number of events, within a factor of two. None takes them by their events,
        patients and numbers.

    Returns
    -------
    ndarray of int, shape (n_patients,)
        The fold in which each patient is left out.
    """
    stratum = np.unique([event, times], axis=1, return_inverse=True)[1].ravel()
    strata = np.zeros((groups.max() + 1, stratum.max() + 1))
    np.add.at(strata, (groups, stratum), 1)
    n_patients, n_events = strata.sum(axis=1), np.bincount(groups, weights=event)
    shares = np.column_stack([n_patients / len(event), n_events / event.sum(), strata / strata.sum(axis=0)])
    weights = np.r_[1, 1, np.full(strata.shape[1], 1 / strata.shape[1])]  # the time bins together as much as events

    if random_state is None:
        order = np.lexsort((-n_patients, -n_events))
    else:
        order = random_state.permutation(len(strata))
        # floor(log2(n)) + 1, and 0 of 0
        order = order[np.argsort(-np.frexp(n_events[order])[1], kind="stable")]
    load, fold_of = np.zeros((n_folds, shares.shape[1])), np.empty(len(strata), dtype=int)
    for group in order:
        # rounded, so that folds that are equal to a reader are equal on every processor
        fold = fold_of[group] = np.argmin((load @ (weights * shares[group])).round(12))
        load[fold] += shares[group]
    return fold_of[groups]


def train_and_test(folds, n_folds):
    """Pairs of the positions to train on and those left out, fold by fold."""
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(n_folds)]
