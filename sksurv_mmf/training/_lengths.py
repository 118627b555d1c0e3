"""How long to train is told by patients whom a member has not seen: an average over lengths of training.

No number of epochs suits all cohorts, and to pick one by a few dozen patients is noisy. Hence the weights of a network
are averaged over the epochs of its training, each as much as it makes the outcomes of left-out patients likely.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..networks._curves import survival_at
from ..outcome._outcome import Outcome
from ..patients._patients import Patients
from ..patients._reading import prediction_batches
from ..statistics._mixture import mixture_weights

PER_LENGTH = 3
"""Snapshots in the usual length of training, and how many times longer training goes on."""

PRIOR_SD = 0.5
"""Standard deviation of the logarithm of the length, around the usual one, before any patient is looked at."""

PRIOR_START = 0.1
"""How much no training at all counts beforehand, as a multiple of what the usual length counts.

Who starts at what is known of all patients stays there, where left-out patients show that nothing was learnt.
"""

PRIOR_PATIENTS = 5.0
"""How many left-out patients this guess is worth."""

N_INTERVALS = 12
LEAST = 1e-6  # probability of an outcome, lest a single patient decides


def epochs_to_keep(max_epochs: int, with_start: bool) -> list[int]:
    """Epochs after which weights are kept: evenly up to three times `max_epochs`, perhaps with those of the start."""
    n_epochs = PER_LENGTH * max_epochs
    epochs = np.unique(np.linspace(0, n_epochs, PER_LENGTH**2 + 1).round().astype(int)).tolist()
    return epochs if with_start else epochs[1:]


def weigh_lengths(likelihood: np.ndarray, epochs: list[int], max_epochs: int) -> np.ndarray:
    """Weights of the lengths of training, shape (n_lengths,); `likelihood` has the shape (n_patients, n_lengths)."""
    distance = np.log(np.maximum(epochs, 1) / max_epochs) / PRIOR_SD
    prior = np.where(np.array(epochs) == 0, PRIOR_START, np.exp(-0.5 * distance**2))
    return mixture_weights(likelihood, prior / prior.sum(), PRIOR_PATIENTS)


def intervals(outcome: Outcome) -> np.ndarray:
    """Edges of intervals of time with about equally many events each, from 0 on."""
    inner = np.quantile(outcome.time[outcome.event], np.linspace(0, 1, N_INTERVALS + 1)[1:-1])
    return np.unique([0.0, *inner, outcome.time.max()])


def outcome_likelihood(survival: np.ndarray, edges: np.ndarray, outcome: Outcome) -> np.ndarray:
    """Likelihood of each patient's outcome under a survival function known at the `edges` of intervals.

    An event has the probability of its interval. A patient who was censored in an interval lives until its middle.
    """
    k = np.clip(np.searchsorted(edges, outcome.time, side="left") - 1, 0, len(edges) - 2)
    rows = np.arange(len(k))
    before, after = survival[rows, k], survival[rows, k + 1]
    return np.maximum(np.where(outcome.event, before - after, (before + after) / 2), LEAST)


def left_out_groups(samples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Patients whom the same members leave out, and these members; `samples` has the shape (n_members, n_patients)."""
    left_out, group = np.unique(~samples, axis=1, return_inverse=True)
    for g, members in enumerate(left_out.T):
        if members.any():
            yield np.flatnonzero(group.ravel() == g), np.flatnonzero(members)


def average_weights(snapshots: list[dict[str, Tensor]], shares: np.ndarray) -> dict[str, Tensor]:
    """The mean of several states of a network; what is not a floating-point number is the same in all."""

    def mean(tensors):
        if not tensors[0].is_floating_point():
            return tensors[-1]
        return sum(share * one for share, one in zip(shares.tolist(), tensors))

    return {name: mean([one[name] for one in snapshots]) for name in snapshots[0]}


def left_out_survival(
    models: list[list[tuple]], patients: Patients, samples: np.ndarray, times: np.ndarray, device: str
) -> np.ndarray:
    """Survival functions by those members that have not seen a patient, (n_models, n_patients, n_times).

    Each of `models` is a list of members, pairs of what computes the outputs of a batch and of an objective. Patients
    are read once, whatever the number of models and members. A patient whom no member leaves out has NaN.
    """
    survival = np.full((len(models), len(patients), len(times)), np.nan)
    for rows, members in left_out_groups(samples):
        start = 0
        for batch in prediction_batches(patients.select(rows)):
            batch, stop = batch.to(device), start + len(batch)
            for m, model in enumerate(models):
                with torch.inference_mode():
                    outputs = [(objective, predict(batch)) for predict, objective in (model[k] for k in members)]
                    curves = [survival_at(*one, times) for one in outputs]
                survival[m, rows[start:stop]] = torch.stack(curves).mean(0).cpu().numpy()
            start = stop
    return survival
