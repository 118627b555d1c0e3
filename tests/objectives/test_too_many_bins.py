"""A number of bins takes no memory that the patients do not need."""

import tracemalloc

import numpy as np
import pytest
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.objectives import DiscreteHazard

EVENT = np.arange(40) % 2 == 0
TIME = np.random.default_rng(0).exponential(size=40)


@pytest.fixture
def peak():
    """Most bytes that were allocated since the start of the test."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("n_bins", [21, 10**9])
def test_more_bins_than_events_are_refused(n_bins, peak):
    with pytest.raises(
        ValueError, match=rf'n_bins={n_bins} time bins are more than the 20 events of the 40 .*take "auto"'
    ):
        DiscreteHazard(n_bins).fit(EVENT, TIME)
    assert peak() < 10**6


def test_as_many_bins_as_events_are_not():
    assert DiscreteHazard(20).fit(EVENT, TIME).n_outputs_ == 20


def test_a_model_refuses_them_too(make_cohort, peak):
    cohort = make_cohort()
    model = FusionSurvivalAnalysis(objective=DiscreteHazard(10**9), n_estimators=1, max_epochs=1, device="cpu")
    with pytest.raises(ValueError, match=r"n_bins=1000000000 time bins are more than"):
        model.fit(cohort.X, cohort.y)
    assert peak() < 10**8


def test_folds_are_balanced_as_finely_as_can_be_and_no_finer(peak):
    y = Surv.from_arrays(EVENT, TIME)
    folds = [[test.tolist() for _, test in SurvivalKFold(4, n_time_bins=n).split(y, y)] for n in (40, 80, 1000, 10**9)]
    assert folds[0] == folds[1] == folds[2] == folds[3]
    assert peak() < 10**7
