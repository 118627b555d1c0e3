"""Bags of one batch in one tensor, and the sums over each bag's rows."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedBags:
    """The tiles of several bags, one bag after the other, without padding.

    What an encoder that reads bags is given.

    Parameters
    ----------
    values : Tensor of shape (n_tiles_total, n_features)
        All tiles.
    lengths : tuple of int
        Number of tiles of each bag; their sum is ``n_tiles_total``.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.bags import PackedBags
    >>> bags = PackedBags(torch.tensor([[1.0], [3.0], [5.0]]), lengths=(2, 1))
    >>> [tiles.mean().item() for tiles in bags.values.split(bags.lengths)]
    [2.0, 5.0]
    """

    values: Tensor
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> "PackedBags":
        """Copy to another device.

        Parameters
        ----------
        device : torch.device
            Where to. float16 tiles travel as such and become float32 there.

        Returns
        -------
        bags : PackedBags
            The copy.
        """
        return PackedBags(self.values.to(device, non_blocking=True).float(), self.lengths)

    def with_values(self, values: Tensor) -> "PackedBags":
        """Give the same tiles other features.

        Parameters
        ----------
        values : Tensor of shape (n_tiles_total, n_features)
            The features.

        Returns
        -------
        bags : PackedBags
            Bags of the same lengths.
        """
        return PackedBags(values, self.lengths)


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
