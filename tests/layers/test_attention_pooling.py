import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.layers._attention_pooling import (
    CHUNK,
    FEW,
    LEVELS,
    AttentionPooling,
    drop,
    keep_levels,
    tanh_and_sigmoid,
)
from sksurv_mmf.layers._segments import segment_softmax, segment_weighted_sum

N_FEATURES, HIDDEN, DIM = 4, 6, 3


def problem(n_tiles, gated, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    rows = DIM * (2 if gated else 1)
    shapes = [(HIDDEN, N_FEATURES), (HIDDEN,), (rows, HIDDEN), (rows,), (DIM,), (1,)]
    tiles = torch.randn(n_tiles, N_FEATURES, generator=draw, dtype=dtype)
    return tiles, [torch.randn(shape, generator=draw, dtype=dtype).requires_grad_() for shape in shapes]


def by_autograd(x, lengths, weights, gated, tile_mask=1.0, score_mask=1.0):
    """The formula of the docstring with given masks, which hold 0 or one over the probability of keeping."""
    W, b, V, v, w, c = weights
    tiles = (x @ W.T + b).relu() * tile_mask
    hidden = tiles @ V.T + v
    product = hidden[:, :DIM].tanh()
    if gated:
        product = product * hidden[:, DIM:].sigmoid()
    scores = (product * score_mask) @ w + c
    return segment_weighted_sum(segment_softmax(scores, lengths), tiles, lengths)


def gradients(pooled, weights):
    draw = torch.Generator().manual_seed(9)
    return torch.autograd.grad((pooled * torch.randn(pooled.shape, generator=draw, dtype=pooled.dtype)).sum(), weights)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("lengths", [(1,), (5,), (1, 4, 2), (CHUNK,), (CHUNK + 1,), (CHUNK - 1, 2, CHUNK + 6)], ids=str)
def test_without_dropout_it_equals_autograd(gated, lengths):
    x, weights = problem(sum(lengths), gated)
    ours = AttentionPooling.apply(x, lengths, *weights, 0.0, 0.0, gated)
    theirs = by_autograd(x, lengths, weights, gated)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert_close(gradients(ours, weights), gradients(theirs, weights), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gated", [True, False])
def test_gradcheck(gated):
    x, weights = problem(4, gated)
    assert torch.autograd.gradcheck(
        lambda *weights: AttentionPooling.apply(x, (3, 1), *weights, 0.0, 0.0, gated), weights
    )


class Context:
    """What autograd hands to a function, so that a test sees what is kept for the gradient."""

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("lengths", [(40, 30), (CHUNK + 50,)], ids=str)
def test_with_dropout_it_equals_autograd_under_the_same_masks(gated, lengths):
    input_dropout, dropout = 0.1, 0.3
    x, weights = problem(sum(lengths), gated)
    torch.manual_seed(0)
    context = Context()
    with torch.no_grad():
        ours = AttentionPooling.forward(context, x, lengths, *weights, input_dropout, dropout, gated)
    kept_x, tiles, (hidden,) = context.saved_tensors[:3]

    def scaled(kept, probability):
        return kept.double() * LEVELS / keep_levels(probability)

    score_dropout = 1 - (1 - dropout) ** 2 if gated else dropout
    dropped_x = x * scaled(kept_x != 0, input_dropout)
    positive = dropped_x @ weights[0].T + weights[1] > 0
    kept_tiles, kept_scores = ~(positive & (tiles == 0)), hidden[:, -DIM:] != 0
    masks = scaled(kept_tiles, dropout), scaled(kept_scores, score_dropout)
    theirs = by_autograd(dropped_x, lengths, weights, gated, *masks)
    assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(9), dtype=ours.dtype)
    of_weights = [one for one in AttentionPooling.backward(context, grad) if one is not None]
    assert_close(of_weights, list(gradients(theirs, weights)), rtol=1e-9, atol=1e-9)
    few = 0.02 if sum(lengths) > CHUNK else 0.1
    for kept, probability in [(kept_x != 0, input_dropout), (kept_scores, score_dropout)]:
        assert kept.double().mean() == pytest.approx(1 - probability, abs=few)
    assert (kept_tiles & positive).sum() / positive.sum() == pytest.approx(1 - dropout, abs=few)


def test_the_tiles_of_the_caller_stay_as_they_are():
    x, weights = problem(50, gated=True)
    before = x.clone()
    AttentionPooling.apply(x, (50,), *weights, 0.5, 0.25, True)
    assert torch.equal(x, before)


@pytest.mark.parametrize("gated", [True, False])
def test_dropout_of_tiles_keeps_the_expectation(gated):
    x, weights = problem(1, gated)
    with torch.no_grad():
        for one in weights[2:]:
            one.zero_()  # equal scores: the sum is a mean
        many = x.expand(100_000, -1)
        torch.manual_seed(0)
        pooled = AttentionPooling.apply(many, (len(many),), *weights, 0.0, 0.25, gated)
        without = AttentionPooling.apply(x, (1,), *weights, 0.0, 0.0, gated)
    assert_close(pooled, without, rtol=0.01, atol=0)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9])
def test_drop_keeps_each_value_with_its_probability(probability):
    torch.manual_seed(0)
    for size in (FEW, 40_001, 40_002, 40_003, 40_004):  # of many, four decisions share a draw
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
