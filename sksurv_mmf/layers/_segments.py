"""Softmax, sums and means over the rows of each bag."""

import torch
from torch import Tensor

from ._bag_matrix import max_at_once, mean_at_once, owners, softmax_at_once, weighted_sum_at_once

# On a CPU a bag is reduced by operations that see this bag alone. Its result therefore has the same bits whatever
# else is in the batch. On a GPU, where each operation is a launch, all bags are reduced at once.
# Axes are counted from the end: whatever lies before the tiles stays in front of the bags.


def for_each_row(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Give all rows of a bag the value of the bag: (..., n_bags) -> (..., n_tiles_total)."""
    return values.index_select(-1, owners(lengths, values.device))


def counts_launches(values: Tensor, lengths: tuple[int, ...]) -> bool:
    """Whether several bags are better reduced at once."""
    return len(lengths) > 1 and values.device.type != "cpu"


def segment_softmax(scores: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Softmax of `scores`, shape (..., n_tiles_total), within each bag."""
    if counts_launches(scores, lengths):
        return softmax_at_once(scores, lengths)
    if len(lengths) == 1:
        return scores.softmax(-1)
    return torch.cat([one.softmax(-1) for one in scores.split(lengths, dim=-1)], dim=-1)


def segment_weighted_sum(weights: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of ``weights[i] * values[i]`` within each bag: (..., n_bags, n_features)."""
    if counts_launches(values, lengths):
        return weighted_sum_at_once(weights, values, lengths)
    weights = weights.unsqueeze(-2)
    if len(lengths) == 1:
        return weights @ values
    pairs = zip(weights.split(lengths, dim=-1), values.split(lengths, dim=-2))
    return torch.cat([one @ tiles for one, tiles in pairs], dim=-2)


def segment_mean(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Mean of each bag: (..., n_bags, n_features)."""
    if counts_launches(values, lengths):
        return mean_at_once(values, lengths)
    return torch.stack([tiles.mean(-2) for tiles in values.split(lengths, dim=-2)], dim=-2)


def segment_max(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Maximum of each feature within each bag: (..., n_bags, n_features)."""
    if counts_launches(values, lengths):
        return max_at_once(values, lengths)
    return torch.stack([tiles.amax(-2) for tiles in values.split(lengths, dim=-2)], dim=-2)
