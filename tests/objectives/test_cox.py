import numpy as np
import pytest
import torch
from sksurv.linear_model.coxph import BreslowEstimator
from torch.testing import assert_close

from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.objectives._cox import cox_partial_likelihood, log_breslow_baseline

TIES = pytest.mark.parametrize("ties", ["breslow", "efron"])
SAMPLES = pytest.mark.parametrize("name", ["noties", "mildties", "heavyties", "small", "largeeta", "allevents"])
EXACT = {"rtol": 0, "atol": 0}


@pytest.fixture
def sample(reference):
    arrays = reference("cox_partial_likelihood")

    def sample(name):
        log_hazard = torch.as_tensor(arrays[f"{name}/eta"]).double()
        event, time = (torch.as_tensor(arrays[f"{name}/{what}"]) for what in ("event", "time"))
        return log_hazard, event.bool(), time.double(), arrays

    return sample


def loss_and_gradient(log_hazard, event, time, ties):
    log_hazard = log_hazard.clone().requires_grad_()
    loss = cox_partial_likelihood(log_hazard, event, time, ties)
    (gradient,) = torch.autograd.grad(loss, log_hazard)
    return loss.detach(), gradient


def draw(n=40, n_times=8, seed=0, scale=1.0):
    """Patients with tied times, the last of which is an event."""
    rng = torch.Generator().manual_seed(seed)
    time = torch.randint(1, n_times + 1, (n,), generator=rng).double()
    event = torch.rand(n, generator=rng) < 0.6
    event[0], time[0] = True, n_times
    return scale * torch.randn(n, generator=rng, dtype=torch.float64), event, time


class TestLoss:
    @TIES
    @SAMPLES
    def test_loss_and_gradient_are_those_of_r(self, sample, name, ties):
        log_hazard, event, time, arrays = sample(name)
        loss, gradient = loss_and_gradient(log_hazard, event, time, ties)
        np.testing.assert_allclose(loss, -arrays[f"{name}/R/{ties}/loglik"], rtol=1e-10)
        np.testing.assert_allclose(gradient, -arrays[f"{name}/R/{ties}/dloglik_deta"], rtol=1e-10, atol=1e-10)

    @SAMPLES
    def test_breslow_is_the_loss_of_porpoise(self, sample, name):
        log_hazard, event, time, arrays = sample(name)
        log_hazard = log_hazard.requires_grad_()
        loss = CoxPH("breslow").loss(log_hazard.unsqueeze(1), (event, time))
        loss.backward()
        np.testing.assert_allclose(loss.detach(), arrays[f"{name}/porpoise_coxsurvloss/f64/loss"], rtol=1e-10)
        np.testing.assert_allclose(log_hazard.grad, arrays[f"{name}/porpoise_coxsurvloss/f64/grad"], atol=1e-10)

    @TIES
    def test_the_methods_differ_with_ties_only(self, sample, ties):
        for name, equal in [("noties", True), ("heavyties", False)]:
            log_hazard, event, time, _ = sample(name)
            losses = [cox_partial_likelihood(log_hazard, event, time, one) for one in ("breslow", "efron")]
            assert (abs(losses[0] - losses[1]) < 1e-12) == equal

    @TIES
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("size", [100.0, 1000.0])
    def test_it_and_its_gradient_are_finite_at_extreme_log_hazards(self, ties, dtype, size):
        signs, event, time = draw()
        log_hazard = (size * signs.sign()).to(dtype)
        loss, gradient = loss_and_gradient(log_hazard, event, time, ties)
        assert loss.dtype == gradient.dtype == dtype
        assert torch.isfinite(gradient).all()
        # No term of the likelihood is positive; events of low hazard beside high ones cost 2 * size and more.
        assert 2 * size < loss < len(time) * (2 * size + 10)
        precise = loss_and_gradient(log_hazard.double(), event, time, ties)
        assert_close(loss.double(), precise[0], rtol=1e-5, atol=0)
        assert_close(gradient.double(), precise[1], rtol=0, atol=1e-3)
        low_events = event & (log_hazard < 0) & (time < time[log_hazard > 0].max())
        assert_close(gradient[low_events], -torch.ones_like(gradient[low_events]), rtol=0, atol=1e-4)

    @TIES
    def test_gradcheck(self, ties):
        log_hazard, event, time = draw(n=12, n_times=4, scale=3.0)
        function = torch.autograd.gradcheck
        assert function(lambda one: cox_partial_likelihood(one, event, time, ties), log_hazard.requires_grad_())

    @TIES
    def test_only_differences_of_log_hazards_and_the_order_of_times_count(self, ties):
        log_hazard, event, time = draw()
        loss = cox_partial_likelihood(log_hazard, event, time, ties)
        assert_close(cox_partial_likelihood(log_hazard + 7, event, time, ties), loss, rtol=1e-12, atol=0)
        assert_close(cox_partial_likelihood(log_hazard, event, time**3, ties), loss, **EXACT)
        shuffled = torch.randperm(len(time), generator=torch.Generator().manual_seed(1))
        other = cox_partial_likelihood(log_hazard[shuffled], event[shuffled], time[shuffled], ties)
        assert_close(other, loss, rtol=1e-12, atol=0)

    @TIES
    def test_by_hand(self, ties):
        # Events of hazards 2 and 3 at the same time, with a censored patient of hazard 5 at risk, then an event alone.
        hazard, time = torch.tensor([2.0, 3.0, 5.0, 7.0], dtype=torch.float64), torch.tensor([1.0, 1.0, 1.0, 2.0])
        event = torch.tensor([True, True, False, True])
        second = {"breslow": 17.0, "efron": 17.0 - (2 + 3) / 2}[ties]
        expected = -np.log(2 / 17 * 3 / second)
        assert cox_partial_likelihood(hazard.log(), event, time, ties).item() == pytest.approx(expected, rel=1e-12)

    def test_without_events_there_is_nothing_to_learn(self):
        log_hazard, _, time = draw()
        loss, gradient = loss_and_gradient(log_hazard, torch.zeros(len(time), dtype=torch.bool), time, "efron")
        assert loss == 0
        assert (gradient == 0).all()


