"""Bags of one batch in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `bags` offers this class and needs no torch
    import torch
    from torch import Tensor


# Bags differ a thousandfold in size: padded to the largest, a batch would be mostly padding, and each operation would
# need a mask. The lengths are a tuple and no tensor, because `split` wants numbers, for which a GPU would have to wait.
@dataclass(frozen=True)
class PackedBags:
    """The tiles of several bags, one bag after the other, without padding.

    What an encoder that reads bags is given.

    Parameters
    ----------
    values : Tensor of shape (..., n_tiles_total, n_features)
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

    def to(self, device: torch.device) -> PackedBags:
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

    def with_values(self, values: Tensor) -> PackedBags:
        """Give the same tiles other features.

        Parameters
        ----------
        values : Tensor of shape (..., n_tiles_total, n_features)
            The features.

        Returns
        -------
        bags : PackedBags
            Bags of the same lengths.
        """
        return PackedBags(values, self.lengths)
