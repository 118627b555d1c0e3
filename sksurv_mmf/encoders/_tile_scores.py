"""Embedding and scoring of tiles with a hand-written gradient, for training on a CPU.

Automatic differentiation runs over all tiles once per operation, so that on a CPU more time goes into moving
activations through memory and drawing dropout masks than the matrix products leave room for. Here a chunk of
tiles passes through all operations while it is in the cache.
"""

import torch
from torch import Tensor

# Naming the overload spares a search for it in each call, which takes longer than a small operation.
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input
threshold_backward = torch.ops.aten.threshold_backward.grad_input

CHUNK = 1024
"""Tiles at a time: few enough for the cache, enough for an efficient matrix product."""

LEVELS = 2**16
"""A dropout probability is rounded to a multiple of 1 / LEVELS, because 16 random bits decide for one value."""


def keep_levels(probability: float) -> int:
    """Number of the `LEVELS` equally likely draws that keep a value, at least 1."""
    return max(1, round((1 - probability) * LEVELS))


def zero_where_small(values: Tensor, other: Tensor, threshold: float) -> Tensor:
    """Set `values` to zero, in place, where ``other <= threshold``.

    This is the gradient of a thresholded linear unit, which torch computes without branches and a comparison, a mask
    and a masked fill with them: a random mask then costs ten times as much.
    """
    return threshold_backward(values, other, threshold, grad_input=values)


def drop(values: Tensor, keep: int) -> Tensor:
    """Set each of `values` to zero, in place, independently with probability ``1 - keep / LEVELS``.

    Four decisions are made with one 64-bit draw, which is several times faster than torch's Bernoulli.
    """
    size = values.numel()
    words = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:size].view(values.shape)  # uniform on -LEVELS / 2 ... LEVELS / 2 - 1
    return zero_where_small(values, draws.to(values.dtype), LEVELS // 2 - 1 - keep)


def tanh_and_sigmoid(values: Tensor, dim: int) -> None:
    """Hyperbolic tangent of the first `dim` columns and sigmoid of the others, in place.

    Torch's sigmoid is several times faster on a CPU than its tanh, which is ``2 sigmoid(2 z) - 1``, in float32 with an
    absolute error of 1e-7.
    """
    first = values[:, :dim].mul_(2)
    values.sigmoid_()
    first.mul_(2).sub_(1)


class TileScores(torch.autograd.Function):
    """Tile embeddings and attention scores before the softmax.

    With weights `W` (hidden_dim, n_features), `V` (attention_dim or twice that if `gated`, hidden_dim) and `w`
    (attention_dim,), computes ``h = drop(relu(x W' + b))`` and ``s = drop(tanh(h V1' + v1) * sigmoid(h V2' + v2)) w``,
    without the sigmoid if not gated. Separate dropout of the two gated factors is dropout of their product with
    the squared probability of keeping, so one mask is drawn for both. No gradient goes to the tiles `x`.
    """

    @staticmethod
    def forward(ctx, x, W, b, V, v, w, dropout, gated):
        """Return ``h`` of shape (n_tiles, hidden_dim) and ``s`` of shape (n_tiles,)."""
        n, dim = len(x), len(w)
        keep = keep_levels(dropout)
        keep_score = keep_levels(1 - (1 - dropout) ** 2) if gated else keep
        ctx.scale, ctx.score_scale, ctx.gated = LEVELS / keep, LEVELS / keep_score, gated
        tiles, hidden, scores = x.new_empty(n, len(W)), x.new_empty(n, len(V)), x.new_empty(n)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            h, z = tiles[rows], hidden[rows]
            # relu(c z) = c relu(z): the scale of dropout goes into the product instead of over the tiles.
            torch.addmm(b, x[rows], W.T, beta=ctx.scale, alpha=ctx.scale, out=h).relu_()
            if dropout:
                drop(h, keep)
            torch.addmm(v, h, V.T, out=z)
            tanh_and_sigmoid(z, dim)
            product, last = z[:, :dim], z[:, -dim:]
            if dropout:
                drop(last, keep_score)
            if gated:
                product = product * last
            torch.addmv(scores[rows], product, w, beta=0, alpha=ctx.score_scale, out=scores[rows])
        ctx.save_for_backward(x, tiles, hidden, W, V, w)
        return tiles, scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_tiles, grad_scores):
        """Accumulate the gradients of the weights chunk by chunk."""
        x, tiles, hidden, W, V, w = ctx.saved_tensors
        dim = len(w)
        scaled_w = w * ctx.score_scale
        dW, dV, dw = torch.zeros_like(W), torch.zeros_like(V), torch.zeros_like(w)
        db, dv = W.new_zeros(len(W)), V.new_zeros(len(V))
        for start in range(0, len(x), CHUNK):
            rows = slice(start, start + CHUNK)
            h, z, ds = tiles[rows], hidden[rows], grad_scores[rows]
            tanh = product = z[:, :dim]
            dz = torch.empty_like(z)
            dproduct = dtanh = torch.outer(ds, scaled_w)
            # A dropped value is an exact zero in what was saved, and its gradient is zero.
            if ctx.gated:
                gate = z[:, dim:]
                product = tanh * gate
                dtanh = dproduct * gate
                sigmoid_backward(dproduct.mul_(tanh), gate, grad_input=dz[:, dim:])
            else:
                dtanh.masked_fill_(tanh == 0, 0)
            tanh_backward(dtanh, tanh, grad_input=dz[:, :dim])
            dw.addmv_(product.T, ds, alpha=ctx.score_scale)
            dV.addmm_(dz.T, h)
            dv += dz.sum(0)
            dh = zero_where_small(torch.addmm(grad_tiles[rows], dz, V), h, 0)
            dW.addmm_(dh.T, x[rows], alpha=ctx.scale)
            db.add_(dh.sum(0), alpha=ctx.scale)
        return None, dW, db, dV, dv, dw, None, None
