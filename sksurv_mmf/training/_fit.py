"""A fit as a function: from a recipe, patients, their outcome and a seed to a trained network."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from sklearn.base import clone

from ..networks._inference import infer
from ..networks._network import FusionNetwork
from ..networks._recipe import NetworkRecipe, fit_network
from ..objectives._base import Objective
from ..outcome._outcome import Outcome
from ..patients._modality import Modality
from ..patients._patients import Patients
from ..patients._presence import check_present
from ..patients._transfer import bring
from ..utils._device import resolve_device
from ..utils._logging import logger
from ._batches import batches_of
from ._checkpoint import NOWHERE
from ._hold_out import hold_out
from ._net import SurvivalNet, check_converged, copy_callbacks, train
from ._processes import check_alike, check_can_share, taking_part
from ._seeds import torch_seed


@dataclass(frozen=True, kw_only=True)
class Recipe(NetworkRecipe):
    """What decides a fit beside the patients and the seed; the parameters of the same names of the estimator.

    Attributes
    ----------
    objective : Objective
        What is learnt.
    max_epochs, lr, batch_size, max_tiles, optimizer, weight_decay, early_stopping, validation_fraction, patience
        As in `FusionSurvivalAnalysis`.
    gradient_accumulation, balance, callbacks, device, verbose
        As in `FusionSurvivalAnalysis`.
    """

    objective: Objective
    max_epochs: int
    lr: float
    attention_lr: float
    batch_size: int
    max_tiles: int | None
    optimizer: str | type
    weight_decay: float
    early_stopping: bool
    validation_fraction: float
    patience: int
    gradient_accumulation: int
    balance: bool
    callbacks: list | None
    device: str
    verbose: bool
    n_estimators: int
    max_samples: float | int
    average_epochs: bool
    n_jobs: int | None


@dataclass(frozen=True)
class Fit:
    """What a fit has made.

    Attributes
    ----------
    net : SurvivalNet
        The trained net.
    modalities : list of Modality
        Those of the recipe, with fitted encoders.
    objective : Objective
        The fitted objective.
    snapshots : dict of int to dict, default=None
        Weights after some epochs, while an ensemble needs them.
    """

    net: SurvivalNet
    modalities: list[Modality]
    objective: Objective
    snapshots: dict | None = None


def fit(recipe: Recipe, patients: Patients, outcome: Outcome, rows: np.ndarray, seed: int, checkpoint=NOWHERE) -> Fit:
    """Train on the patients `rows`.

    Whatever is learnt from patients, be it before, in or after the training of the network, is learnt from those of
    `rows` that are not held out for early stopping.
    """
    held_out = None
    if recipe.early_stopping:
        rows, held_out = hold_out(outcome, rows, recipe.validation_fraction, seed)
    trained_on, learnt = patients.select(rows), outcome.take(rows)
    names = [modality.name for modality in recipe.modalities]
    check_present(trained_on.present, names, 0 if held_out is None else len(held_out))
    objective = clone(recipe.objective).fit(*learnt)
    device, processes = resolve_device(recipe.device), taking_part.get()
    logger.info("Training a network of %d patients on %s.", len(rows), device)
    with torch_seed(seed, device):
        network, modalities = fit_network(recipe, objective, trained_on)
        check_can_share(network, objective, processes)
        check_alike(network, len(patients), processes)
        training = training_batches(recipe, objective, bring(trained_on, device), learnt, seed)
        validation = None
        if held_out is not None:
            watched = bring(patients.select(held_out), device)
            validation = validation_batches(recipe, objective, watched, outcome.take(held_out))
        own = replace(recipe, callbacks=copy_callbacks(recipe.callbacks))
        net = train(network, objective, training, validation, own, device, checkpoint, processes)
        check_converged(net, trained_on, np.arange(min(len(rows), recipe.batch_size)))
    return Fit(net, modalities, complete(net.module_, objective, trained_on, learnt, device))


def complete(network, objective: Objective, patients: Patients, outcome: Outcome, device, predict=None) -> Objective:
    """Let an objective learn what depends on the trained network; `predict` says how it is asked, if not as usual."""
    outputs = partial(infer, network, patients, device, predict or FusionNetwork.forward)
    return objective.fit_baseline(lambda: torch.cat(outputs()).double(), *outcome)


def training_batches(recipe, objective, patients, outcome, seed):
    """Batches of all patients, in a new random order each epoch."""
    weights = balancing_weights(objective.strata(*outcome)) if recipe.balance else None
    return batches_of(
        objective,
        patients,
        objective.encode(*outcome),
        recipe.batch_size,
        gradient_accumulation=recipe.gradient_accumulation,
        weights=weights,
        max_tiles=recipe.max_tiles,
        seed=seed,
        processes=taking_part.get(),
    )


def validation_batches(recipe, objective, patients, outcome):
    """Batches of all patients, who are one step and one risk set."""
    return batches_of(
        objective,
        patients,
        objective.encode(*outcome),
        recipe.batch_size,
        gradient_accumulation=len(patients),
        shuffle=False,
        processes=taking_part.get(),
    )


def balancing_weights(strata: np.ndarray) -> np.ndarray:
    """Sampling weights that make all strata equally likely."""
    _, stratum, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return 1.0 / counts[stratum]
