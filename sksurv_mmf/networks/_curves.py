"""Survival curves at given times, from the outputs of a network."""

import numpy as np
import torch
from torch import Tensor

from ..objectives._base import Objective


def survival_at(objective: Objective, outputs: Tensor, times: np.ndarray) -> Tensor:
    """Survival functions at `times`, shape (n_patients, n_times); between its own times a curve stays as it is."""
    steps = np.searchsorted(objective.unique_times_, times, side="right") - 1
    survival = torch.exp(-objective.cumulative_hazard(outputs.double()))[..., np.maximum(steps, 0)]
    # Before the first step nobody has had the event; an objective may begin later than at 0.
    return survival if steps.min() >= 0 else survival.masked_fill(torch.as_tensor(steps < 0).to(survival.device), 1)
