import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.objectives import DiscreteHazard
from sksurv_mmf.objectives._discrete_hazard import (
    bins_as_questions,
    cumulative_hazards,
    discrete_hazard_nll,
    survival_bin_edges,
)

MARGIN = 1e-6


@pytest.fixture
def losses(reference):
    arrays = reference("nll_ce_pycox")
    arrays["event"] = torch.as_tensor(arrays["censorship"]) == 0
    arrays["bin"] = torch.as_tensor(arrays["bin"])
    return arrays


def nll(logits, bin_index, event, alpha=0.0):
    questions = bins_as_questions(bin_index, event, logits.shape[1], alpha)
    return discrete_hazard_nll(logits, *(one.to(logits) for one in questions))


def loss_and_gradient(losses, alpha):
    logits = torch.as_tensor(losses["logits"]).double().requires_grad_()
    loss = nll(logits, losses["bin"], losses["event"], alpha)
    loss.sum().backward()
    return loss.detach().numpy(), logits.grad.numpy()


class TestLoss:
    def test_it_is_the_exact_likelihood_of_pycox_at_any_logit(self, losses):
        assert np.abs(losses["logits"]).max() == 1000
        loss, gradient = loss_and_gradient(losses, alpha=0.0)
        # Torch's softplus is linear beyond 20, where it is off by 2e-9.
        np.testing.assert_allclose(loss, losses["pycox_logistic_hazard/f64/loss"], rtol=1e-9, atol=3e-9)
        np.testing.assert_allclose(gradient, losses["pycox_logistic_hazard/f64/grad"], rtol=0, atol=3e-9)
        moderate = np.abs(losses["logits"]).max(axis=1) < 20
        np.testing.assert_allclose(
            loss[moderate], losses["pycox_logistic_hazard/f64/loss"][moderate], rtol=1e-12, atol=1e-14
        )

    @pytest.mark.parametrize("alpha", [0.0, 0.15, 0.5])
    def test_it_equals_porpoise_where_porpoise_does_not_clamp(self, losses, alpha):
        loss, gradient = loss_and_gradient(losses, alpha)
        free = ~losses["clamped/f64"]
        assert 100 <= free.sum() < len(free)
        prefix = f"porpoise_nll/a{alpha}/f64"
        np.testing.assert_allclose(loss[free], losses[f"{prefix}/loss"][free], rtol=1e-8, atol=3e-9)
        np.testing.assert_allclose(gradient[free], losses[f"{prefix}/grad"][free], rtol=1e-6, atol=3e-9)

    def test_it_goes_on_where_porpoise_clamps(self, losses):
        # A clamped term of the published loss stays at -log(1e-7) = 16.1 and has no gradient, so a patient who is
        # predicted as wrongly as can be teaches nothing; ours grows with the logit.
        loss, gradient = loss_and_gradient(losses, alpha=0.0)
        clamped = losses["clamped/f64"]
        theirs = losses["porpoise_nll/a0.0/f64/loss"][clamped]
        assert (loss[clamped] >= theirs - 1e-6).all()
        assert theirs.max() < 2 * 16.12
        assert loss[clamped].max() > 900
        stuck = clamped & (np.abs(losses["porpoise_nll/a0.0/f64/grad"]).max(axis=1) == 0)
        assert (np.abs(gradient[stuck & (loss > 20)]).max(axis=1) > 0.99).all()
        assert (stuck & (loss > 20)).sum() > 10

    @pytest.mark.parametrize("size", [100.0, 1000.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_it_and_its_gradient_are_finite_at_extreme_logits(self, size, dtype):
        signs = torch.cartesian_prod(
            *[torch.tensor([-1.0, 1.0])] * 3, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0])
        )
        logits = (size * signs[:, :3]).to(dtype).requires_grad_()
        loss = nll(logits, signs[:, 3].long(), signs[:, 4].bool())
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert (loss >= 0).all()
        assert torch.isfinite(logits.grad).all()
        # A hazard whose logit is -size costs `size` where the event happens, one of +size where it does not.
        wrong = [
            sum(sign > 0 for sign in row[: int(y)]) + (row[int(y)] < 0 if event else row[int(y)] > 0)
            for *row, y, event in signs.tolist()
        ]
        assert_close(loss, size * torch.tensor(wrong, dtype=dtype))

    @pytest.mark.parametrize("alpha", [0.0, 0.3])
    def test_gradcheck(self, alpha):
        draw = torch.Generator().manual_seed(0)
        logits = (3 * torch.randn(8, 4, generator=draw, dtype=torch.float64)).requires_grad_()
        bin_index, event = torch.arange(8) % 4, torch.arange(8) < 4
        assert torch.autograd.gradcheck(lambda one: nll(one, bin_index, event, alpha), logits)

    def test_probabilities_of_all_outcomes_sum_to_one(self):
        # An event in one of the bins, or survival of the last one.
        logits = 3 * torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        patients = torch.ones(20, dtype=torch.bool)
        of_event = [nll(logits, torch.full((20,), y), patients) for y in range(5)]
        of_survival = nll(logits, torch.full((20,), 4), ~patients)
        total = torch.exp(-torch.stack([*of_event, of_survival])).sum(0)
        assert_close(total, torch.ones_like(total), rtol=1e-12, atol=0)

    def test_alpha_plays_down_the_censored_only(self, losses):
        full, _ = loss_and_gradient(losses, alpha=0.0)
        reduced, _ = loss_and_gradient(losses, alpha=0.25)
        event = losses["event"].numpy()
        np.testing.assert_array_equal(reduced[event], full[event])
        np.testing.assert_allclose(reduced[~event], 0.75 * full[~event])

    def test_later_bins_have_no_influence(self):
        logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        event = torch.tensor([True, False, True])
        nll(logits, torch.tensor([0, 1, 2]), event).sum().backward()
        assert (logits.grad != 0).tolist() == [
            [True, False, False, False],
            [True, True, False, False],
            [True, True, True, False],
        ]

    def test_loss_of_a_batch_is_the_mean(self, losses):
        target = bins_as_questions(losses["bin"], losses["event"], 4, alpha=0.15)
        loss = DiscreteHazard(alpha=0.15).loss(torch.as_tensor(losses["logits"]).double(), target)
        assert loss.item() == pytest.approx(loss_and_gradient(losses, alpha=0.15)[0].mean(), rel=1e-12)


