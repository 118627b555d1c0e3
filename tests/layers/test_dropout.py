"""Dropout of members, each of which draws by itself."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.testing import assert_close

from sksurv_mmf.layers._dropout import AlphaDropout, Dropout
from sksurv_mmf.layers._lockstep import Randomness, as_member

LAYERS = pytest.mark.parametrize("layer", [Dropout, AlphaDropout], ids=lambda one: one.__name__)
N = 3


def generators(n_members=N, first=0):
    return Randomness([torch.Generator().manual_seed(first + k) for k in range(n_members)])


def of_members(layer, inputs, own):
    """What each member makes of its inputs, (n_members, ...)."""

    def compute(one, number, stock):
        with as_member(own, number, stock):
            return layer(one)

    return vmap(compute, randomness="error")(inputs, torch.arange(len(inputs)), own.stock)


@LAYERS
def test_a_member_draws_what_it_would_draw_alone(layer):
    inputs = torch.randn(N, 7, 5)
    together = of_members(layer(0.4), inputs, generators())
    for k in range(N):
        assert torch.equal(of_members(layer(0.4), inputs[k : k + 1], generators(1, k))[0], together[k])
    same = of_members(layer(0.4), inputs[:1].expand(N, -1, -1), generators())
    assert not torch.equal(same[0], same[1])


@LAYERS
@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 3, 6)])
def test_two_layers_take_the_numbers_one_after_the_other(layer, shape):
    both = nn.Sequential(layer(0.5), layer(0.5))
    inputs = torch.rand(N, *shape) + 1
    own = generators()
    first = of_members(layer(0.5), inputs, own)
    second = of_members(layer(0.5), first, own)
    assert torch.equal(of_members(both, inputs, generators()), second)


@LAYERS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_mean_and_variance(layer, p):
    inputs = torch.randn(N, 200_000, generator=torch.Generator().manual_seed(9))
    outputs = of_members(layer(p), inputs, generators())
    mean, variance = outputs.mean(dim=1), outputs.var(dim=1)
    # Of dropout, the square of the mean is kept and the second moment grows; alpha dropout keeps both.
    expected = 1 / (1 - p) if layer is Dropout else 1.0
    assert_close(mean, torch.zeros(N), atol=0.03, rtol=0)
    assert_close(variance, torch.full((N,), expected), rtol=0.03, atol=0)
    shifted = of_members(Dropout(p), inputs + 2, generators())
    assert_close(shifted.mean(dim=1), torch.full((N,), 2.0), rtol=0.03, atol=0)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_values_are_those_of_torch(p):
    inputs = torch.full((1, 4000), 3.0)
    for ours, theirs in ((Dropout, nn.Dropout), (AlphaDropout, nn.AlphaDropout)):
        torch.manual_seed(0)
        expected = theirs(p).train()(inputs[0]).unique()
        found = of_members(ours(p), inputs, generators(1)).unique()
        assert len(expected) == 2
        assert_close(found, expected, rtol=1e-5, atol=1e-6)
        share = float((of_members(ours(p), inputs, generators(1)) == found.max()).float().mean())
        assert abs(share - (1 - p)) < 4 * np.sqrt(p * (1 - p) / 4000)


@LAYERS
def test_outside_it_is_torchs_own(layer):
    inputs, theirs = torch.randn(30, 4), getattr(nn, layer.__name__)
    torch.manual_seed(1)
    expected = theirs(0.3)(inputs)
    torch.manual_seed(1)
    assert torch.equal(layer(0.3)(inputs), expected)
    assert isinstance(layer(0.3), theirs)


@LAYERS
def test_without_training_or_probability_nothing_is_drawn(layer):
    inputs, own = torch.randn(N, 6), generators()
    for module in (layer(0.5).eval(), layer(0.0)):
        assert torch.equal(of_members(module, inputs, own), inputs)
    assert own.used == 0


def test_all_or_nothing():
    inputs = torch.randn(N, 6)
    assert torch.equal(of_members(Dropout(1.0), inputs, generators()), torch.zeros(N, 6))
    assert torch.isfinite(of_members(AlphaDropout(1.0), inputs, generators())).all()


@LAYERS
def test_gradient_is_that_of_what_was_kept(layer):
    inputs = torch.randn(N, 50, requires_grad=True)
    outputs = of_members(layer(0.5), inputs, generators())
    outputs.sum().backward()
    slopes = inputs.grad.unique()
    assert slopes[0] == 0
    assert len(slopes) == 2
    changed = inputs.detach() + 1
    again = of_members(layer(0.5), changed, generators())
    assert_close(again - outputs.detach(), inputs.grad, rtol=1e-4, atol=1e-4)


def test_a_stock_that_ends_is_renewed_and_what_is_too_large_for_it_is_drawn_by_itself(monkeypatch):
    monkeypatch.setattr("sksurv_mmf.layers._lockstep.STOCK", 64)
    sizes = [10, 10, 40, 10, 10, 10, 10, 10]  # more than a quarter of what is in stock does not come from it

    def draws(own, members):
        layers = nn.Sequential(*(nn.Sequential(Dropout(0.5)) for _ in sizes))
        return [of_members(layer, torch.ones(members, size), own) for layer, size in zip(layers, sizes)]

    together = draws(generators(), N)
    for k in range(N):
        alone = draws(generators(1, k), 1)
        assert all(torch.equal(a[k], b[0]) for a, b in zip(together, alone))
    assert abs(float(torch.cat(together, dim=1).mean()) - 1) < 0.3
    assert not torch.equal(together[0][0], together[1][0])
