import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders._tile_scores import CHUNK, LEVELS, TileScores, drop, keep_levels, tanh_and_sigmoid

N_FEATURES, HIDDEN, DIM = 4, 6, 3


def problem(n_tiles, gated, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    rows = DIM * (2 if gated else 1)
    shapes = [(HIDDEN, N_FEATURES), (HIDDEN,), (rows, HIDDEN), (rows,), (DIM,)]
    tiles = torch.randn(n_tiles, N_FEATURES, generator=draw, dtype=dtype)
    return tiles, [torch.randn(shape, generator=draw, dtype=dtype).requires_grad_() for shape in shapes]


def by_autograd(x, W, b, V, v, w, gated, tile_mask=1.0, score_mask=1.0):
    """The formula of the docstring with given masks, which hold 0 or one over the probability of keeping."""
    tiles = (x @ W.T + b).relu() * tile_mask
    hidden = tiles @ V.T + v
    product = hidden[:, :DIM].tanh()
    if gated:
        product = product * hidden[:, DIM:].sigmoid()
    return tiles, (product * score_mask) @ w


def gradients(results, weights):
    draw = torch.Generator().manual_seed(9)
    loss = sum((one * torch.randn(one.shape, generator=draw, dtype=one.dtype)).sum() for one in results)
    return torch.autograd.grad(loss, weights)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("n_tiles", [1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
def test_without_dropout_it_equals_autograd(gated, n_tiles):
    x, weights = problem(n_tiles, gated)
    ours, theirs = TileScores.apply(x, *weights, 0.0, gated), by_autograd(x, *weights, gated)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert_close(gradients(ours, weights), gradients(theirs, weights), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gated", [True, False])
def test_gradcheck(gated):
    x, weights = problem(4, gated)
    assert torch.autograd.gradcheck(lambda *weights: TileScores.apply(x, *weights, 0.0, gated), weights)


@pytest.mark.parametrize("gated", [True, False])
def test_with_dropout_it_equals_autograd_under_the_same_masks(gated):
    dropout, n_tiles = 0.3, CHUNK + 50
    x, weights = problem(n_tiles, gated)
    # Tile masks show in the tiles. A score is a sum of DIM terms that are kept or not: with one term at a time the
    # score's mask shows as well, so only the first term has a weight.
    with torch.no_grad():
        weights[-1][1:] = 0
    torch.manual_seed(0)
    ours = TileScores.apply(x, *weights, dropout, gated)
    keep = keep_levels(dropout) / LEVELS
    keep_score = keep_levels(1 - (1 - dropout) ** 2) / LEVELS if gated else keep
    positive = by_autograd(x, *weights, gated)[0] > 0
    tile_mask = (~(positive & (ours[0] == 0))).double() / keep
    score_mask = (ours[1] != 0).double()[:, None] / keep_score
    theirs = by_autograd(x, *weights, gated, tile_mask, score_mask)
    assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    ours, theirs = gradients(ours, weights), gradients(theirs, weights)
    assert_close(ours[:-1], theirs[:-1], rtol=1e-9, atol=1e-9)
    assert_close(ours[-1][0], theirs[-1][0], rtol=1e-9, atol=1e-9)
    kept = positive & (tile_mask > 0)
    assert kept.sum() / positive.sum() == pytest.approx(1 - dropout, abs=0.02)
    assert (score_mask > 0).double().mean() == pytest.approx((1 - dropout) ** (2 if gated else 1), abs=0.04)


@pytest.mark.parametrize("gated", [True, False])
def test_dropout_keeps_the_expectation(gated):
    x, weights = problem(1, gated)
    many = x.expand(100_000, -1)
    torch.manual_seed(0)
    with torch.no_grad():
        tiles, _ = TileScores.apply(many, *weights, 0.25, gated)
        without, _ = TileScores.apply(x, *weights, 0.0, gated)
    assert_close(tiles.mean(0), without[0], rtol=0.01, atol=0)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9])
def test_drop_keeps_each_value_with_its_probability(probability):
    torch.manual_seed(0)
    for size in (40_001, 40_002, 40_003, 40_004):  # four decisions share a draw
        kept = drop(torch.ones(size), keep_levels(probability))
        assert set(kept.unique().tolist()) <= {0.0, 1.0}
        assert kept.mean().item() == pytest.approx(1 - probability, abs=0.01)


def test_decisions_of_one_draw_are_independent():
    torch.manual_seed(0)
    decisions = drop(torch.ones(200_000), keep_levels(0.5)).view(-1, 4)
    correlation = torch.corrcoef(decisions.T) - torch.eye(4)
    assert correlation.abs().max() < 0.02


def test_rounded_probability_never_drops_everything():
    assert keep_levels(0.0) == LEVELS
    assert keep_levels(1 - 1e-9) == 1


def test_tanh_and_sigmoid_are_these():
    values = torch.stack([torch.linspace(-20, 20, 10_001), torch.linspace(20, -20, 10_001)], dim=1)
    expected = torch.stack([values[:, 0].tanh(), values[:, 1].sigmoid()], dim=1)
    tanh_and_sigmoid(values, 1)
    assert_close(values, expected, rtol=0, atol=2e-7)
    extremes = torch.tensor([[-1e4, 1e4]])
    tanh_and_sigmoid(extremes, 2)
    assert extremes.tolist() == [[-1.0, 1.0]]
