"""Attention pooling of tiles with a hand-written gradient, for training on a CPU.

Automatic differentiation runs over all tiles once per operation, so that on a CPU more time goes into moving
activations through memory and drawing dropout masks than the matrix products leave room for. Here a chunk of
tiles passes through all operations while it is in the cache.

Several networks may read the same tiles, the members of an ensemble: their first layers are one matrix product. Other
leading axes have no place in matrix products that write where they are told. Who has such axes takes the operations of
`_segments`.
"""

from functools import cache

import torch
from torch import Tensor

from ._products import products
from ._segments import segment_softmax, segment_weighted_sum

# Naming the overload spares a search for it in each call, which takes longer than a small operation.
softmax_backward = torch.ops.aten._softmax_backward_data.default
threshold_backward = torch.ops.aten.threshold_backward.grad_input

CHUNK = 1024
"""Tiles at a time: few enough for the cache, enough for an efficient matrix product."""

FEW = 2**14
"""Values of which each is dropped by a draw of its own."""

LEVELS = 2**16
"""A dropout probability is rounded to a multiple of 1 / LEVELS, because 16 random bits decide for one value."""


@cache
def keep_levels(probability: float) -> int:
    """Number of the `LEVELS` equally likely draws that keep a value, at least 1."""
    return max(1, round((1 - probability) * LEVELS))


def zero_where_small(values: Tensor, other: Tensor, threshold: float) -> Tensor:
    """Set `values` to zero, in place, where ``other <= threshold``.

    This is the gradient of a thresholded linear unit, which torch computes without branches and a comparison, a mask
    and a masked fill with them: a random mask then costs ten times as much.
    """
    return threshold_backward(values, other, threshold, grad_input=values)


