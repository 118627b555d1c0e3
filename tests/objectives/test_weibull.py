import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import CensoredData, weibull_min
from sksurv.util import Surv
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import Identity
from sksurv_mmf.fusions import Mean
from sksurv_mmf.objectives import Weibull

EVENT, TIME = np.array([1, 0, 1, 0, 1, 1], dtype=bool), np.array([2.0, 3.0, 0.5, 0.0, 0.0, 7.0])
OUTPUTS = torch.tensor([[0.2, 0.1], [-0.4, 0.3], [0.5, -0.2], [0.1, 0.1], [-0.3, -0.5], [0.9, 0.4]]).double()


def draw(n, shape=1.7, scale=5.0, seed=0):
    rng = np.random.default_rng(seed)
    time, censored = scale * rng.weibull(shape, n), rng.exponential(1.5 * scale, n)
    return time <= censored, np.minimum(time, censored)


def encode(objective, event=EVENT, time=TIME):
    return [one.double() for one in objective.encode(event, time)]


class TestLikelihood:
    def test_it_is_that_of_scipy_in_units_of_the_mean_time(self):
        objective = Weibull().fit(EVENT, TIME)
        assert objective.time_scale_ == TIME.mean()
        scale, shape = OUTPUTS.exp().numpy().T
        known = weibull_min(shape, scale=scale * objective.time_scale_)
        log_density, log_survival = known.logpdf(TIME) + np.log(objective.time_scale_), known.logsf(TIME)
        # At time 0 an event lies before the smallest positive time, and a censoring teaches nothing.
        start = [known.logcdf(0.5), np.zeros(6)]
        expected = -np.where(TIME > 0, np.where(EVENT, log_density, log_survival), np.where(EVENT, *start))
        losses = objective.losses(OUTPUTS, encode(objective))
        assert_allclose(losses, expected, rtol=1e-6)
        assert_close(objective.loss(OUTPUTS, encode(objective)), losses.mean())
        survival = np.exp(-objective.cumulative_hazard(OUTPUTS).numpy())
        assert_allclose(objective.unique_times_, [0, 0.5, 2, 3, 7])
        assert_allclose(survival, known.sf(objective.unique_times_[:, np.newaxis]).T, rtol=1e-12)
        assert_allclose(objective.risk(OUTPUTS), 1 - survival.mean(axis=1), rtol=1e-12)

    @pytest.mark.parametrize("factor", [1.0, 5.0, -5.0, 30.0, -30.0])
    def test_gradients_are_those_of_finite_differences(self, factor):
        objective = Weibull().fit(EVENT, TIME)
        outputs, target = (factor * OUTPUTS).requires_grad_(), encode(objective)
        assert torch.autograd.gradcheck(lambda one: objective.losses(one, target), outputs)
        assert torch.autograd.gradcheck(objective.cumulative_hazard, outputs)
        assert torch.autograd.gradcheck(objective.risk, outputs)

    @pytest.mark.parametrize("output", [(-9.0, 0.0), (-2.0, 1.5), (0.0, 4.0), (0.0, -4.0)])
    def test_beyond_its_tangents_it_is_that_of_the_curve(self, output):
        """The density is the derivative of the curve, and its tail one of a distribution: survival falls to 0."""
        time = np.geomspace(0.01, 100, 40)
        objective = Weibull().fit(np.ones(40, bool), time)
        outputs = torch.tensor(output, dtype=torch.float64).expand(40, -1)
        log_time = encode(objective, np.ones(40), time)[0].requires_grad_()
        hazard = objective.losses(outputs, (log_time, torch.zeros(40), torch.ones(40)))
        (slope,) = torch.autograd.grad(hazard.sum(), log_time)
        losses = objective.losses(outputs, (log_time, torch.ones(40), torch.ones(40)))
        assert_close(losses, hazard - slope.log() + log_time)
        assert (hazard.diff() >= 0).all()
        far = objective.losses(outputs, (torch.tensor([1e6]).double(), torch.zeros(1), torch.ones(1)))
        assert far.min() > 1e3

    @pytest.mark.parametrize("size", [10.0, 1000.0, 1e15])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_extreme_outputs_stay_finite(self, size, dtype):
        objective = Weibull().fit(EVENT, TIME)
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 2)
        outputs = (size * signs).to(dtype).unsqueeze(1).requires_grad_()
        losses = objective.losses(outputs.expand(-1, 6, -1), [one.to(dtype) for one in objective.encode(EVENT, TIME)])
        hazard, risk = objective.cumulative_hazard(outputs), objective.risk(outputs)
        (losses.sum() + hazard.sum() + risk.sum()).backward()
        assert all(torch.isfinite(one).all() for one in (losses, hazard, risk, outputs.grad))
        assert (hazard.diff(dim=-1) >= 0).all()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_whoever_is_predicted_badly_pulls_and_not_without_limit(self, dtype):
        objective = Weibull().fit(EVENT, TIME)
        log_scale = torch.tensor([-1000.0, -50.0, 50.0, 1000.0], dtype=dtype, requires_grad=True)
        outputs = torch.stack([log_scale, torch.zeros_like(log_scale)], dim=-1)
        # One who lives on, of whom death is expected, and one who dies, of whom it is not.
        survivor, victim = ([one.to(dtype) for one in objective.encode(np.array([e]), TIME[:1])] for e in (False, True))
        for target, wrong, pull in [(survivor, [0, 1], -np.exp(3)), (victim, [2, 3], 1.0)]:
            (gradient,) = torch.autograd.grad(objective.losses(outputs, target).sum(), log_scale, retain_graph=True)
            assert_allclose(gradient[wrong], [pull, pull], rtol=1e-5)


