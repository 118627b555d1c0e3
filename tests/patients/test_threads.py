from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
import torch
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.encoders import AttentionMIL
from sksurv_mmf.layers._attention_pooling import AttentionPooling
from sksurv_mmf.utils._torch_state import n_threads

N_PATIENTS = 8


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def cohort(n_tiles):
    rng = np.random.default_rng(0)
    bags = [rng.standard_normal((n_tiles, 4), dtype=np.float32) for _ in range(N_PATIENTS)]
    X = join_modalities({"wsi": pd.Series(bags, index=[f"P{i}" for i in range(N_PATIENTS)], dtype="bag")})
    return X, Surv.from_arrays(np.arange(N_PATIENTS) % 2 == 0, np.arange(1.0, N_PATIENTS + 1))


def model(n_estimators):
    encoder = AttentionMIL(4, 2)
    return FusionSurvivalAnalysis([("wsi", encoder)], n_estimators=n_estimators, max_epochs=1, random_state=0)


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize(("n_tiles", "expected"), [(3, 1), (600, 2)])
def test_small_steps_and_predictions_take_one_thread(two_threads, monkeypatch, n_estimators, n_tiles, expected):
    seen = []
    relu = torch.nn.ReLU.forward
    monkeypatch.setattr(torch.nn.ReLU, "forward", lambda *args: (seen.append(torch.get_num_threads()), relu(*args))[1])
    X, y = cohort(n_tiles)
    fitted = model(n_estimators).fit(X, y)
    assert set(seen) == {expected}
    seen.clear()
    fitted.predict(X)
    assert set(seen) == {expected}
    assert torch.get_num_threads() == 2


def test_an_error_leaves_the_number_of_threads_alone(two_threads, monkeypatch):
    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(AttentionPooling, "forward", fail)
    with pytest.raises(ZeroDivisionError):
        model(1).fit(*cohort(3))
    assert torch.get_num_threads() == 2


def test_threads_that_are_new_to_torch_are_left_with_the_number_of_the_others(two_threads):
    torch.get_num_threads()
    barrier = Barrier(3, timeout=60)

    def enter(_):
        with n_threads(1):
            barrier.wait()
            with n_threads(1):
                assert torch.get_num_threads() == 1
            inside = torch.get_num_threads()
        barrier.wait()
        return inside, torch.get_num_threads()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(enter, range(3))) == [(1, 2)] * 3
    assert torch.get_num_threads() == 2