def finished(outputs, event, time, **params):
    event, time = np.asarray(event), np.asarray(time)
    return CoxPH(**params).fit(event, time).fit_baseline(lambda: outputs, event, time)


class TestBaseline:
    @SAMPLES
    def test_it_is_that_of_scikit_survival(self, sample, name):
        log_hazard, event, time, _ = sample(name)
        theirs = BreslowEstimator().fit(log_hazard.numpy(), event.numpy(), time.numpy())
        times, ours = log_breslow_baseline(log_hazard, event, time)
        np.testing.assert_array_equal(times, theirs.unique_times_)
        np.testing.assert_allclose(ours.exp(), theirs.cum_baseline_hazard_.y, rtol=1e-9)

    @pytest.mark.parametrize("name", ["noties", "mildties", "heavyties", "allevents"])
    def test_curves_are_those_of_a_cox_model_fitted_by_r(self, sample, name):
        _, event, time, arrays = sample(name)
        outputs = torch.as_tensor(arrays[f"{name}/X"] @ arrays[f"{name}/R/breslow/X_mle"]).unsqueeze(1)
        objective = finished(outputs, event, time, ties="breslow")
        times, cumulative = arrays[f"{name}/R/breslow/X_mle_basehaz"].T
        curve = objective.cumulative_hazard(torch.zeros(1, 1, dtype=torch.float64))[0]
        np.testing.assert_allclose(objective.unique_times_[1:], times, rtol=1e-12)
        np.testing.assert_allclose(curve[1:], cumulative, rtol=1e-9)

    def test_it_keeps_its_digits_where_log_hazards_are_far_apart(self):
        # Each patient dies alone, in order of hazard: every step of the baseline is one over the hazard.
        outputs = torch.linspace(150, -150, 7, dtype=torch.float64)
        log_hazard = log_breslow_baseline(outputs, torch.ones(7, dtype=torch.bool), torch.arange(7.0))[1]
        assert_close(log_hazard, -outputs, rtol=1e-12, atol=0)

    def test_curves_start_with_all_alive_and_are_proportional(self):
        log_hazard, event, time = draw()
        objective = finished(log_hazard.unsqueeze(1), event, time)
        outputs = torch.tensor([[-100.0], [0.0], [1.0], [100.0]], dtype=torch.float64)
        curves = objective.cumulative_hazard(outputs)
        assert objective.unique_times_.tolist() == [0.0, *range(1, 9)]
        assert (curves[:, 0] == 0).all()
        assert (curves.diff(dim=1) >= 0).all()
        assert torch.isfinite(curves).all()
        assert_close(curves[2, 1:] / curves[1, 1:], torch.full((8,), np.e, dtype=torch.float64))

    def test_hazard_at_time_zero_is_kept(self):
        outputs, event = torch.zeros(4, 1, dtype=torch.float64), np.array([True, False, True, True])
        objective = finished(outputs, event, np.array([0.0, 0.0, 1.0, 2.0]))
        assert objective.unique_times_.tolist() == [0, 1, 2]
        assert_close(objective.cumulative_hazard(outputs[:1]), torch.tensor([[0.25, 0.75, 1.75]]).double())

    def test_risk_is_the_log_hazard_relative_to_the_mean_of_the_training_patients(self):
        log_hazard, event, time = draw()
        objectives = [finished(log_hazard.unsqueeze(1) + shift, event, time) for shift in (0.0, 50.0)]
        risks = [one.risk(log_hazard.unsqueeze(1) + shift) for one, shift in zip(objectives, (0.0, 50.0))]
        assert_close(risks[0], log_hazard - log_hazard.mean())
        assert_close(risks[1], risks[0])
        curves = [one.cumulative_hazard(log_hazard.unsqueeze(1) + shift) for one, shift in zip(objectives, (0.0, 50.0))]
        assert_close(curves[1], curves[0])

    def test_cumulative_hazards_of_the_training_patients_sum_to_their_events(self):
        log_hazard, event, time = draw()
        objective = finished(log_hazard.unsqueeze(1), event, time)
        at_own_time = time.long()  # the times are 0, 1, ..., 8
        total = objective.cumulative_hazard(log_hazard.unsqueeze(1))[torch.arange(len(time)), at_own_time].sum()
        assert total.item() == pytest.approx(event.sum().item(), rel=1e-12)