class TestInitialOutputs:
    @pytest.mark.parametrize(("shape", "scale"), [(0.6, 900.0), (1.0, 0.01), (3.0, 5.0)])
    def test_they_are_the_maximum_likelihood_of_scipy(self, shape, scale):
        event, time = draw(150, shape, scale)
        k, _, s = weibull_min.fit(CensoredData(uncensored=time[event], right=time[~event]), floc=0)
        objective = Weibull().fit(event, time)
        log_scale, log_shape = objective.initial_outputs_
        assert_allclose([np.exp(log_scale) * objective.time_scale_, np.exp(log_shape)], [s, k], rtol=1e-3)

    def test_no_outputs_that_are_equal_for_all_have_a_smaller_loss(self):
        event, time = draw(80)
        time[:6] = 0.0
        objective = Weibull().fit(event, time)
        outputs = torch.tensor(objective.initial_outputs_, requires_grad=True)
        objective.loss(outputs.expand(80, -1), encode(objective, event, time)).backward()
        assert_close(outputs.grad, torch.zeros(2).double(), rtol=0, atol=1e-5)

    @pytest.mark.parametrize(
        ("event", "time"),
        [
            ([0, 0, 1], [1, 2, 3]),
            ([1, 0, 0], [1, 2, 3]),
            ([1, 1, 0], [0, 0, 3]),
            ([1, 0], [0, 1]),
            ([1, 1, 1], [1, 1 + 1e-9, 1 + 2e-9]),
            ([1, 1, 0], [1e-300, 1, 1e300]),
        ],
    )
    def test_they_are_finite_where_the_likelihood_has_no_maximum(self, event, time):
        event, time = np.array(event, bool), np.array(time, float)
        objective = Weibull().fit(event, time)
        outputs = torch.tensor(objective.initial_outputs_).expand(len(time), -1)
        assert torch.isfinite(objective.losses(outputs, encode(objective, event, time))).all()
        assert torch.isfinite(objective.cumulative_hazard(outputs)).all()
        assert np.abs(objective.initial_outputs_[1]) <= 3

    def test_equal_times_are_refused(self):
        with pytest.raises(ValueError, match=r"All 3 times equal 7\.5"):
            Weibull().fit(np.array([True, False, True]), np.full(3, 7.5))


@pytest.mark.parametrize("unit", [1e-8, 1 / 30.4375, 365.25, 1e7])
def test_the_unit_of_time_does_not_matter(unit):
    event, time = draw(60)
    time[:3] = 0.0
    one, other = Weibull().fit(event, time), Weibull().fit(event, unit * time)
    outputs = OUTPUTS.repeat(10, 1)
    assert_allclose(other.unique_times_, unit * one.unique_times_)
    assert_allclose(other.initial_outputs_, one.initial_outputs_, rtol=1e-4)
    for mine, theirs in zip(one.encode(event, time), other.encode(event, unit * time), strict=True):
        assert_close(theirs, mine)
    assert_close(other.cumulative_hazard(outputs), one.cumulative_hazard(outputs), rtol=1e-9, atol=1e-12)
    assert_close(other.risk(outputs), one.risk(outputs), rtol=1e-9, atol=1e-12)


def test_risk_orders_as_the_scale_does_and_sees_hazards_that_cross():
    objective = Weibull().fit(*draw(60))
    scales = torch.tensor([[3.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]).double()
    assert (objective.risk(scales).diff() > 0).all()
    early_and_late = torch.tensor([[0.0, -1.0], [0.0, 1.0]]).double()
    assert (objective.cumulative_hazard(early_and_late).diff(dim=0)[0, [1, -1]].sign() == torch.tensor([-1, 1])).all()
    means = 1 - torch.exp(-objective.cumulative_hazard(early_and_late)).mean(dim=1)
    assert_close(objective.risk(early_and_late), means)


def test_a_network_recovers_the_distribution_that_was_simulated():
    """Scale exp(1 - 0.8 x) and shape exp(0.4 + 0.3 x), of 3,000 patients, a third of them censored."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 3000)
    time, censored = np.exp(1 - 0.8 * x) * rng.weibull(np.exp(0.4 + 0.3 * x)), rng.exponential(5, 3000)
    y = Surv.from_arrays(time <= censored, np.minimum(time, censored))
    model = FusionSurvivalAnalysis(
        [("lab", Identity())],
        Mean(),
        Weibull(),
        standardize=False,
        normalization=None,
        modality_dropout=0.0,
        optimizer="adam",
        weight_decay=0.0,
        lr=0.03,
        batch_size=3000,
        n_estimators=1,
        max_epochs=200,
        device="cpu",
        random_state=0,
    ).fit(pd.DataFrame({"lab__x": x}), y)
    head = model.net_.module_.head
    (slope_scale,), (slope_shape,) = head.weight.tolist()
    log_scale, log_shape = head.bias.tolist()
    log_scale += np.log(model.objective_.time_scale_)
    # The standard errors are about .02.
    assert_allclose([log_scale, slope_scale, log_shape, slope_shape], [1, -0.8, 0.4, 0.3], atol=0.08)
    curve = model.predict_survival_function(pd.DataFrame({"lab__x": [0.5]}), return_array=True)[0]
    truth = weibull_min(np.exp(0.55), scale=np.exp(0.6)).sf(model.unique_times_)
    assert np.abs(curve - truth).max() < 0.03
