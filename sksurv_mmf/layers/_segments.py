"""Softmax, sums and means over the rows of each bag."""

import torch
from torch import Tensor

# A bag is reduced by operations that see this bag alone. Its result therefore has the same bits whatever
# else is in the batch, and on a GPU no atomic additions make it depend on the order of execution.
# Axes are counted from the end: whatever lies before the tiles stays in front of the bags.


def for_each_row(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Give all rows of a bag the value of the bag: (..., n_bags) -> (..., n_tiles_total)."""
    owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    return values.index_select(-1, owner.to(values.device))


def segment_softmax(scores: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Softmax of `scores`, shape (..., n_tiles_total), within each bag."""
    if len(lengths) == 1:
        return scores.softmax(-1)
    return torch.cat([one.softmax(-1) for one in scores.split(lengths, dim=-1)], dim=-1)


def segment_weighted_sum(weights: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of ``weights[i] * values[i]`` within each bag: (..., n_bags, n_features)."""
    weights = weights.unsqueeze(-2)
    if len(lengths) == 1:
        return weights @ values
    pairs = zip(weights.split(lengths, dim=-1), values.split(lengths, dim=-2))
    return torch.cat([one @ tiles for one, tiles in pairs], dim=-2)


def pool_few(scores: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of the values of each bag with the softmax of its scores: (..., n_bags, n_features).

    Three operations whatever the number of bags, on a matrix of bags x tiles: for few tiles.
    """
    bags = torch.arange(len(lengths), device=values.device).unsqueeze(-1)
    owner = torch.tensor(lengths, device=values.device).cumsum(0)
    tiles = torch.bucketize(torch.arange(scores.shape[-1], device=values.device), owner, right=True)
    return scores.unsqueeze(-2).masked_fill(tiles != bags, -torch.inf).softmax(-1) @ values


def segment_mean(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Mean of each bag: (..., n_bags, n_features)."""
    return torch.stack([tiles.mean(-2) for tiles in values.split(lengths, dim=-2)], dim=-2)


def segment_max(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Maximum of each feature within each bag: (..., n_bags, n_features)."""
    return torch.stack([tiles.amax(-2) for tiles in values.split(lengths, dim=-2)], dim=-2)