SAMPLES = ["noties", "roundmonths", "censored_extremes", "small", "max_is_event_tie"]
BINNINGS = [(name, n_bins) for name in SAMPLES for n_bins in (4, 2, 10)]
BINNINGS += [("heavyties", 4), ("heavyties", 2), ("zero_times", 4), ("zero_times", 2), ("fails_duplicate_edges", 2)]
TIED = [("heavyties", 10), ("zero_times", 10), ("fails_duplicate_edges", 4), ("fails_duplicate_edges", 10)]


@pytest.fixture
def sample(reference):
    arrays = reference("porpoise_bins_risk")

    def sample(name):
        return arrays[f"{name}/censorship"] == 0, arrays[f"{name}/time"], arrays

    return sample


def test_censored_patients_count_less_by_alpha():
    event, time = np.array([True, True, False, False, True, True]), np.arange(1.0, 7.0)
    for rows, share in [(event, 1.0), (~event, 0.7)]:
        whole, played_down = (
            one.loss(torch.full((rows.sum(), 2), 0.4), one.encode(event[rows], time[rows])).item()
            for one in (DiscreteHazard(2, alpha=alpha).fit(event, time) for alpha in (0.0, 0.3))
        )
        assert played_down == pytest.approx(share * whole, rel=1e-6)


