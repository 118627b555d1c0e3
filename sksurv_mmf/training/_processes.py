"""One network on several processes: each computes its share of a batch, and the gradients are added up.

What a process draws, reads and computes is its own; what decides the training, the order of patients and the weights,
is the same on all.
"""

from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor, nn

from ..utils._validation import shorten

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class OneProcess:
    """A usual fit, in which nobody else takes part."""

    number, index = 1, 0

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and shows progress."""
        return self.index == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes of what each gives; the same bits on all."""
        return values

    def of_first(self, values: Tensor) -> Tensor:
        """What the first process gives."""
        return values

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Which patients of a batch this process computes; empty if there are fewer patients than processes."""
        return np.array_split(rows, self.number)[self.index]


class Processes(OneProcess):
    """All processes of a run under accelerate.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
        What connects them.
    """

    def __init__(self, accelerator):
        self.accelerator = accelerator
        self.number, self.index = accelerator.num_processes, accelerator.process_index

    def sum(self, values):
        there = values.to(self.accelerator.device)
        return self.accelerator.reduce(there, reduction="sum").to(values.device)

    def of_first(self, values):
        return self.sum(values if self.is_first else torch.zeros_like(values))


ALONE = OneProcess()
taking_part = ContextVar("taking_part", default=ALONE)
"""The processes that the fits of this context share."""


def add_gradients(network: nn.Module, processes: OneProcess) -> None:
    """Replace the gradients of a step by their sums over all processes, in one message."""
    if processes.number == 1:
        return
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    # A process whose patients all lack a modality has no gradient of its encoder, which others may have. Where nobody
    # has one, none is made up: an optimizer would decay the weights.
    has_one = torch.tensor([float(weight.grad is not None) for weight in weights], device=weights[0].device)
    parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    total = processes.sum(torch.cat([has_one, *(one.flatten() for one in parts)]))
    n_have, *sums = total.split([len(weights), *(one.numel() for one in weights)])
    for weight, n, one in zip(weights, n_have.tolist(), sums):
        weight.grad = one.view_as(weight) if n else None


def mean_over_processes(losses: Tensor, sizes: list[int], processes: OneProcess) -> tuple[list[float], list[int]]:
    """The loss of each batch, and its patients, from those of the shares that processes have computed."""
    if processes.number == 1:
        return losses.tolist(), sizes
    n = torch.tensor(sizes, dtype=losses.dtype, device=losses.device)
    total, n = processes.sum(torch.stack([losses * n, n]))
    return (total / n).tolist(), n.int().tolist()


def check_single(n_estimators: int, processes: OneProcess) -> None:
    """Refuse an ensemble that several processes are to train together."""
    if processes.number > 1:
        raise ValueError(
            f"n_estimators={n_estimators} networks cannot be trained by several processes together. Set n_estimators=1 "
            "inside several_processes, or leave it out and train the networks of an ensemble with n_jobs."
        )


def check_can_share(network: nn.Module, objective, processes: OneProcess) -> None:
    """Refuse a network or a loss that is not the same on several processes as on one."""
    if processes.number == 1:
        return
    if not objective.decomposes:
        raise ValueError(
            f"{type(objective).__name__} compares the patients of a step, which several processes divide among them. "
            "Use an objective whose loss is a mean over patients, such as DiscreteHazard or Weibull, or one process."
        )
    norms = [name for name, part in network.named_modules() if isinstance(part, BATCH_NORMS)]
    if norms:
        raise ValueError(
            f"Batch normalisation ({shorten(norms, 2)}) takes means over the patients of a batch, of which each of "
            "several processes sees a part. Set batch_norm=False, or use one process."
        )


def check_alike(network: nn.Module, n_patients: int, processes: OneProcess) -> None:
    """Refuse processes that do not begin with equally many patients and the same weights."""
    if processes.number == 1:
        return
    sums = [one.detach().double().sum().cpu() for one in network.parameters()]
    begins_with = torch.stack([torch.tensor(n_patients).double(), *sums])
    differs = not torch.equal(begins_with, processes.of_first(begins_with))
    if processes.sum(torch.tensor(int(differs))):
        raise ValueError(
            "The processes that are to train one network begin with different ones. Give all of them the same X, y and "
            "parameters, and packages of the same versions."
        )


def check_epoch(n_epochs: int, processes: OneProcess) -> None:
    """Refuse processes of which some have found a checkpoint that others have not."""
    if processes.number == 1:
        return
    differs = n_epochs != int(processes.of_first(torch.tensor(n_epochs)))
    if processes.sum(torch.tensor(int(differs))):
        raise ValueError(
            f"This process has found {n_epochs} finished epochs in checkpoint_dir, and others another number. The "
            "folder must be on storage that all processes see."
        )