def drop(values: Tensor, keep: int, generator: torch.Generator | None = None) -> Tensor:
    """Set each of `values` to zero, in place, independently with probability ``1 - keep / LEVELS``.

    For many values, four decisions are made with one 64-bit draw, which is several times faster than torch's Bernoulli;
    for few, the number of operations counts.
    """
    size = values.numel()
    if size <= FEW:
        return zero_where_small(values, torch.rand(values.shape, generator=generator), 1 - keep / LEVELS)
    words = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    draws = words.view(torch.int16)[:size].view(values.shape)  # uniform on -LEVELS / 2 ... LEVELS / 2 - 1
    return zero_where_small(values, draws.to(values.dtype), LEVELS // 2 - 1 - keep)


def tanh_and_sigmoid(values: Tensor, dim: int) -> None:
    """Hyperbolic tangent of the first `dim` columns and sigmoid of the others, in place.

    Torch's sigmoid is several times faster on a CPU than its tanh, which is ``2 sigmoid(2 z) - 1``, in float32 with an
    absolute error of 1e-7.
    """
    first = values[..., :dim].mul_(2)
    values.sigmoid_()
    first.mul_(2).sub_(1)


def chunks(*tensors: Tensor):
    """Some rows of all tensors at a time."""
    return [tensors] if len(tensors[0]) <= CHUNK else zip(*(one.split(CHUNK) for one in tensors))


def score_gradients(z: Tensor, ds: Tensor, w: Tensor, gated: bool) -> tuple[Tensor, Tensor]:
    """From `ds` to the gradients with respect to what tanh and sigmoid are taken of, and to `w`."""
    # Of y = tanh(u) the derivative is 1 - y^2, of y = sigmoid(u) it is y (1 - y): what was saved is enough for both.
    # A dropped value is an exact zero in what was saved, and its gradient is zero.
    if not gated:
        dz = torch.addcmul(w, z * w, z, value=-1).mul_(ds.unsqueeze(-1))
        return dz.masked_fill_(z == 0, 0), ds @ z
    tanh, gate = z.split(len(w), -1)
    product = tanh * gate
    of_tanh = torch.addcmul(gate, product, tanh, value=-1)
    of_gate = torch.addcmul(product, product, gate, value=-1)
    return torch.cat([of_tanh, of_gate], -1).mul_(torch.outer(ds, torch.cat([w, w]))), ds @ product


def pooling_gradients(grad: Tensor, weights: Tensor, tiles: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Gradients with respect to the tiles, by way of the weighted sum alone, and to the scores."""
    # Of sum_i weights_i tiles_i: weights_i grad for a tile, and tiles_i . grad for a weight, then through the softmax.
    if len(lengths) == 1:
        return weights.unsqueeze(-1) * grad, softmax_backward(tiles @ grad[0], weights, -1, weights.dtype)
    bags = zip(grad.split(1), weights.split(lengths), tiles.split(lengths), ((length,) for length in lengths))
    return tuple(map(torch.cat, zip(*(pooling_gradients(*bag) for bag in bags))))


def heads_of(*weights: Tensor) -> list[tuple[Tensor, ...]]:
    """These weights of each member; those of one network have no axis for it."""
    return list(zip(*weights)) if weights[0].ndim == 3 else [weights]


def score(by, h, z, head, dropout, gated, generator, out):
    """Write to `z` what tanh and sigmoid make of embeddings `h`, and to `out` the scores of the tiles."""
    V, v, w, c = head
    by.linear(h, V, v, out=z)
    tanh_and_sigmoid(z, len(w))
    product, last = z[:, : len(w)], z[:, -len(w) :]
    keep = keep_levels(dropout)
    if dropout:
        drop(last, keep, generator)
    if gated:
        product = product * last
    torch.addmv(c, product, w, alpha=LEVELS / keep, out=out)


class AttentionPooling(torch.autograd.Function):
    """Sum of each bag's tile embeddings with the softmax of their attention scores.

    With weights `W` (hidden_dim, n_features), `V` (attention_dim or twice that if `gated`, hidden_dim) and `w`
    (attention_dim,), the embeddings are ``h = drop(relu(drop(x) W' + b))`` and the scores
    ``s = drop(tanh(h V1' + v1) * sigmoid(h V2' + v2)) w + c``, without the sigmoid if not gated. Separate dropout of
    the two gated factors is dropout of their product with the squared probability of keeping, so one mask is drawn
    for both. No gradient goes to the tiles `x`. Masks are drawn from `generators`, one for each network; None is
    torch's own.

    All weights may have the members of an ensemble along a first axis. Dropout of the input is for one network.
    """

    @staticmethod
    def forward(
        ctx, x, lengths, W, b, V, v, w, c, input_dropout, dropout, gated, precision="float32", generators=(None,)
    ):
        """Return a tensor of shape (n_bags, hidden_dim), of several members with these along a first axis."""
        keep_input, keep = keep_levels(input_dropout), keep_levels(dropout)
        score_dropout = 1 - (1 - dropout) ** 2 if gated else dropout
        # relu(k z) = k relu(z): the scale of dropout goes into the weights instead of over the tiles.
        scale, input_scale = LEVELS / keep, LEVELS / keep * LEVELS / keep_input
        first, bias, heads = W.flatten(0, -2) * input_scale, b.flatten() * scale, heads_of(V, v, w, c)
        tiles = x.new_empty(len(x), len(first))
        hidden, scores = x.new_empty(len(heads), len(x), V.shape[-2]), x.new_empty(len(heads), len(x))
        if input_dropout:
            x = x.clone()
        by = products(x.dtype, precision)
        for rows, all_h, *parts in chunks(x, tiles, *hidden, *scores):
            if input_dropout:
                drop(rows, keep_input, generators[0])
            by.linear(rows, first, bias, out=all_h).relu_()
            members = zip(all_h.split(W.shape[-2], 1), parts, parts[len(heads) :], heads, generators)
            for h, z, s, head, generator in members:
                if dropout:
                    drop(h, keep, generator)
                score(by, h, z, head, score_dropout, gated, generator, out=s)
        weights = segment_softmax(scores, lengths)
        # Zeros in what is saved serve as masks of dropout and relu, so that no mask is kept.
        ctx.save_for_backward(x, tiles, hidden, weights, V, w)
        ctx.by, ctx.lengths, ctx.gated = by, lengths, gated
        ctx.scales = input_scale, scale, LEVELS / keep_levels(score_dropout)
        sums = [segment_weighted_sum(*one, lengths) for one in zip(weights, tiles.split(W.shape[-2], 1))]
        return torch.stack(sums) if W.ndim == 3 else sums[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """Accumulate the gradients of the weights chunk by chunk."""
        x, tiles, hidden, weights, V, w = ctx.saved_tensors
        input_scale, scale, score_scale = ctx.scales
        heads, width = heads_of(V, w), grad.shape[-1]
        own = zip(grad.view(len(heads), -1, width), weights, tiles.split(width, 1))
        grad_tiles, grad_scores = zip(*(pooling_gradients(*one, ctx.lengths) for one in own))
        by, total = ctx.by, None
        for rows, all_h, *parts in chunks(x, tiles, *hidden, *grad_tiles, *grad_scores):
            zs, dhs, dss = (parts[i : i + len(heads)] for i in range(0, len(parts), len(heads)))
            of_heads = []
            for h, z, dh, ds, (V, w) in zip(all_h.split(width, 1), zs, dhs, dss, heads):
                dz, dw = score_gradients(z, ds * score_scale, w, ctx.gated)
                # A tile acts by the weighted sum, in dh already, and by its score, dz V. What relu or dropout made zero
                # is zero in h and passes no gradient on.
                zero_where_small(by.add(dh, dz, V), h, 0)
                of_heads += [by.over_tiles(dz, h), dz.sum(0), dw]
            dh = dhs[0] if len(heads) == 1 else torch.cat(dhs, 1)
            part = [by.over_tiles(dh, rows), dh.sum(0), *of_heads]
            total = part if total is None else [one.add_(more) for one, more in zip(total, part)]
        # The scales of dropout are left for here, where they multiply small matrices instead of all tiles.
        dW, db = total[0].mul_(input_scale), total[1].mul_(scale)
        dc = [one.sum(0, keepdim=True) for one in grad_scores]
        of_heads = total[2::3], total[3::3], total[4::3], dc
        if grad.ndim == 3:
            gradients = dW.unflatten(0, (-1, width)), db.view(-1, width), *map(torch.stack, of_heads)
        else:
            gradients = dW, db, *(one for (one,) in of_heads)
        return None, None, *gradients, *[None] * 5