class TestBins:
    @pytest.mark.parametrize(("name", "n_bins"), BINNINGS)
    def test_they_equal_porpoise(self, sample, name, n_bins):
        event, time, arrays = sample(name)
        prefix = f"{name}/q{n_bins}"
        objective = DiscreteHazard(n_bins=n_bins).fit(event, time)
        edges = arrays[f"{prefix}/edges"]
        np.testing.assert_array_equal(objective.bin_edges_[1:-1], edges[1:-1])
        # Outer edges lie outside by a share of the last time here, and by 1e-6 in the unit of the times there.
        np.testing.assert_allclose(objective.bin_edges_, edges, rtol=0, atol=MARGIN * (1 + time.max()))
        happens, counts = objective.encode(event, time)
        np.testing.assert_array_equal(counts.sum(dim=1) - 1, arrays[f"{prefix}/bin"])
        np.testing.assert_array_equal(happens.sum(dim=1), event)
        np.testing.assert_array_equal(happens[event].argmax(dim=1), arrays[f"{prefix}/bin"][event])
        np.testing.assert_array_equal(objective.strata(event, time), arrays[f"{prefix}/label"])

    @pytest.mark.parametrize(("name", "n_bins"), TIED)
    def test_tied_quantiles_are_merged_where_porpoise_raises(self, sample, name, n_bins):
        event, time, arrays = sample(name)
        assert arrays[f"{name}/q{n_bins}/raises"]
        with pytest.warns(UserWarning, match=rf"{event.sum()} event times have tied.*n_bins={n_bins}"):
            objective = DiscreteHazard(n_bins=n_bins).fit(event, time)
        edges = objective.bin_edges_
        assert (np.diff(edges) > 0).all()
        assert edges[0] < time.min()
        assert edges[-1] > time.max()
        events_per_bin = objective.encode(event, time)[0].sum(dim=0)
        assert len(events_per_bin) == objective.n_outputs_ == len(edges) - 1 < n_bins
        assert (events_per_bin > 0).all()

    def test_edges_are_quantiles_of_uncensored_times_and_lie_outside_all(self):
        event = np.array([True, True, True, True, True, False, False])
        time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 9.0])
        np.testing.assert_allclose(survival_bin_edges(event, time, 4), [0.5 - 9 * MARGIN, 2, 3, 4, 9 + 9 * MARGIN])

    def test_bins_are_closed_on_the_left_and_the_outer_ones_take_all_other_times(self):
        event, time = np.ones(5, dtype=bool), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
        objective = DiscreteHazard(n_bins=4).fit(event, time)
        times = np.array([0.0, 1.999, 2.0, 2.5, 3.0, 4.0, 1e9])
        happens, _ = objective.encode(np.ones(7, dtype=bool), times)
        assert happens.argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 3, 3]

    def test_a_single_event_leaves_one_bin(self):
        event, time = np.array([False, True, False]), np.array([1.0, 2.0, 3.0])
        with pytest.warns(
            UserWarning, match="One patient of 3 has an event, so that there is one time bin instead of n_bins=4"
        ):
            objective = DiscreteHazard(4).fit(event, time)
        assert objective.bin_edges_.tolist() == pytest.approx([1, 3], abs=4 * MARGIN)

    def test_equal_times_are_refused(self):
        with pytest.raises(ValueError, match=r"All 3 times equal 7\.5"):
            DiscreteHazard().fit(np.array([True, False, True]), np.full(3, 7.5))

    @pytest.mark.parametrize(
        ("n_events", "n_bins"), [(1, 1), (4, 4), (29, 4), (30, 5), (33, 5), (90, 15), (96, 16), (5000, 16)]
    )
    def test_auto_is_one_for_every_six_events_but_four_to_sixteen(self, n_events, n_bins):
        event = np.arange(2 * n_events) % 2 == 0
        time = np.random.default_rng(0).exponential(size=2 * n_events)
        assert DiscreteHazard().fit(event, time).n_outputs_ == n_bins

    def test_auto_merges_what_is_tied_without_a_word(self, sample, recwarn):
        event, time, _ = sample("heavyties")
        time = np.ceil(time / 3)
        assert event.sum() // 6 > DiscreteHazard().fit(event, time).n_outputs_
        assert not recwarn.list


class TestPredictions:
    def test_risk_and_survival_equal_porpoise(self, sample):
        *_, arrays = sample("noties")
        logits = torch.as_tensor(arrays["risk/logits"]).double()
        objective = DiscreteHazard(interpolation="step")
        assert_close(objective.risk(logits), torch.as_tensor(arrays["risk/f64/risk"]), rtol=1e-10, atol=1e-12)
        survival = torch.exp(-objective.cumulative_hazard(logits))
        assert_close(survival[:, 1:], torch.as_tensor(arrays["risk/f64/survival"]), rtol=1e-8, atol=1e-12)
        assert torch.equal(survival[:, 0], torch.ones(len(logits), dtype=torch.float64))

    def test_cumulative_hazard_is_minus_the_log_of_the_product_of_complements(self):
        logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        survival = (1 - torch.sigmoid(logits)).cumprod(dim=1)
        assert_close(cumulative_hazards(logits), -survival.log())

    @pytest.mark.parametrize("k", range(4))
    def test_risk_rises_with_every_hazard(self, k):
        lower = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
        higher = lower.clone()
        higher[:, k] += 0.5
        objective = DiscreteHazard()
        assert (objective.risk(higher) > objective.risk(lower)).all()

    def test_curves_step_at_zero_and_at_the_right_edges(self):
        event, time = np.ones(5, dtype=bool), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
        objective = DiscreteHazard(n_bins=2, interpolation="step").fit(event, time)
        np.testing.assert_allclose(objective.unique_times_, [0, 3, 5 + 5 * MARGIN])


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1 / 365.25, 1e7])
@pytest.mark.parametrize("interpolation", ["step", "linear", "exponential"])
def test_the_unit_of_time_does_not_matter(scale, interpolation):
    rng = np.random.default_rng(0)
    event, time = rng.random(40) < 0.6, rng.exponential(3, 40)
    logits = torch.as_tensor(rng.normal(size=(5, 4)))
    one, other = (DiscreteHazard(4, interpolation=interpolation).fit(event, unit * time) for unit in (1, scale))
    np.testing.assert_allclose(other.unique_times_, scale * one.unique_times_)
    np.testing.assert_allclose(other.cumulative_hazard(logits), one.cumulative_hazard(logits), rtol=1e-8, atol=1e-12)


