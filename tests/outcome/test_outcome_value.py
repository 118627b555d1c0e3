import numpy as np
import pytest
from sksurv.util import Surv

from sksurv_mmf.outcome._outcome import Outcome

EVENT = np.array([True, False, True, True])
TIME = np.array([12.5, 30.0, 7.0, 1.0])


@pytest.fixture
def outcome():
    return Outcome.of(Surv.from_arrays(EVENT, TIME))


def test_it_unpacks_into_event_and_time_that_may_be_written_to(outcome):
    event, time = outcome
    assert event.tolist() == EVENT.tolist()
    assert time.tolist() == TIME.tolist()
    event[:], time[:] = False, -1
    assert outcome.event.tolist() == EVENT.tolist()
    assert outcome.time.tolist() == TIME.tolist()
    assert (len(outcome), outcome.n_events) == (4, 3)


def test_it_does_not_change(outcome):
    with pytest.raises(ValueError, match="read-only"):
        outcome.event[0] = False
    with pytest.raises(AttributeError):
        outcome.time = TIME


def test_it_is_not_changed_by_who_made_it():
    y = Surv.from_arrays(EVENT, TIME)
    outcome = Outcome.of(y)
    y["event"], y["time"] = False, -1.0
    assert outcome.n_events == 3
    assert outcome.time.tolist() == TIME.tolist()


def test_some_patients_come_in_the_order_asked_for_and_as_often(outcome):
    some = outcome.take(np.array([1, 1, 3, 0]))
    assert some.event.tolist() == [False, False, True, True]
    assert some.time.tolist() == [30.0, 30.0, 1.0, 12.5]


@pytest.mark.parametrize("time", [TIME[:3], TIME.reshape(2, 2), 3.0])
def test_times_of_other_patients_are_refused(time):
    with pytest.raises(ValueError, match=r"event has shape \(4,\) and time"):
        Outcome(EVENT, time)
