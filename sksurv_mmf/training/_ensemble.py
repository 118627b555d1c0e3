"""An ensemble as a function: members that each train on a part of the patients, and what the others say of them."""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import clone
from skorch.callbacks import Callback
from torch.func import functional_call

from ..networks._lockstep import knows_lockstep, shape_of_network
from ..networks._recipe import fit_network
from ..outcome._outcome import Outcome
from ..patients._patients import Patients
from ..patients._presence import check_present
from ..patients._transfer import bring
from ..utils._device import resolve_device
from ..utils._logging import logger
from ..utils._warnings import each_once
from ._checkpoint import NOWHERE
from ._fit import Fit, Recipe, complete, fit
from ._lengths import average_weights, epochs_to_keep, intervals, left_out_survival, outcome_likelihood, weigh_lengths
from ._lockstep import SharedBatches, Targets, train_in_lockstep
from ._net import OPTIMIZERS, check_converged, make_optimizer_params, restore
from ._processes import check_single, taking_part
from ._samples import draw_samples
from ._seeds import torch_seed


@dataclass(frozen=True)
class Ensemble:
    """What the fit of an ensemble has made.

    Attributes
    ----------
    members : list of Fit
        The trained members.
    samples : ndarray of bool, shape (n_members, n_patients)
        Whom each member was trained on.
    lengths : dict of int to float
        How much the weights after each of these epochs count; empty if members do not average over epochs.
    """

    members: list[Fit]
    samples: np.ndarray
    lengths: dict[int, float]


def fit_ensemble(recipe: Recipe, patients: Patients, outcome: Outcome, seed: int, checkpoints=NOWHERE) -> Ensemble:
    """Train `recipe.n_estimators` members, each on a share of the patients."""
    check_single(recipe.n_estimators, taking_part.get())
    samples = draw_samples(outcome, recipe.n_estimators, recipe.max_samples, seed)
    seeds = member_seeds(seed, len(samples))
    train = partial(train_some, recipe, patients, outcome, samples, seeds, seed, checkpoints=checkpoints)
    n_jobs = min(effective_n_jobs(recipe.n_jobs), len(samples))
    shares = np.array_split(np.arange(len(samples)), n_jobs)
    # Of each member the same would be said.
    with each_once():
        parts = [train(shares[0])] if n_jobs == 1 else Parallel(n_jobs)(delayed(train)(share) for share in shares)
        members = [member for part in parts for member in part]
        return settle(recipe, members, patients, outcome, samples)


def member_seeds(seed: int, n_members: int) -> list[int]:
    """A seed for each member, which does not depend on their number."""
    return [int(one.generate_state(1)[0]) for one in np.random.SeedSequence(seed).spawn(n_members)]


def kept_epochs(recipe: Recipe, samples: np.ndarray) -> list[int]:
    """Epochs after which weights are kept: several, if there are patients whom members leave out to weigh them."""
    averages = recipe.average_epochs and not recipe.early_stopping and not samples.all()
    # A start that knows nothing of patients is an answer, too; other starts are chance.
    return epochs_to_keep(recipe.max_epochs, recipe.zero_start) if averages else [recipe.max_epochs]


def train_some(recipe, patients, outcome, samples, seeds, seed, members, checkpoints=NOWHERE) -> list[Fit]:
    """Train some of the members, those of one shape at once where that gives what each would be alone."""
    untrained = {}
    if allows_lockstep(recipe):
        rows = map(np.flatnonzero, samples[members])
        untrained = {k: untrained_member(recipe, patients, outcome, own, seeds[k]) for k, own in zip(members, rows)}
    if not untrained or not all(knows_lockstep(network) for network, _, _ in untrained.values()):
        return [fit_alone(recipe, patients, outcome, samples, k, seeds[k], checkpoints) for k in members]
    groups = {}
    for k, (network, _, objective) in untrained.items():
        groups.setdefault((shape_of_network(network), objective.n_outputs_), []).append(k)
    trained = {}
    for group in groups.values():
        of_group = {k: untrained[k] for k in group}
        trained |= train_group(recipe, patients, outcome, samples, seeds, seed, of_group, checkpoints)
    return [trained[k] for k in members]


def allows_lockstep(recipe: Recipe) -> bool:
    """Whether the settings of training let members share their batches."""
    return (
        not (recipe.early_stopping or recipe.balance or recipe.callbacks)
        and recipe.optimizer in OPTIMIZERS
        and (recipe.objective.decomposes or recipe.gradient_accumulation == 1)
    )


def untrained_member(recipe, patients, outcome, rows, seed):
    """Network, modalities and objective of a member, after they have learnt what they must know beforehand."""
    seen = patients.select(rows)
    check_present(seen.present, [modality.name for modality in recipe.modalities], len(patients) - len(rows))
    objective = clone(recipe.objective).fit(*outcome.take(rows))
    with torch_seed(seed, "cpu"):
        network, modalities = fit_network(recipe, objective, seen)
    return network, modalities, objective


