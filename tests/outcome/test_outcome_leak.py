from itertools import permutations
from math import exp

import numpy as np
import pandas as pd
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.outcome._leak import MAX_CHANCE, log_chance, warn_of_leak
from sksurv_mmf.outcome._outcome import Outcome


def draw(n_patients, seed=0):
    rng = np.random.default_rng(seed)
    return rng, rng.random(n_patients) < 0.6, rng.exponential(1000, n_patients)


@pytest.fixture
def outcome():
    return draw(60)[1:]


TIMES = {
    "the same": lambda event, time: time,
    "negated": lambda event, time: -time,
    "months": lambda event, time: (time / 30.4375).round(1),
    "whole years": lambda event, time: time // 365,
    "ranks": lambda event, time: time.argsort().argsort(),
    "logarithms": lambda event, time: np.log(time),
    "of the dead": lambda event, time: np.where(event, time, np.nan),
    "with gaps": lambda event, time: np.where(np.arange(len(time)) % 3 == 0, np.nan, time),
    "nullable": lambda event, time: pd.array(time, dtype="Float64"),
}

EVENTS = {
    "the same": lambda event, time: event,
    "censored": lambda event, time: 1 - event,
    "codes": lambda event, time: np.where(event, 7.5, -2),
    "signed times": lambda event, time: np.where(event, time, -time),
    "zero for the censored": lambda event, time: np.where(event, time, 0),
    "with gaps": lambda event, time: np.where(np.arange(len(time)) % 4 == 0, np.nan, event),
}


@pytest.mark.parametrize("n_others", [0, 300])
@pytest.mark.parametrize(
    ("what", "make"),
    [*(("time", make) for make in TIMES.values()), *(("event", make) for make in EVENTS.values())],
    ids=[*TIMES, *EVENTS],
)
def test_the_outcome_in_disguise_is_named(outcome, what, make, n_others):
    event, time = outcome
    others = np.random.default_rng(1).normal(size=(len(time), n_others))
    X = pd.DataFrame(others).add_prefix("rna__G").assign(clinical__x=make(event, time), clinical__word="a")
    with pytest.warns(UserWarning, match=rf"1 of {n_others + 2} columns .* the {what} .*: 'clinical__x'\.") as caught:
        warn_of_leak(X, Outcome(event, time))
    assert len(caught) == 1


def test_two_examples_and_the_count_are_told(outcome):
    event, time = outcome
    X = pd.DataFrame({"a": time, "b": -time, "c": 2 * time, "noise": np.random.default_rng(0).normal(size=60)})
    with pytest.warns(UserWarning, match=r"3 of 4 columns .*: 'a', 'b' and 1 more\."):
        warn_of_leak(X, Outcome(event, time))


@pytest.mark.parametrize("n_patients", [2, 5, 8, 12, 60])
def test_chance_is_no_leak(n_patients):
    """Among 40 columns of every kind some order few patients by chance."""
    for seed in range(40):
        rng, event, time = draw(n_patients, seed)
        shape = (n_patients, 10)
        numbers = [rng.integers(0, 2, shape), rng.integers(0, 4, shape), rng.normal(size=shape), np.zeros(shape)]
        warn_of_leak(pd.DataFrame(np.hstack(numbers)), Outcome(event, time))


def test_repeated_patients_are_no_further_evidence():
    """A gene that is higher in both of the dead of four patients is so in all rows of a bootstrap."""
    rows = np.repeat(np.arange(4), 15)
    event, time = np.array([True, True, False, False])[rows], np.array([3.0, 1.0, 4.0, 2.0])[rows]
    X = pd.DataFrame({"gene": [5.0, 6.0, 1.0, 2.0]}, ["Ann", "Bea", "Cleo", "Dora"]).iloc[rows]
    warn_of_leak(X, Outcome(event, time))
    with pytest.warns(UserWarning, match="the event in y.*'gene'"):
        warn_of_leak(X.reset_index(drop=True), Outcome(event, time))


def test_censoring_at_the_same_time_is_evidence():
    """Trials end for all at once."""
    event = np.arange(40) < 15
    time = np.where(event, np.arange(1, 41), 365.0)
    with pytest.warns(UserWarning, match=r"the event in y.*'dead'"):
        warn_of_leak(
            pd.DataFrame({"dead": event, "age": np.random.default_rng(0).normal(size=40)}), Outcome(event, time)
        )


def test_a_column_that_nearly_orders_the_times_is_a_good_column(outcome):
    event, time = outcome
    nearly = np.sort(time)[time.argsort().argsort()]
    first, last = time.argmin(), time.argmax()
    nearly[[first, last]] = nearly[[last, first]]
    warn_of_leak(pd.DataFrame({"x": nearly}), Outcome(event, time))


@pytest.mark.parametrize(
    ("values", "target"),
    [([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]), ([0, 0, 1, 1, 2], [1, 1, 2, 3, 3]), ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1])],
)
def test_the_chance_is_twice_the_share_of_all_orders_that_rise(values, target):
    def rises(order):
        pairs = [(one, two) for one, t in zip(order, target) for two, u in zip(order, target) if t < u]
        return all(one <= two for one, two in pairs)

    share = np.mean([rises(order) for order in permutations(values)])
    assert exp(log_chance(np.array(values), np.array(target))) == pytest.approx(2 * share)


def test_the_bound_holds_for_all_columns_together():
    """Twelve patients are enough for one column, but not for a thousand."""
    _, event, time = draw(12)
    assert exp(log_chance(time, time)) * 1000 > MAX_CHANCE / 10
    X = pd.DataFrame({"x": time})
    with pytest.warns(UserWarning, match="'x'"):
        warn_of_leak(X, Outcome(event, time))
    warn_of_leak(X.join(pd.DataFrame(np.random.default_rng(0).normal(size=(12, 1000)))), Outcome(event, time))


def test_genes_do_not_hide_the_event():
    """Thousands of columns might order thirty patients by chance, but hardly any is of zeros and ones."""
    rng, event, time = draw(30)
    X = pd.DataFrame(rng.normal(size=(30, 3000))).add_prefix("rna__G").assign(clinical__dead=event)
    with pytest.warns(UserWarning, match=r"the event in y.*'clinical__dead'"):
        warn_of_leak(X, Outcome(event, time))


@pytest.mark.parametrize(
    "model",
    [
        FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=0),
        LateFusionSurvivalAnalysis([("a", CoxPHSurvivalAnalysis(alpha=1.0))], cv=2),
    ],
    ids=lambda one: type(one).__name__,
)
def test_estimators_look_for_it(outcome, model):
    event, time = outcome
    X = pd.DataFrame({"a__age": np.random.default_rng(0).normal(size=60), "a__follow_up": time / 1000})
    with pytest.warns(UserWarning, match="a__follow_up"):
        model.fit(X, Surv.from_arrays(event, time))
