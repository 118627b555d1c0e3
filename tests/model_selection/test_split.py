import numpy as np
import pytest
from chance import margin_of_chance
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold


def make_outcome(n_patients, n_events, seed, tied=False):
    rng = np.random.default_rng(seed)
    event = rng.permutation(np.arange(n_patients) < n_events)
    time = rng.integers(1, 6, n_patients) if tied else rng.weibull(1.5, n_patients) * 1000 + 1
    return Surv.from_arrays(event, time)


def fold_sets(cv, y):
    return [set(test) for _, test in cv.split(y, y)]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("n_patients", "n_events", "n_splits"), [(50, 5, 5), (79, 28, 5), (101, 98, 3), (40, 40, 7)])
def test_every_fold_is_a_small_copy_of_the_cohort(n_patients, n_events, n_splits, shuffle, tied):
    y = make_outcome(n_patients, n_events, seed=n_patients, tied=tied)
    cv = SurvivalKFold(n_splits, n_time_bins=4, shuffle=shuffle, random_state=0 if shuffle else None)
    seen = np.zeros(n_patients, dtype=int)
    for train, test in cv.split(y, y):
        assert not set(train) & set(test)
        assert len(train) + len(test) == n_patients
        seen[test] += 1
        assert abs(len(test) - n_patients / n_splits) < 1
        assert y["event"][test].sum() >= 1
        assert abs(y["event"][test].sum() - n_events / n_splits) < 1
        for group in (y["event"], ~y["event"]):
            if not group.any():
                continue
            inner = np.quantile(y["time"][group], [0.25, 0.5, 0.75])
            quarter = np.searchsorted(inner, y["time"], side="right")
            for k in range(4):
                wanted = ((quarter == k) & group).sum() / n_splits
                assert abs(((quarter == k) & group)[test].sum() - wanted) < 1
    np.testing.assert_array_equal(seen, 1)


def test_plain_kfold_would_fail_what_the_stratified_one_guarantees():
    y = Surv.from_arrays(np.arange(100) < 10, np.arange(1, 101))
    assert [y["event"][test].sum() for _, test in KFold(5).split(y, y)] == [10, 0, 0, 0, 0]
    assert [y["event"][test].sum() for _, test in SurvivalKFold(5).split(y, y)] == [2, 2, 2, 2, 2]


def test_more_time_bins_than_events_is_the_finest_balance():
    y = make_outcome(100, 20, seed=1)
    rank = np.argsort(np.argsort(np.where(y["event"], y["time"], np.inf)))
    for _, test in SurvivalKFold(5, n_time_bins=1000, shuffle=True, random_state=0).split(y, y):
        own = np.sort(rank[test][y["event"][test]])
        # one event out of each five that are next to each other in time
        np.testing.assert_array_equal(own // 5, [0, 1, 2, 3])


def test_an_integer_seed_gives_the_same_folds_at_every_call():
    y = make_outcome(60, 30, seed=2)
    cv = SurvivalKFold(5, shuffle=True, random_state=3)
    assert fold_sets(cv, y) == fold_sets(cv, y) == fold_sets(clone(cv, safe=False), y)
    assert fold_sets(cv, y) != fold_sets(SurvivalKFold(5, shuffle=True, random_state=4), y)
    assert fold_sets(SurvivalKFold(5), y) == fold_sets(SurvivalKFold(5), y)


def test_the_global_random_state_is_neither_used_nor_changed():
    y = make_outcome(60, 30, seed=2)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(RepeatedSurvivalKFold(random_state=0).split(y, y))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_repetitions_are_partitions_that_differ():
    y = make_outcome(60, 30, seed=2)
    cv = RepeatedSurvivalKFold(n_splits=3, n_repeats=4, random_state=0)
    sets = fold_sets(cv, y)
    assert len(sets) == cv.get_n_splits() == 12
    repetitions = [frozenset(map(frozenset, sets[i : i + 3])) for i in range(0, 12, 3)]
    assert len(set(repetitions)) == 4
    for repetition in repetitions:
        assert set().union(*repetition) == set(range(60))
    assert sets == fold_sets(cv, y)


def test_the_first_repetition_is_the_shuffled_kfold_of_the_same_seed():
    y = make_outcome(60, 30, seed=2)
    once = fold_sets(SurvivalKFold(5, shuffle=True, random_state=7), y)
    assert fold_sets(RepeatedSurvivalKFold(5, random_state=7), y)[:5] == once


def test_works_in_cross_val_score_and_grid_search():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    time = rng.exponential(np.exp(-2 * X[:, 0]))
    y = Surv.from_arrays(np.ones(200, dtype=bool), time)
    scores = cross_val_score(CoxPHSurvivalAnalysis(), X, y, cv=SurvivalKFold(4, shuffle=True, random_state=0))
    assert len(scores) == 4
    assert scores.min() > 0.5 + margin_of_chance(y[:50])
    search = GridSearchCV(CoxPHSurvivalAnalysis(), {"alpha": [0.1, 1.0]}, cv=RepeatedSurvivalKFold(3, 2)).fit(X, y)
    assert search.n_splits_ == 6


@pytest.mark.parametrize("cv", [SurvivalKFold(5), RepeatedSurvivalKFold(5)], ids=lambda cv: type(cv).__name__)
@pytest.mark.parametrize("n_events", [0, 4])
def test_fewer_events_than_folds_is_refused(cv, n_events):
    y = make_outcome(50, n_events, seed=0)
    with pytest.raises(ValueError, match=rf"n_splits=5\) would make a fold without an event: y has {n_events} events"):
        next(cv.split(y, y))


@pytest.mark.parametrize("time", [np.nan, -1.0])
def test_impossible_times_are_refused(time):
    y = make_outcome(50, 25, seed=0)
    y["time"][3] = time
    with pytest.raises(ValueError, match=r"Patient 3 has a time that is (NaN|negative)"):
        next(SurvivalKFold().split(y, y))


def test_a_missing_outcome_is_refused():
    y = make_outcome(50, 25, seed=0)
    with pytest.raises(ValueError, match="needs y"):
        next(SurvivalKFold().split(y))
    with pytest.raises(ValueError, match="structured array"):
        next(SurvivalKFold().split(y, y["time"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SurvivalKFold(1), "n_splits"),
        (lambda: SurvivalKFold(n_time_bins=0), "n_time_bins"),
        (lambda: SurvivalKFold(shuffle="yes"), "shuffle"),
        (lambda: SurvivalKFold(random_state=0), "no effect without shuffling"),
        (lambda: RepeatedSurvivalKFold(n_repeats=0), "n_repeats"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_repr_shows_the_parameters():
    assert repr(SurvivalKFold(3)) == "SurvivalKFold(n_splits=3, n_time_bins=4, random_state=None, shuffle=False)"