def train_group(recipe, patients, outcome, samples, seeds, seed, untrained, checkpoints) -> dict[int, Fit]:
    """Train members whose networks have one shape."""
    members = list(untrained)
    networks, _, objectives = zip(*untrained.values())
    device = resolve_device(recipe.device)
    logger.info("Training members %s of an ensemble together on %s.", ", ".join(map(str, members)), device)
    teaches = partial(teaches_all, clone(recipe.objective).fit(*outcome), outcome, samples)
    snapshots, losses = train_in_lockstep(
        [network.to(device) for network in networks],
        Targets(objectives, samples[members], outcome),
        SharedBatches(
            bring(patients, device),
            shared_batch_size(recipe, samples),
            recipe.gradient_accumulation,
            teaches,
            seed,
            recipe.max_tiles,
        ),
        recipe,
        [seeds[k] + 1 for k in members],
        device,
        kept_epochs(recipe, samples),
        checkpoints.of("members-" + "-".join(map(str, members))),
    )
    return {
        k: finish(recipe, untrained[k], {epoch: one[i] for epoch, one in snapshots.items()}, losses[:, i], device)
        for i, k in enumerate(members)
    }


def shared_batch_size(recipe: Recipe, samples: np.ndarray) -> int:
    """How many patients have about `batch_size` in the sample of each member."""
    return round(recipe.batch_size / samples.mean())


def teaches_all(objective, outcome: Outcome, samples: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the patients `rows` teach each member something, whoever of the members trains here."""
    seen = samples[:, rows]
    if objective.decomposes:
        return bool(seen.any(axis=1).all())
    return all(objective.informs(objective.encode(*outcome.take(rows[own]))) for own in seen)


def finish(recipe, untrained, snapshots, losses, device) -> Fit:
    """A member with its last weights."""
    network, modalities, objective = untrained
    network.load_state_dict(list(snapshots.values())[-1])
    epochs = [{"epoch": i + 1, "train_loss": float(loss), "batches": []} for i, loss in enumerate(losses)]
    settings = make_optimizer_params(recipe.optimizer, recipe.weight_decay)
    net = restore(network, objective, epochs, device=device, max_epochs=len(epochs), lr=recipe.lr, **settings)
    return Fit(net, modalities, objective, snapshots)


def with_weights(weights, network, batch):
    """Outputs of a network as it would be with other weights."""
    return functional_call(network, weights, (batch,))


class Snapshots(Callback):
    """Keeps the weights after some epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_begin(self, net, **kwargs):
        self.kept = {0: deepcopy(net.module_.state_dict())} if 0 in self.epochs else {}

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) in self.epochs:
            self.kept[len(net.history)] = deepcopy(net.module_.state_dict())


def fit_alone(recipe, patients, outcome, samples, k, seed, checkpoints) -> Fit:
    """The k-th member, which shares no batches with others."""
    epochs = kept_epochs(recipe, samples)
    snapshots = Snapshots(epochs)
    alone = replace(recipe, max_epochs=max(epochs), callbacks=[*(recipe.callbacks or []), ("snapshots", snapshots)])
    done = fit(alone, patients, outcome, np.flatnonzero(samples[k]), seed, checkpoints.of(f"member-{k}"))
    kept = next(one for name, one in done.net.callbacks_ if name == "snapshots")
    return replace(done, snapshots=kept.kept)


def settle(recipe, members, patients, outcome, samples) -> Ensemble:
    """Members with the weights that they predict with, and what objectives learn from their outputs."""
    epochs = kept_epochs(recipe, samples)
    shares = np.empty(0)
    if len(epochs) > 1:
        shares = shares_of_lengths(recipe, members, patients, outcome, samples, epochs)
        for member in members:
            member.net.module_.load_state_dict(average_weights([member.snapshots[one] for one in epochs], shares))
    done = []
    for member, sample in zip(members, samples):
        rows = np.flatnonzero(sample)
        seen = patients.select(rows)
        check_converged(member.net, seen, np.arange(min(len(rows), recipe.batch_size)))
        objective = complete(member.net.module_, member.objective, seen, outcome.take(rows), member.net.device)
        done.append(replace(member, objective=objective, snapshots=None))
    return Ensemble(done, samples, dict(zip(epochs, shares.tolist())))


def shares_of_lengths(recipe, members, patients, outcome, samples, epochs) -> np.ndarray:
    """How much each length of training counts, judged by patients whom members have left out."""
    seen = [(patients.select(rows), outcome.take(rows)) for rows in map(np.flatnonzero, samples)]

    def at(epoch, member, learnt_from):
        predict = partial(with_weights, member.snapshots[epoch])
        objective = complete(member.net.module_, deepcopy(member.objective), *learnt_from, member.net.device, predict)
        return partial(predict, member.net.module_), objective

    for member in members:
        member.net.module_.eval()
    models = [[at(epoch, *one) for one in zip(members, seen)] for epoch in epochs]
    edges = intervals(outcome)
    survival = left_out_survival(models, patients, samples, edges, members[0].net.device)
    judged = np.flatnonzero(~np.isnan(survival[0, :, 0]))
    likelihood = [outcome_likelihood(one[judged], edges, outcome.take(judged)) for one in survival]
    return weigh_lengths(np.column_stack(likelihood), epochs, recipe.max_epochs)
