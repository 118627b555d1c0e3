import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.layers._packed_bags import PackedBags
from sksurv_mmf.layers._segments import segment_max, segment_mean, segment_softmax, segment_weighted_sum

LENGTHS = (1, 4, 1, 30, 2)
EXACT = {"rtol": 0, "atol": 0}


@pytest.fixture
def scores():
    return torch.as_tensor(np.random.default_rng(0).normal(size=sum(LENGTHS)))


@pytest.fixture
def values():
    return torch.as_tensor(np.random.default_rng(1).normal(size=(sum(LENGTHS), 3)))


def bags_of(array):
    return np.split(array.numpy(), np.cumsum(LENGTHS)[:-1])


def test_softmax_equals_numpy_bag_by_bag(scores):
    expected = [np.exp(one) / np.exp(one).sum() for one in bags_of(scores)]
    assert_close(segment_softmax(scores, LENGTHS), torch.as_tensor(np.concatenate(expected)))


def test_softmax_is_finite_at_extreme_scores(scores):
    weights = segment_softmax(scores.float() * 1e30, LENGTHS)
    sums = [one.sum() for one in weights.split(LENGTHS)]
    assert_close(torch.stack(sums), torch.ones(len(LENGTHS)))


def test_weighted_sum_mean_and_maximum_equal_numpy(scores, values):
    pairs = list(zip(bags_of(scores), bags_of(values)))
    for ours, theirs in [
        (segment_weighted_sum(scores, values, LENGTHS), [one @ tiles for one, tiles in pairs]),
        (segment_mean(values, LENGTHS), [tiles.mean(0) for _, tiles in pairs]),
        (segment_max(values, LENGTHS), [tiles.max(0) for _, tiles in pairs]),
    ]:
        assert_close(ours, torch.as_tensor(np.stack(theirs)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bag_has_the_same_bits_alone_and_in_company(dtype):
    # Large enough for torch to choose other kernels by size.
    draw = torch.Generator().manual_seed(0)
    lengths = (700, 1, 65, 3000)
    scores = torch.randn(sum(lengths), generator=draw, dtype=dtype)
    values = torch.randn(sum(lengths), 40, generator=draw, dtype=dtype)
    parts = list(zip(scores.split(lengths), values.split(lengths), lengths))
    weights = segment_softmax(scores, lengths)
    assert_close(weights, torch.cat([segment_softmax(one, (n,)) for one, _, n in parts]), **EXACT)
    for function in (segment_mean, segment_max):
        alone = torch.cat([function(tiles, (n,)) for _, tiles, n in parts])
        assert_close(function(values, lengths), alone, **EXACT)
    alone = torch.cat([segment_weighted_sum(one, tiles, (n,)) for one, tiles, n in parts])
    assert_close(segment_weighted_sum(scores, values, lengths), alone, **EXACT)


@pytest.mark.parametrize("lengths", [LENGTHS, (sum(LENGTHS),)], ids=["several", "one"])
def test_gradients(scores, values, lengths):
    scores, values = scores.requires_grad_(), values.requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda scores: segment_softmax(scores, lengths), scores)
    assert check(lambda scores, values: segment_weighted_sum(scores, values, lengths), (scores, values))
    assert check(lambda values: segment_mean(values, lengths), values)
    assert check(lambda values: segment_max(values, lengths), values)


def test_float16_tiles_become_float32_on_the_device():
    tiles = torch.tensor([[0.1, 65504.0], [1e-7, -2.0]], dtype=torch.float16)
    moved = PackedBags(tiles, (2,)).to(torch.device("cpu"))
    assert moved.values.dtype == torch.float32
    assert_close(moved.values, tiles.float(), **EXACT)
    assert len(PackedBags(tiles, (1, 1))) == 2
