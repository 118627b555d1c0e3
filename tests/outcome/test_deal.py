"""Patients are dealt to folds so that folds resemble each other."""

import numpy as np
import pytest

from sksurv_mmf.outcome._deal import deal, train_and_test


@pytest.fixture
def event():
    return np.random.default_rng(0).random(47) < 0.4


def spread(folds, rows, n_folds):
    """Difference between the most and the fewest of `rows` in a fold."""
    return np.ptp(np.bincount(folds[rows], minlength=n_folds))


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("n_folds", [2, 5, 9])
def test_folds_differ_by_one_at_most(event, n_folds, seed):
    times = np.random.default_rng(1).integers(4, size=len(event))
    random_state = None if seed is None else np.random.RandomState(seed)
    folds = deal(event, n_folds, times, random_state)
    groups = [np.ones_like(event), event, *(group & (times == time) for group in (event, ~event) for time in range(4))]
    assert all(spread(folds, rows, n_folds) <= 1 for rows in groups)


def test_events_come_first_and_early_before_late():
    event = np.array([False, True, True, False, True])
    times = np.array([1.0, 9.0, 2.0, 0.5, 5.0])
    assert deal(event, 5, times).tolist() == [4, 2, 0, 3, 1]
    assert deal(event, 5).tolist() == [3, 0, 1, 4, 2]


def test_shuffling_changes_folds_and_is_the_callers(event):
    first, again = (deal(event, 5, random_state=np.random.RandomState(0)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != deal(event, 5).tolist()


def test_every_patient_is_left_out_once(event):
    pairs = train_and_test(deal(event, 5), 5)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(len(event)))
    assert all(sorted([*train, *test]) == list(range(len(event))) for train, test in pairs)
