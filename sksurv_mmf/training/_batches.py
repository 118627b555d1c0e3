"""Batches of one epoch, and steps of several batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..patients._batch import Batch
from ..patients._patients import Patients
from ..patients._reading import read_all
from ..patients._tile_sample import TileSample
from ._processes import ALONE


class TrainingBatches:
    """Batches of one epoch, in a new random order each time.

    Parameters
    ----------
    patients : Patients
        Those to train on.
    target : tuple of Tensor
        What is to be learnt, one row per patient.
    batch_size : int
        Patients per batch; the last batch may be smaller.
    gradient_accumulation : int, default=1
        Batches per optimizer step; the last step of an epoch may have fewer.
    weights : ndarray of shape (n_patients,), default=None
        Draw patients with replacement and these weights instead of each once.
    shuffle : bool, default=True
        Whether the order is random.
    max_tiles : int, default=None
        Tiles of a bag that an epoch sees at most, drawn anew each time; None is all.
    seed : int, default=0
        Decides which tiles.
    processes : OneProcess, default=ALONE
        Of which each gets its share of every batch. One for whom there is no patient gets the first of the batch, who
        counts nothing.
    """

    n_epochs = 0  # so far

    def __init__(
        self,
        patients,
        target,
        batch_size,
        gradient_accumulation=1,
        weights=None,
        shuffle=True,
        max_tiles=None,
        seed=0,
        processes=ALONE,
    ):
        self.patients = patients
        self.target = target
        self.batch_size = batch_size
        self.per_step = batch_size * gradient_accumulation
        self.weights = None if weights is None else torch.as_tensor(weights)
        self.shuffle = shuffle
        self.max_tiles = max_tiles
        self.seed = seed
        self.processes = processes

    def __len__(self) -> int:
        return -(-len(self.patients) // self.batch_size)

    def target_of(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """The targets of some patients."""
        rows = torch.from_numpy(rows)
        return tuple(one.index_select(0, rows) for one in self.target)

    def _order(self) -> np.ndarray:
        n_patients = len(self.patients)
        if not self.shuffle:
            return np.arange(n_patients)
        if self.weights is None:
            return torch.randperm(n_patients).numpy()
        return torch.multinomial(self.weights, n_patients, replacement=True).numpy()

    def _requests(self):
        # The first process draws the order, since others may have drawn more or fewer random numbers in between.
        order = self.processes.of_first(torch.from_numpy(self._order())).numpy()
        for start in range(0, len(order), self.batch_size):
            stop = min(start + self.batch_size, len(order))
            # Of the step that the batch is in. The last one may be short, so shares are of its own patients.
            step_start = start - start % self.per_step
            step_stop = min(step_start + self.per_step, len(order))
            own = self.processes.own(order[start:stop])
            share = len(own) / (step_stop - step_start)
            yield own if len(own) else order[start : start + 1], share, stop == step_stop

    def _next_epoch(self) -> Patients:
        """The patients with the tiles of a new epoch."""
        self.n_epochs += 1
        return self.patients.sampled(self.max_tiles and TileSample(self.max_tiles, self.seed, self.n_epochs))

    def __iter__(self):
        patients = self._next_epoch()

        def read(request):
            rows, share, ends_step = request
            return patients.batch(rows, share=share, ends_step=ends_step), self.target_of(rows)

        return read_all(patients, read, self._requests())


@dataclass(frozen=True)
class Step:
    """The patients of one optimizer step, whose batches can be read more than once.

    Attributes
    ----------
    patients : Patients
        All patients.
    rows : ndarray of int
        Those of the step.
    batch_size : int
        Patients per batch; the last batch may be smaller.
    """

    patients: Patients
    rows: np.ndarray
    batch_size: int
    share = 1.0
    ends_step = True

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        requests = (self.rows[i : i + self.batch_size] for i in range(0, len(self), self.batch_size))
        return read_all(self.patients, self.patients.batch, requests)


def steps_that_teach(order: np.ndarray, per_step: int, teaches) -> list[np.ndarray]:
    """The patients of each step of an epoch, none of which ``teaches(rows)`` finds useless; empty if all together are.

    A step that teaches nothing takes in the next one, and the last ones join the step before.
    """
    steps, start = [], 0
    for stop in [*range(per_step, len(order), per_step), len(order)]:
        if teaches(order[start:stop]):
            steps.append(order[start:stop])
            start = stop
    if steps:
        # What is left teaches nothing by itself. Left out, these patients would never be seen in this order.
        steps[-1] = np.concatenate([steps[-1], order[start:]])
    return steps


class TrainingSteps(TrainingBatches):
    """Whole steps of one epoch, for a loss that does not decompose over patients.

    Parameters
    ----------
    informs : callable
        Tells from the targets of a step whether it teaches anything. A step that does not takes in the next one, and
        the last ones of an epoch join the step before.
    *args, **kwargs
        As of TrainingBatches.
    """

    def __init__(self, informs, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.informs = informs

    __len__ = None  # depends on the order

    def _steps(self) -> list[np.ndarray]:
        order = self._order()
        # A patient drawn twice is no second patient.
        steps = steps_that_teach(order, self.per_step, lambda rows: self.informs(self.target_of(np.unique(rows))))
        if not steps:
            raise ValueError(
                f"None of {len(order)} patients to train or validate on has an event while another one is at risk, so "
                "they teach nothing. Use more patients or, with early_stopping, another validation_fraction."
            )
        return steps

    def __iter__(self):
        patients = self._next_epoch()
        for rows in self._steps():
            yield Step(patients, rows, self.batch_size), self.target_of(rows)


def batches_of(objective, *args, **kwargs) -> TrainingBatches:
    """Batches for the loss of an objective: whole steps where it compares patients."""
    if objective.decomposes:
        return TrainingBatches(*args, **kwargs)
    return TrainingSteps(objective.informs, *args, **kwargs)
