"""Randomness that belongs to one estimator."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

from ..utils._torch_state import fork_rng
from ._processes import taking_part


def draw_seed(random_state) -> int:
    """Seed of an estimator: `random_state` itself, a draw from it, or for None one from the system's entropy.

    None does not touch numpy's global generator, as scikit-learn's own convention would. Processes that train together
    take the seed of the first.
    """
    if random_state is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    elif isinstance(random_state, np.random.RandomState):
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    else:
        seed = int(random_state)
    processes = taking_part.get()
    return seed if processes.number == 1 else int(processes.of_first(torch.tensor(seed)))


@contextmanager
def torch_seed(seed: int, device: str):
    """Seed torch inside the block, one thread at a time, and put its random state back afterwards."""
    with fork_rng(device):
        reseed(seed, device)
        yield


def reseed(seed: int, device: str) -> None:
    """Seed the generators from which a training on `device` draws."""
    # torch.manual_seed would also reseed devices that no fork protects.
    torch.default_generator.manual_seed(seed)
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def random_states(device: str) -> dict[str, torch.Tensor]:
    """The states of torch's generators from which a training on `device` draws."""
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, torch.Tensor], device: str) -> None:
    """Put back what `random_states` has told."""
    torch.set_rng_state(states["cpu"])
    if torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def rehearsal(module: nn.Module, device: str):
    """Put random states and the buffers of `module`, such as running means, back after the block."""
    buffers = [buffer.clone() for buffer in module.buffers()]
    with fork_rng(device):
        yield
    for buffer, before in zip(module.buffers(), buffers):
        buffer.copy_(before)
