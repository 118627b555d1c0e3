"""Curves of many patients step at a thousand times, and say there what they would say of all."""

import numpy as np
import pytest
import torch

from sksurv_mmf.objectives import DiscreteHazard, Weibull
from sksurv_mmf.statistics._evenly import MOST_STEPS


@pytest.mark.parametrize("objective", [DiscreteHazard(), DiscreteHazard(interpolation="exponential"), Weibull()])
def test_steps_do_not_grow_with_patients_and_values_stay(objective):
    rng, n = np.random.default_rng(0), 3 * MOST_STEPS
    time, event = np.append(0.0, rng.exponential(size=n - 1)), rng.random(n) < 0.5
    objective = objective.fit(event, time)
    times = objective.unique_times_
    assert len(times) <= MOST_STEPS + 20
    assert times[0] == 0
    if isinstance(objective, Weibull):
        assert times[1] == np.sort(time)[1]  # by which it judges events at 0
    assert times[-1] >= time.max()
    assert np.diff(np.searchsorted(np.sort(time), times[1:-1])).max() <= 4  # evenly among the patients
    outputs = torch.as_tensor(objective.initial_outputs_)[None] + 0.3
    told = objective.cumulative_hazard(outputs)
    objective.unique_times_ = np.union1d(times, time)
    every = objective.cumulative_hazard(outputs)
    torch.testing.assert_close(told, every[:, np.isin(objective.unique_times_, times)])
