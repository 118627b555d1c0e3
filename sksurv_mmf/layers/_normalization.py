"""Rescaling of each vector by itself."""

import torch
from torch import Tensor, nn

from ._lockstep import in_lockstep, lift


class _MinMax(torch.autograd.Function):
    """Rescaling to [0, 1] with a gradient of six operations, where automatic differentiation needs thirty."""

    @staticmethod
    def forward(ctx, vectors):
        (low, first), (high, last) = vectors.min(dim=-1, keepdim=True), vectors.max(dim=-1, keepdim=True)
        spread = high - low
        spread.masked_fill_(spread == 0, 1)
        scaled = (vectors - low).div_(spread)
        ctx.save_for_backward(scaled, spread, torch.cat([first, last], dim=-1))
        return scaled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        # y = (x - low) / (high - low): every element has a share in the gradients of the two ends, the high end y and
        # the low end 1 - y of it.
        scaled, spread, ends = ctx.saved_tensors
        grad = grad / spread
        at_high = (grad * scaled).sum(dim=-1, keepdim=True)
        at_low = grad.sum(dim=-1, keepdim=True) - at_high
        return grad.scatter_add(-1, ends, -torch.cat([at_low, at_high], dim=-1))


def minmax_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to [0, 1] by its own minimum and maximum; a constant row becomes zeros."""
    return lift(_MinMax.apply, vectors) if in_lockstep() else _MinMax.apply(vectors)


def layer_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to mean 0 and variance 1."""
    return nn.functional.layer_norm(vectors, vectors.shape[-1:])


NORMALIZATIONS = {"minmax": minmax_normalize, "layer": layer_normalize}
