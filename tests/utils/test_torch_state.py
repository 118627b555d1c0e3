"""Settings of torch that are those of the process."""

from threading import Event, Thread

import pytest
import torch

from sksurv_mmf.utils._torch_state import usual_settings


@pytest.fixture
def double():
    """The user's default is float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def start(function):
    thread = Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_a_block_may_wait_for_that_of_another_thread(double):
    seen = []

    def read_ahead():
        with usual_settings():
            seen.append(torch.get_default_dtype())

    with usual_settings():
        start(read_ahead).join(10)
        assert seen == [torch.float32]
        assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_dtype() == torch.float64


def test_the_last_block_puts_the_default_back(double):
    entered, may_leave = Event(), Event()

    def outlive():
        with usual_settings():
            entered.set()
            may_leave.wait(10)

    with usual_settings():
        other = start(outlive)
        entered.wait(10)
    assert torch.get_default_dtype() == torch.float32
    may_leave.set()
    other.join(10)
    assert torch.get_default_dtype() == torch.float64
