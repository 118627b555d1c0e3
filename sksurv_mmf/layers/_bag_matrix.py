"""Softmax, sums, means and maxima over the rows of all bags at once, by a matrix of bags x tiles.

As many operations whatever the number of bags, where each is a launch: on a GPU, or for few tiles. Products with zeros
for the tiles of other bags replace additions by index, which a GPU makes in any order, so that the last bits would
differ from run to run (``torch.use_deterministic_algorithms`` lists these operations). They cost n_bags / n_features of
what a layer before them does. A product takes all tiles along, so that a bag with NaN spoils its whole batch.
"""

import torch
from torch import Tensor


def owners(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """For each tile the position of its bag."""
    # Neither the ends nor the number of tiles are read from the device, for which a GPU would have to wait.
    ends = torch.tensor(lengths, dtype=torch.long).cumsum(0).to(device, non_blocking=True)
    return torch.bucketize(torch.arange(sum(lengths), device=device), ends, right=True)


def others(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Which tiles are not those of a bag: bool of shape (n_bags, n_tiles_total)."""
    return owners(lengths, device) != torch.arange(len(lengths), device=device).unsqueeze(-1)


def softmax_matrix(scores: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Softmax of `scores` within each bag, and zeros: (..., n_tiles_total) -> (..., n_bags, n_tiles_total)."""
    return scores.unsqueeze(-2).masked_fill(others(lengths, scores.device), -torch.inf).softmax(-1)


def softmax_at_once(scores: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Softmax of `scores`, shape (..., n_tiles_total), within each bag, of which none is empty."""
    return softmax_matrix(scores, lengths).sum(-2)


def weighted_sum_at_once(weights: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of ``weights[i] * values[i]`` within each bag: (..., n_bags, n_features)."""
    return weights.unsqueeze(-2).masked_fill(others(lengths, weights.device), 0) @ values


def pool_at_once(scores: Tensor, values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Sum of the values of each bag with the softmax of its scores: (..., n_bags, n_features)."""
    return softmax_matrix(scores, lengths) @ values


def mean_at_once(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Mean of each bag: (..., n_bags, n_features)."""
    sums = (~others(lengths, values.device)).to(values.dtype) @ values
    return sums / torch.tensor(lengths, dtype=values.dtype).to(values.device, non_blocking=True).unsqueeze(-1)


def max_at_once(values: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Maximum of each feature within each bag: (..., n_bags, n_features)."""
    # Of a maximum the order does not matter. Its gradient is shared evenly by equal values, as that of amax.
    owner = owners(lengths, values.device).unsqueeze(-1).expand(values.shape)
    lowest = values.new_full((*values.shape[:-2], len(lengths), values.shape[-1]), -torch.inf)
    return lowest.scatter_reduce(-2, owner, values, "amax")
