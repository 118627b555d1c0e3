"""Softmax, sums and means over the rows of each bag."""

import torch
from torch import Tensor

# A bag is reduced by operations that see this bag alone. Its result therefore has the same bits whatever
# else is in the batch, and on a GPU no atomic additions make it depend on the order of execution.


def segment_softmax(scores: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Softmax of `scores`, shape (n_tiles_total,), within each bag."""
    if len(lengths) == 1:
        return scores.softmax(0)
    return torch.cat([one.softmax(0) for one in scores.split(lengths)])


def segment_weighted_sum(weights: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of ``weights[i] * values[i]`` within each bag: (n_bags, n_features)."""
    if len(lengths) == 1:
        return weights.unsqueeze(0) @ values
    pairs = zip(weights.split(lengths), values.split(lengths))
    return torch.stack([one @ tiles for one, tiles in pairs])


def segment_mean(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Mean of each bag: (n_bags, n_features)."""
    return torch.stack([tiles.mean(0) for tiles in values.split(lengths)])


def segment_max(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Maximum of each feature within each bag: (n_bags, n_features)."""
    return torch.stack([tiles.amax(0) for tiles in values.split(lengths)])