class TestPatients:
    @pytest.mark.parametrize(
        ("event", "time", "informs"),
        [
            ([True], [1.0], False),
            ([False, False], [1.0, 2.0], False),
            ([True, False], [1.0, 2.0], True),
            ([False, True], [1.0, 2.0], False),
            ([True, False], [1.0, 1.0], True),
            ([False, True, False, True], [1.0, 2.0, 1.5, 3.0], True),
        ],
    )
    def test_they_teach_something_where_the_gradient_is_not_zero(self, event, time, informs):
        target = CoxPH().encode(np.array(event), np.array(time))
        assert CoxPH().informs(target) == informs
        _, gradient = loss_and_gradient(torch.arange(float(len(time))), *target, "efron")
        assert bool((gradient != 0).any()) == informs

    def test_strata_are_event_and_censored(self):
        event = np.array([True, False, True])
        strata = CoxPH().strata(event, np.array([1.0, 2.0, 3.0]))
        assert strata.tolist() == [1, 0, 1]

    def test_equal_times_are_refused(self):
        with pytest.raises(ValueError, match="All 3 times equal 2, so there is no order to learn"):
            CoxPH().fit(np.ones(3, dtype=bool), np.full(3, 2.0))

    def test_unknown_ties_are_refused(self):
        with pytest.raises(ValueError, match="'ties' parameter of CoxPH must be a str among"):
            CoxPH(ties="exact")._validate_params()
