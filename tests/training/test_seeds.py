import numpy as np
import pytest
import torch

from sksurv_mmf.training._seeds import draw_seed, torch_seed


def test_seed_block_repeats_itself_and_restores_the_state():
    before = torch.get_rng_state()
    draws = []
    for seed in (0, 0, 1):
        with torch_seed(seed, "cpu"):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_state_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), torch_seed(0, "cpu"):
        torch.rand(3) @ torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("random_state", [0, 2**32 - 1, np.int64(7)])
def test_an_integer_is_the_seed(random_state):
    assert draw_seed(random_state) == random_state


def test_a_random_state_is_drawn_from_and_moves_on():
    generator = np.random.RandomState(0)
    first, second = draw_seed(generator), draw_seed(generator)
    assert first != second
    assert draw_seed(np.random.RandomState(0)) == first


def test_none_gives_new_seeds_and_leaves_global_states(global_random_state):
    before = global_random_state()
    assert len({draw_seed(None) for _ in range(5)}) == 5
    assert global_random_state() == before
