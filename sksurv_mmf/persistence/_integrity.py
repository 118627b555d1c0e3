"""Whether what a file holds are numbers that can predict."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sksurv.functions import StepFunction
from sksurv.linear_model.coxph import BreslowEstimator

from ..networks._finite import wrong_weights
from ..utils._validation import shorten

COEFFICIENTS = ("coef_", "intercept_", "offset_")
"""What no fitted estimator of another package leaves NaN or infinite; a scaler may have NaN of an empty column."""


def check_weights(network):
    """Refuse a network with weights that are NaN or infinite."""
    wrong = wrong_weights(network)
    if wrong:
        raise ValueError(f"its network has weights that are NaN or infinite: {shorten(sorted(wrong))}")


def check_learnt(owner, name):
    """Refuse learnt numbers of an object of ours, attributes that end with an underscore, that are NaN or infinite.

    The logarithm of zero is a number here.
    """
    for attribute, value in vars(owner).items():
        if not attribute.endswith("_") or not isinstance(value, np.ndarray | torch.Tensor | float | np.floating):
            continue
        numbers = np.asarray(value)
        if numbers.dtype.kind != "f":
            continue
        allowed = np.isneginf(numbers) if attribute.startswith("log_") else np.zeros(numbers.shape, dtype=bool)
        if not (np.isfinite(numbers) | allowed).all():
            raise ValueError(f"{attribute} of {name} has numbers that are NaN or infinite")


def check_coefficients(value):
    """Refuse coefficients and curves that are NaN or infinite in what another package fitted, or what that holds."""
    if isinstance(value, list | tuple):
        for one in value:
            check_coefficients(one)
    elif isinstance(value, StepFunction):
        if not (np.isfinite(value.x).all() and np.isfinite(value.y).all()):
            raise ValueError("it holds a curve (StepFunction) with numbers that are NaN or infinite")
    elif isinstance(value, BaseEstimator | BreslowEstimator):
        for attribute, one in vars(value).items():
            if attribute in COEFFICIENTS and isinstance(one, np.ndarray | float) and not np.isfinite(one).all():
                raise ValueError(f"{attribute} of {type(value).__name__} has numbers that are NaN or infinite")
            check_coefficients(one)


def check_times(times, name):
    """Refuse times that are no increasing numbers from 0 on."""
    times = np.asarray(times)
    if times.ndim != 1 or times.dtype.kind not in "fiu" or not len(times):
        raise ValueError(f"{name} must be a list of times, got {times.dtype} of shape {times.shape}")
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all() and times[0] >= 0):
        raise ValueError(f"{name} must be increasing, finite times that are not negative")


def check_objective(objective, name="objective_"):
    """Refuse a fitted objective whose numbers do not belong together: it must give a risk and a curve."""
    check_learnt(objective, name)
    check_times(objective.unique_times_, f"unique_times_ of {name}")
    outputs = torch.zeros(1, objective.n_outputs_, dtype=torch.float64)
    risk, hazard = objective.risk(outputs), objective.cumulative_hazard(outputs)
    expected = (1, len(objective.unique_times_))
    if tuple(risk.shape) != (1,) or tuple(hazard.shape) != expected:
        raise ValueError(
            f"{name} ({type(objective).__name__}) gives curves of shape {tuple(hazard.shape)}, while its "
            f"{expected[1]} times ask for {expected}"
        )
    if not (torch.isfinite(risk).all() and torch.isfinite(hazard).all() and (hazard.diff(dim=1) >= -1e-9).all()):
        raise ValueError(f"{name} ({type(objective).__name__}) gives a curve that is NaN, infinite or rises")
