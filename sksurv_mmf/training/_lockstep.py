"""Training of the members of an ensemble, all in one forward pass."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..layers._lockstep import Randomness
from ..networks._lockstep import Lockstep
from ..patients._batch import to_device
from ..patients._reading import read_all
from ..patients._tile_sample import TileSample
from ..utils._torch_state import tiny_numbers_as_zero
from ._batches import steps_that_teach
from ._checkpoint import NOWHERE, check_alike, copy_tensors, load_optimizer
from ._net import make_optimizer


class SharedBatches:
    """Batches of one epoch that all members go through, in a new random order each time.

    A member learns from those patients of a batch who are in its sample, so that patients are read once for all
    members, and a member's batches do not depend on who else trains beside it.

    Parameters
    ----------
    patients : Patients
        Those of all samples.
    batch_size : int
        Patients per batch, whether in a sample or not.
    gradient_accumulation : int
        Batches per optimizer step.
    teaches : callable
        Tells whether the rows of a step teach every member of the ensemble something. A step that does not takes in the
        next one, and the last ones of an epoch join the step before.
    seed : int
        Decides the orders, and the tiles that an epoch sees.
    max_tiles : int, default=None
        Tiles of a bag that an epoch sees at most, the same for all members; None is all.
    """

    n_epochs = 0  # so far

    def __init__(self, patients, batch_size, gradient_accumulation, teaches, seed, max_tiles=None):
        self.patients = patients
        self.batch_size = batch_size
        self.per_step = batch_size * gradient_accumulation
        self.teaches = teaches
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.max_tiles = max_tiles

    def _steps(self) -> list[np.ndarray]:
        order = self.rng.permutation(len(self.patients))
        return steps_that_teach(order, self.per_step, self.teaches) or [order]

    def __iter__(self):
        """Yield the patients of a batch, their rows, and those of the step that it belongs to."""
        self.n_epochs += 1
        patients = self.patients.sampled(self.max_tiles and TileSample(self.max_tiles, self.seed, self.n_epochs))
        requests = [
            (step[start : start + self.batch_size], step)
            for step in self._steps()
            for start in range(0, len(step), self.batch_size)
        ]
        return read_all(patients, lambda request: (patients.batch(request[0]), *request), requests)


class Targets:
    """What each member is to learn of each patient.

    Parameters
    ----------
    objectives : list of Objective
        The fitted objectives of the members.
    samples : ndarray of bool, shape (n_members, n_patients)
        Whom each member learns from.
    outcome : Outcome
        Event and time of all patients.
    """

    def __init__(self, objectives, samples, outcome):
        self.objectives = objectives
        self.samples = torch.from_numpy(samples)
        self.targets = [objective.encode(*outcome) for objective in objectives]
        if objectives[0].losses is not None:
            self.stacked = tuple(torch.stack(parts) for parts in zip(*self.targets))

    def loss(self, outputs: Tensor, rows: np.ndarray, step: np.ndarray) -> Tensor:
        """Loss of each member, (n_members,): what the batch adds to the mean over the member's patients of a step."""
        rows = torch.from_numpy(rows)
        if self.objectives[0].losses is None:
            return torch.stack([self._loss_of(k, outputs[k], rows, step) for k in range(len(outputs))])
        target = to_device(tuple(one.index_select(1, rows) for one in self.stacked), outputs.device)
        weights = self.samples[:, rows] / self.samples[:, step].sum(dim=1, keepdim=True)
        return (self.objectives[0].losses(outputs, target) * weights.to(outputs, non_blocking=True)).sum(dim=1)

    def _loss_of(self, k, outputs, rows, step):
        # Counted on the CPU, where samples are: of a mask of its own a GPU would have to tell the size.
        own = np.flatnonzero(self.samples[k, rows])
        if not len(own):
            return outputs.sum() * 0
        own = torch.from_numpy(own)
        target = to_device(tuple(one[rows[own]] for one in self.targets[k]), outputs.device)
        (on_device,) = to_device((own,), outputs.device)
        share = len(own) / self.samples[k, step].sum()
        return self.objectives[k].loss(outputs.index_select(0, on_device), target) * share


@dataclass
class Progress:
    """What an epoch of training in lockstep changes."""

    members: Lockstep
    optimizer: torch.optim.Optimizer
    randomness: Randomness
    rng: np.random.Generator
    snapshots: dict[int, list[dict[str, Tensor]]]
    losses: list[np.ndarray]

    def state(self) -> dict:
        """All that decides the epochs to come, as plain values and tensors."""
        return {
            "weights": self.members.stacked,
            "optimizer": self.optimizer.state_dict(),
            "randomness": self.randomness.state(),
            "order": self.rng.bit_generator.state,
            "snapshots": self.snapshots,
            "losses": np.array(self.losses),
        }

    def load(self, state: dict) -> None:
        """Put back what `state` has told of networks of the same shape."""
        copy_tensors(self.members.stacked, state["weights"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.randomness.load(state["randomness"])
        self.rng.bit_generator.state = state["order"]
        for k, ours in enumerate(self.members.snapshot()):
            for epoch in state["snapshots"].values():
                check_alike(ours, epoch[k])
        self.snapshots |= state["snapshots"]
        self.losses += list(state["losses"])


def train_in_lockstep(networks, targets, batches, recipe, seeds, device, keep_at, checkpoint=NOWHERE):
    """Train networks of one shape at once.

    Returns the weights of each network after the epochs `keep_at`, and the mean loss of each network in each epoch,
    shape (n_epochs, n_members).
    """
    members = Lockstep(networks)
    randomness = Randomness([torch.Generator(device).manual_seed(seed) for seed in seeds])
    weights = members.parameters_by_name()
    optimizer = make_optimizer(weights, networks[0], recipe)
    snapshots, losses = {0: members.snapshot()} if 0 in keep_at else {}, []
    progress = Progress(members, optimizer, randomness, batches.rng, snapshots, losses)
    checkpoint.resume(progress.load, device)
    n_epochs, done = max(keep_at), len(losses)
    batches.n_epochs = done  # by which tiles are drawn
    left = range(done + 1, n_epochs + 1)
    epochs = tqdm(left, "training", n_epochs, initial=done, unit="epoch", disable=not recipe.verbose)
    with tiny_numbers_as_zero():
        for epoch in epochs:
            losses.append(_train_epoch(members, targets, batches, optimizer, randomness, device))
            epochs.set_postfix(train_loss=f"{losses[-1].mean():.4f}")
            if epoch in keep_at:
                snapshots[epoch] = members.snapshot()
            checkpoint.save(progress.state)
    return snapshots, np.array(losses)


def _train_epoch(members, targets, batches, optimizer, randomness, device):
    total, n_seen = 0, 0
    for batch, rows, step in batches:
        loss = targets.loss(members.outputs(batch.to(device), randomness), rows, step)
        loss.sum().backward()
        total = total + loss.detach() * len(step)  # read once per epoch, for which a GPU would have to wait
        if rows[-1] == step[-1]:
            n_seen += len(step)
            optimizer.step()
            optimizer.zero_grad()
    return (total / n_seen).cpu().numpy()
