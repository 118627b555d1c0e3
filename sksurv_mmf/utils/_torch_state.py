"""What torch keeps for the whole process or thread: random numbers, and settings that a user may have changed."""

import os
from contextlib import ExitStack, contextmanager
from threading import Lock, RLock, local

import torch

AUTOCAST = ("cpu", "cuda")
_lock = RLock()
_dtype_lock = Lock()
_threads_lock = Lock()
_n_blocks, _users_dtype = 0, None
_n_limits, _users_threads = 0, 0
_own = local()  # of these blocks, those of a thread itself


def _renew_after_fork():
    """Forget the locks and the blocks of other threads, which do not exist in a forked process."""
    global _lock, _dtype_lock, _threads_lock, _n_blocks, _n_limits
    _lock, _dtype_lock, _threads_lock = RLock(), Lock(), Lock()
    _n_limits = getattr(_own, "n_limits", 0)
    others, _n_blocks = _n_blocks, getattr(_own, "n_blocks", 0)
    if others and not _n_blocks:
        torch.set_default_dtype(_users_dtype)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)


@contextmanager
def fork_rng(device: str = "cpu"):
    """Put the random states of the CPU and of `device` back after the block, which one thread at a time may enter.

    Modules such as torch's dropout draw from the generator of the process. Two blocks at once would take each other's
    numbers, and put back what the other one left.
    """
    on_gpu = torch.device(device).type == "cuda"
    with _lock, torch.random.fork_rng(devices=[device] if on_gpu else []):
        yield


@contextmanager
def usual_settings():
    """Inside the block new tensors are float32 on the CPU and gradients are recorded, as in a new process.

    Else a network would not fit its float32 input after ``torch.set_default_dtype(torch.float64)``, could not learn
    inside ``torch.inference_mode()``, and would compute in half precision inside ``torch.autocast``. Stands before a
    function, too.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in AUTOCAST:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        # get_default_device of torch 2.7 does not tell what `with torch.device(...)` chose.
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_default_float32())
        yield


@contextmanager
def _default_float32():
    """Make float32 the default, which is that of the process: the first block sets it, the last one puts it back.

    No lock is held in between, because a block may wait for the block of another thread, as batches are read ahead.
    """
    global _n_blocks, _users_dtype
    with _dtype_lock:
        if _n_blocks == 0:
            _users_dtype = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        _n_blocks += 1
        _own.n_blocks = getattr(_own, "n_blocks", 0) + 1
    try:
        yield
    finally:
        with _dtype_lock:
            _n_blocks -= 1
            _own.n_blocks -= 1
            if _n_blocks == 0:
                torch.set_default_dtype(_users_dtype)


@contextmanager
def n_threads(number: int | None):
    """Let torch use so many threads inside the block; None leaves it alone.

    A thread of Python that is new to torch takes over the latest number of any other, which may be that of a block. It
    is left with what the first of these blocks has found.
    """
    global _n_limits, _users_threads
    if number is None:
        yield
        return
    own = getattr(_own, "n_limits", 0)
    with _threads_lock:
        before = torch.get_num_threads()
        if _n_limits == 0:
            _users_threads = before
        elif own == 0 and before == number:
            before = _users_threads
        _n_limits, _own.n_limits = _n_limits + 1, own + 1
        torch.set_num_threads(number)
    try:
        yield
    finally:
        with _threads_lock:
            _n_limits, _own.n_limits = _n_limits - 1, own
            torch.set_num_threads(before)


@contextmanager
def tiny_numbers_as_zero():
    """Count numbers below float32's normal range, 1e-38, as zero.

    The moments that an optimizer keeps of a dead unit's gradients come to lie there, where a processor is slow.
    """
    # The mode is that of a thread, which those that it starts inherit. Torch keeps its threads, so they must be there.
    torch.zeros(torch.get_num_threads() * 2**15, dtype=torch.float32).sum()
    tiny = torch.tensor(torch.finfo(torch.float32).tiny, dtype=torch.float32)
    was_on = bool(tiny / 2 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)
