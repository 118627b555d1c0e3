import os
import random
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sksurv.util import Surv
from slide_files import make_slide, ramp, real_slide

from sksurv_mmf.bags import BagArray
from sksurv_mmf.layers._packed_bags import PackedBags

__all__ = ["make_slide", "ramp", "real_slide"]

# What runs in the background of a shell is told to ignore interrupts, and so are the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The networks of the tests are too small for more threads than one, and pytest-xdist uses the other cores.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where torch finds none."""
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(skip)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """Every device on which a test must hold."""
    return request.param


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures of a test; pyplot keeps them, and warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def reference():
    """Load reference numbers, see data/README.md."""
    folder = Path(__file__).parent / "data"

    def load(name):
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    return load


@pytest.fixture(scope="session")
def pack():
    """Pack arrays as the bags of one batch."""

    def pack(*bags, dtype=torch.float32):
        values = torch.cat([torch.as_tensor(bag).to(dtype) for bag in bags])
        return PackedBags(values, tuple(len(bag) for bag in bags))

    return pack


def simulate(n_patients=30, n_genes=4, n_tile_features=5, effect=2.0, seed=0):
    """Patients whose hazard depends on their first gene and on the first feature of all their tiles."""
    rng = np.random.default_rng(seed)
    genes = rng.normal(size=(n_patients, n_genes))
    image = rng.normal(size=n_patients)
    tiles = [rng.normal(size=(n, n_tile_features)) for n in rng.integers(1, 7, n_patients)]
    for one, shift in zip(tiles, image):
        one[:, 0] += shift
    index = pd.Index([f"P{i:03d}" for i in range(n_patients)], name="patient")
    X = pd.DataFrame({"wsi__tiles": BagArray(tiles)}, index=index)
    X = X.join(pd.DataFrame(genes, index, [f"rna__G{i}" for i in range(n_genes)]))
    time = rng.exponential(np.exp(-effect * (genes[:, 0] + image)))
    censored_at = rng.exponential(np.quantile(time, 0.8), n_patients)
    y = Surv.from_arrays(time <= censored_at, np.minimum(time, censored_at))
    return SimpleNamespace(X=X, y=y)


@pytest.fixture
def cohort():
    return simulate()


@pytest.fixture(scope="session")
def make_cohort():
    return simulate


@pytest.fixture(scope="session")
def global_random_state():
    """Snapshot the global random states of numpy, torch and Python, to compare."""

    def snapshot():
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return name, keys.tobytes(), *rest, torch.get_rng_state().numpy().tobytes(), random.getstate()

    return snapshot
