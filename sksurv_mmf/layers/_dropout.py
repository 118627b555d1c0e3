"""Dropout whose masks each member of an ensemble draws by itself."""

import torch
from torch import Tensor, nn

from ._lockstep import in_lockstep, uniform

SELU_FLOOR = -1.7580993408473766  # what SELU and ELU-like units go to far below zero


def keep_mask(like: Tensor, keep: float) -> Tensor:
    """Ones with probability `keep`, zeros else, in the shape of `like`."""
    return (uniform(like.shape, like.device) < keep).to(like.dtype)


class Dropout(nn.Dropout):
    """torch's dropout, for members of an ensemble, too."""

    def forward(self, x: Tensor) -> Tensor:
        if not (in_lockstep() and self.training and self.p):
            return super().forward(x)
        # A probability of 1 leaves nothing, and nothing to divide.
        return x * keep_mask(x, 1 - self.p).div(max(1 - self.p, torch.finfo(x.dtype).tiny))


class AlphaDropout(nn.AlphaDropout):
    """torch's dropout that keeps mean and variance [1]_, for members of an ensemble, too.

    References
    ----------
    .. [1] Klambauer, G. et al. "Self-normalizing neural networks", NeurIPS 2017.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (in_lockstep() and self.training and self.p) or self.p == 1:
            return super().forward(x)
        keep = 1 - self.p
        scale = (keep * (1 + self.p * SELU_FLOOR**2)) ** -0.5
        mask = keep_mask(x, keep)
        return x * mask * scale + ((1 - mask) * SELU_FLOOR - self.p * SELU_FLOOR) * scale
