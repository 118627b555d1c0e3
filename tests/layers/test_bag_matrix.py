"""All bags at once, as on a GPU, against bag by bag, as on a CPU; both run on the CPU here."""

from collections import Counter

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from sksurv_mmf.layers._bag_matrix import (
    max_at_once,
    mean_at_once,
    owners,
    pool_at_once,
    softmax_at_once,
    weighted_sum_at_once,
)
from sksurv_mmf.layers._segments import segment_max, segment_mean, segment_softmax, segment_weighted_sum


def pool(scores, values, lengths):
    return segment_weighted_sum(segment_softmax(scores, lengths), values, lengths)


PAIRS = {
    "softmax": (softmax_at_once, segment_softmax, "s"),
    "weighted sum": (weighted_sum_at_once, segment_weighted_sum, "sv"),
    "pool": (pool_at_once, pool, "sv"),
    "mean": (mean_at_once, segment_mean, "v"),
    "max": (max_at_once, segment_max, "v"),
}
LENGTHS = {"few": (3, 1, 7), "many": tuple(1 + i * i % 23 for i in range(60)), "one": (9,)}


def random_inputs(which, n_tiles, leading=(), device="cpu"):
    draw = torch.Generator().manual_seed(0)
    shapes = {"s": (*leading, n_tiles), "v": (*leading, n_tiles, 3)}
    numbers = [torch.randn(shapes[one], generator=draw, dtype=torch.float64) for one in which]
    return [one.to(device).requires_grad_() for one in numbers]


def result_and_gradients(function, inputs, lengths):
    result = function(*inputs, lengths)
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return result, *torch.autograd.grad((result * direction.to(result.device)).sum(), inputs)


@pytest.mark.parametrize("leading", [(), (2,), (2, 4)], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("name", PAIRS)
def test_at_once_equals_bag_by_bag(name, lengths, leading):
    at_once, one_by_one, which = PAIRS[name]
    inputs = random_inputs(which, sum(lengths), leading)
    assert_close(
        result_and_gradients(at_once, inputs, lengths),
        result_and_gradients(one_by_one, inputs, lengths),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_members_under_vmap(name):
    at_once, one_by_one, which = PAIRS[name]
    inputs = random_inputs(which, 11, (3,))
    members = torch.func.vmap(lambda *one: at_once(*one, (3, 1, 7)))(*inputs)
    assert_close(members, one_by_one(*inputs, (3, 1, 7)), rtol=1e-12, atol=1e-12)


def test_equal_values_share_the_gradient_of_a_maximum():
    values = torch.tensor([[1.0], [2.0], [2.0], [0.0]], requires_grad=True)
    max_at_once(values, (3, 1)).sum().neg().backward()
    assert_close(values.grad, torch.tensor([[0.0], [-0.5], [-0.5], [-1.0]]))


def test_an_empty_bag_owns_nothing():
    assert owners((0, 2, 0, 1), torch.device("cpu")).tolist() == [1, 1, 3]


class Operations(TorchDispatchMode):
    """Counts what is dispatched, of which each is about a launch on a GPU."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.cuda
@pytest.mark.parametrize("name", PAIRS)
def test_on_a_gpu_results_are_those_of_the_cpu_and_repeat_to_the_bit(name):
    _, chosen, which = PAIRS[name]
    lengths = LENGTHS["many"]
    here = result_and_gradients(chosen, random_inputs(which, sum(lengths)), lengths)
    one, other = (result_and_gradients(chosen, random_inputs(which, sum(lengths), (), "cuda"), lengths) for _ in "ab")
    assert_close([part.cpu() for part in one], list(here), rtol=1e-12, atol=1e-12)
    assert_close(one, other, rtol=0, atol=0)


def operations(function, which, lengths, device):
    inputs = random_inputs(which, sum(lengths), (), device)
    with Operations() as seen:
        function(*inputs, lengths).sum().backward()
    return seen.count


# The device without values is no CPU either, so that it stands for a GPU in the choice between the two ways.
@pytest.mark.parametrize("name", PAIRS)
def test_the_number_of_operations_does_not_depend_on_the_number_of_bags(name):
    _, chosen, which = PAIRS[name]
    assert operations(chosen, which, (2,) * 2, "meta") == operations(chosen, which, (2,) * 50, "meta")
    assert operations(chosen, which, (2,) * 2, "cpu") != operations(chosen, which, (2,) * 50, "cpu")
