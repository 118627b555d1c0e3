"""Some patients, ready for the network."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..layers._packed_bags import PackedBags


@dataclass(frozen=True)
class Batch:
    """Some patients, ready for the network.

    Attributes
    ----------
    inputs : tuple of (Tensor, PackedBags or None)
        For each modality the patients who have it, and only those; None where nobody does.
    rows : tuple of (Tensor or None)
        For each modality the positions of these patients in the batch; None where all have it. They stay on the CPU,
        where lengths of bags are made of them.
    present : Tensor of bool, shape (n_patients, n_modalities)
        Who has what.
    share : float
        Share of the batch among the patients of its optimizer step.
    ends_step : bool
        Whether the optimizer steps after this batch.
    """

    inputs: tuple
    rows: tuple
    present: Tensor
    share: float = 1.0
    ends_step: bool = True

    def __len__(self) -> int:
        return self.present.shape[-2]

    @property
    def leading(self) -> tuple[int, ...]:
        """Sizes of the axes before patients and features, of which all inputs have the same."""
        tensors = [one.values if isinstance(one, PackedBags) else one for one in self.inputs if one is not None]
        return tuple(tensors[0].shape[:-2]) if tensors else ()

    def to(self, device: torch.device) -> "Batch":
        """Copy to `device`; bags are float32 there."""
        *inputs, present = to_device((*self.inputs, self.present), device)
        return replace(self, inputs=tuple(inputs), present=present)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with what `function` makes of each of its inputs and of who is present."""

        def each(one):
            if isinstance(one, PackedBags):
                return one.with_values(function(one.values))
            return None if one is None else function(one)

        return replace(self, inputs=tuple(map(each, self.inputs)), present=function(self.present))


def to_device(parts: tuple, device: torch.device) -> tuple:
    """Copies of tensors or bags on the device that computes; None stays None."""
    return tuple(one if one is None else _to_device(one, device) for one in parts)


def _to_device(one, device):
    # Copied in order with what the GPU computes, and the CPU need not wait.
    return one.to(device) if isinstance(one, PackedBags) else one.to(device, non_blocking=True)
