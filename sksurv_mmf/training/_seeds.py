"""Randomness that belongs to one estimator."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state


def draw_seed(random_state) -> int:
    """Seed of an estimator: `random_state` itself, a draw from it, or for None one from the system's entropy.

    None does not touch numpy's global generator, as scikit-learn's own convention would.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    return int(random_state)


@contextmanager
def torch_seed(seed: int, device: str):
    """Seed torch inside the block and put its random state back afterwards."""
    on_gpu = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # torch.manual_seed would also reseed devices that the fork does not protect.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
