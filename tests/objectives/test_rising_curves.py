"""Cumulative hazards never fall, however a processor rounds: here every step is rounded down a little too far."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.objectives import CoxPH, DiscreteHazard
from sksurv_mmf.objectives import _discrete_hazard as module

TIME = np.array([1.0, 2.0, 2.5, 4.0, 8.0, 9.0])
EVENT = np.array([True, True, False, True, True, False])
OUTPUTS = torch.linspace(-3, 3, 15).reshape(5, 3).requires_grad_()


def sawtooth(hazard):
    """Take a few units in the last place from every other column."""
    wrong = torch.arange(hazard.shape[1]) % 2
    return hazard * (1 - 8 * torch.finfo(hazard.dtype).eps * wrong)


@pytest.mark.parametrize("interpolation", ["step", "linear", "exponential"])
def test_of_discrete_hazards(monkeypatch, interpolation):
    objective = DiscreteHazard(3, interpolation=interpolation).fit(EVENT, TIME)
    outputs = OUTPUTS - 100  # the bins add nothing that would hide the rounding
    exact = objective.cumulative_hazard(outputs)
    hazards, accrued = module.cumulative_hazards, dict(module.INTERPOLATIONS)
    monkeypatch.setattr(module, "cumulative_hazards", lambda logits: sawtooth(1 + hazards(logits)))
    for name, function in accrued.items():
        monkeypatch.setitem(module.INTERPOLATIONS, name, lambda *args, function=function: sawtooth(function(*args)))
    hazard = objective.cumulative_hazard(outputs)
    assert (hazard.diff(dim=1) >= 0).all()
    assert_close(hazard[:, -1], 1 + exact[:, -1])


def test_of_proportional_hazards():
    objective = (
        CoxPH().fit(EVENT, TIME).fit_baseline(lambda: OUTPUTS.detach().double()[:, :1].repeat(2, 1)[:6], EVENT, TIME)
    )
    exact = objective.cumulative_hazard(OUTPUTS[:, :1])
    assert torch.isfinite(exact).all()
    level = np.full(len(objective.unique_times_), objective.log_baseline_hazard_[-1])
    objective.log_baseline_hazard_ = level * (1 - 1e-6 * (np.arange(len(level)) % 2))
    assert (np.diff(objective.log_baseline_hazard_) < 0).any()
    hazard = objective.cumulative_hazard(OUTPUTS[:, :1])
    assert (hazard.diff(dim=1) >= 0).all()
    assert_close(hazard[:, 0], exact[:, -1], rtol=1e-5, atol=0)


@pytest.mark.parametrize("interpolation", ["step", "linear", "exponential"])
def test_where_nothing_falls_the_gradient_is_that_of_each_value(interpolation):
    objective = DiscreteHazard(3, interpolation=interpolation).fit(EVENT, TIME)
    outputs = OUTPUTS.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(objective.cumulative_hazard, outputs)