class TestInterpolation:
    event, time = np.array([True, True, False, True, True, False]), np.array([1.0, 2.0, 2.5, 4.0, 8.0, 9.0])

    def curves(self, interpolation, logits):
        objective = DiscreteHazard(2, interpolation=interpolation).fit(self.event, self.time)
        return objective.unique_times_, torch.exp(-objective.cumulative_hazard(logits)).numpy()

    @pytest.mark.parametrize("interpolation", ["linear", "exponential"])
    def test_curves_agree_at_the_edges_and_have_the_stated_form_between_them(self, interpolation):
        logits = torch.tensor([[0.3, -1.0], [-2.0, 2.0]], dtype=torch.float64)
        edges, at_edges = self.curves("step", logits)
        times, curves = self.curves(interpolation, logits)
        assert set(times) == {0.0, *edges, *self.time}
        forms = {"linear": lambda x: x, "exponential": np.log}
        form = forms[interpolation]
        expected = [np.interp(times, edges, form(curve)) for curve in at_edges]
        np.testing.assert_allclose(form(curves), expected, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("interpolation", ["step", "linear", "exponential"])
    @pytest.mark.parametrize("size", [100.0, 1000.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_curves_and_gradients_are_finite_at_extreme_logits(self, interpolation, size, dtype):
        objective = DiscreteHazard(2, interpolation=interpolation).fit(self.event, self.time)
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 2)
        logits = (size * signs).to(dtype).requires_grad_()
        hazard = objective.cumulative_hazard(logits)
        hazard.sum().backward()
        assert torch.isfinite(hazard).all()
        assert torch.isfinite(logits.grad).all()
        assert (hazard.diff(dim=1) >= 0).all()
        assert (hazard >= 0).all()

    def test_exact_at_a_hazard_that_leaves_no_survivors(self):
        # S underflows at the edge, but before it a linear curve has come down a known part of the way.
        times, curves = self.curves("linear", torch.tensor([[800.0, 0.0]], dtype=torch.float64))
        np.testing.assert_allclose(curves[0, times < 3], 1 - times[times < 3] / 3, rtol=1e-12)

    def test_it_changes_neither_risk_nor_loss(self):
        logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
        models = [DiscreteHazard(2, interpolation=one).fit(self.event, self.time) for one in ("step", "linear")]
        step, linear = [(one.risk(logits), one.loss(logits, one.encode(self.event, self.time))) for one in models]
        assert_close(step, linear, rtol=0, atol=0)


class TestInitialOutputs:
    def test_they_minimise_the_loss_of_outputs_that_are_equal_for_all(self):
        rng = np.random.default_rng(0)
        time, event = rng.exponential(size=50_000), rng.random(50_000) < 0.5
        objective = DiscreteHazard(4).fit(event, time)
        logits = torch.as_tensor(objective.initial_outputs_).requires_grad_()
        objective.loss(logits.expand(len(time), -1), objective.encode(event, time)).backward()
        # But for the half event, which keeps them finite, the gradient is zero.
        assert_close(logits.grad, torch.zeros(4).double(), rtol=0, atol=1e-4)

    def test_they_are_finite_where_all_have_the_event(self):
        objective = DiscreteHazard(2).fit(np.ones(6, bool), np.arange(6.0))
        np.testing.assert_allclose(objective.initial_outputs_, [0.0, np.log(3.5 / 0.5)])
