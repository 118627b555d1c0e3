"""Ensembles: members in lockstep are members alone, and what they say together is the mean of what they say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from members import (
    BAG_ENCODERS,
    ENCODERS,
    FUSIONS,
    OBJECTIVES,
    Own,
    assert_same_weights,
    lacking,
    name_of,
    network,
    opened,
)
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import GradientNormClipping
from sksurv.metrics import concordance_index_censored, integrated_brier_score
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL, MeanMIL, TransformerMIL
from sksurv_mmf.fusions import CoAttention, CrossModalAttention, Mean
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.outcome._outcome import Outcome
from sksurv_mmf.statistics._kaplan_meier import kaplan_meier
from sksurv_mmf.training import _ensemble
from sksurv_mmf.training._ensemble import fit_ensemble, member_seeds, train_some
from sksurv_mmf.training._fit import fit
from sksurv_mmf.training._samples import draw_samples

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# Adam divides by the size of a gradient, so that the rounding of one that is nearly zero shows in its weight.
WEIGHTS_CLOSE = {"rtol": 1e-4, "atol": 1e-4}
DEFAULT = (AttentionMIL(6, 4), SNN(6), CrossModalAttention(hidden_dim=4))


@pytest.fixture
def groups(monkeypatch):
    """Sizes of the groups that were trained in lockstep."""
    sizes, train = [], _ensemble.train_in_lockstep

    def look(networks, *args):
        sizes.append(len(networks))
        return train(networks, *args)

    monkeypatch.setattr(_ensemble, "train_in_lockstep", look)
    return sizes


def train_members(data, recipe, samples, members, seed=0):
    """Some of the members, which know of no others."""
    seeds = member_seeds(seed, len(samples))
    return train_some(recipe, data.patients, data.outcome, samples, seeds, seed, members)


def moving(member):
    """Weights of a network but for biases that are the same for all: in front of a softmax, or of Cox's risks.

    Their gradient is zero but for rounding, which Adam divides by its own size.
    """
    still = ("score.bias", "head.bias") if isinstance(member.objective, CoxPH) else ("score.bias",)
    return {name: one for name, one in member.net.module_.state_dict().items() if not name.endswith(still)}


def outputs_of(member, data):
    network_ = member.net.module_.eval()
    with torch.no_grad():
        outputs = network_(data.patients.batch(np.arange(len(data.patients))).to(member.net.device))
    return outputs - outputs.mean(dim=0) if isinstance(member.objective, CoxPH) else outputs


SETTINGS = {
    "default": {},
    "complete": {},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "noise": {"input_noise": 0.3},
    "noise on tiles": {"input_noise": {"wsi": 0.3}},
    "modality dropout": {"modality_dropout": 0.5},
    "accumulation": {"gradient_accumulation": 3, "batch_size": 4},
    "min-max": {"normalization": "minmax"},
    "as it was": {"fair_inputs": False, "zero_start": False, "attention_lr": 1.0},
}


class TestLockstep:
    @pytest.mark.parametrize("name", SETTINGS)
    @pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
    def test_members_of_a_group_are_members_alone(self, cohort, groups, objective, name, device):
        model = network(*DEFAULT, objective, device=device, **SETTINGS[name])
        data = opened(model, cohort, missing=name != "complete")
        samples = draw_samples(data.outcome, 3, 0.8, 0)
        together = train_members(data, data.recipe, samples, [0, 1, 2])
        alone = [train_members(data, data.recipe, samples, [k])[0] for k in range(3)]
        # What compares patients learns from whole steps, which then are no matter of the group.
        in_lockstep = objective.decomposes or model.gradient_accumulation == 1
        assert groups == ([3, 1, 1, 1] if in_lockstep else [])
        for one, other in zip(together, alone):
            weights = [moving(each) for each in (one, other)]
            assert_same_weights(*weights, **WEIGHTS_CLOSE)
            assert one.snapshots.keys() == other.snapshots.keys()
            assert_allclose(one.net.history[:, "train_loss"], other.net.history[:, "train_loss"], rtol=1e-5)
            torch.testing.assert_close(outputs_of(one, data), outputs_of(other, data), **CLOSE)
        assert not torch.allclose(outputs_of(together[0], data), outputs_of(together[1], data), atol=1e-4)

    @pytest.mark.parametrize(
        "design", [*((*one, Mean()) for one in ENCODERS), *((MeanMIL(6), SNN(6), one) for one in FUSIONS)], ids=name_of
    )
    def test_of_every_encoder_and_fusion(self, cohort, groups, design):
        data = opened(network(*design, optimizer="sgd", lr=0.05, max_epochs=1), cohort, missing=True)
        samples = draw_samples(data.outcome, 3, 0.8, 0)
        together = train_members(data, data.recipe, samples, [0, 1, 2])
        for k, one in enumerate(together):
            (other,) = train_members(data, data.recipe, samples, [k])
            assert_same_weights(one.net.module_.state_dict(), other.net.module_.state_dict(), **WEIGHTS_CLOSE)
            torch.testing.assert_close(outputs_of(one, data), outputs_of(other, data), **CLOSE)

    @pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
    @pytest.mark.parametrize("bags", [one for one in BAG_ENCODERS if name_of(one) != "TileTokens"], ids=name_of)
    def test_a_member_that_sees_its_patients_at_once_is_a_plain_fit_of_them(self, cohort, bags, objective):
        """Without random numbers, and whatever the patients are whom it does not see."""
        quiet = {name: 0.0 for name in ("dropout", "input_dropout") if name in bags.get_params()}
        model = network(
            type(bags)(**bags.get_params() | quiet), SNN(6, dropout=0.0), CrossModalAttention(hidden_dim=4), objective,
            batch_size=100, modality_dropout=0.0, max_epochs=4, average_epochs=False, optimizer="sgd", lr=0.1,
        )  # fmt: skip
        data = opened(model, cohort, missing=True)
        samples = draw_samples(data.outcome, 3, 0.8, 0)
        members = train_members(data, data.recipe, samples, [0, 1, 2])
        for member, sample, seed in zip(members, samples, member_seeds(0, 3)):
            plain = fit(data.recipe, data.patients, data.outcome, np.flatnonzero(sample), seed)
            assert_same_weights(member.net.module_.state_dict(), plain.net.module_.state_dict(), **WEIGHTS_CLOSE)
            assert_allclose(member.net.history[:, "train_loss"], plain.net.history[:, "train_loss"], rtol=1e-5)
        start = train_members(data, replace(data.recipe, lr=1e-30), samples, [0])[0]
        assert not torch.allclose(outputs_of(members[0], data), outputs_of(start, data), atol=1e-3)

    def test_members_with_other_bins_form_other_groups(self, make_cohort, groups):
        """Bins come from the events of a sample; a group has one number of them."""
        cohort = make_cohort(n_patients=90)
        data = opened(network(objective=DiscreteHazard("auto")), cohort)
        samples = draw_samples(data.outcome, 3, 0.8, 0)
        few = np.flatnonzero(data.outcome.event)[:4]
        samples[0] = ~data.outcome.event
        samples[0, few] = True
        members = train_members(data, data.recipe, samples, [0, 1, 2])
        assert sorted(groups) == [1, 2]
        assert members[0].objective.n_outputs_ < members[1].objective.n_outputs_
        assert [len(outputs_of(one, data).T) for one in members] == [one.objective.n_outputs_ for one in members]


ONE_BY_ONE = {
    "transformer": {"bags": TransformerMIL(8, n_heads=2, n_layers=1)},
    "batch normalisation": {"bags": AttentionMIL(6, 4, batch_norm=True)},
    "torch's attention": {"fusion": CoAttention(n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=6)},
    "a penalty": {"fusion": Mean(similarity=0.3)},
    "Cox over several batches": {"objective": CoxPH(), "gradient_accumulation": 2},
    "an encoder of the user's": {"vectors": Own()},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "callbacks": {"callbacks": [GradientNormClipping(1.0)]},
    "balance": {"balance": True},
    "an optimizer": {"optimizer": torch.optim.RMSprop},
}


@pytest.mark.parametrize("settings", ONE_BY_ONE.values(), ids=ONE_BY_ONE)
def test_what_knows_no_lockstep_trains_one_by_one_without_a_word(cohort, groups, settings):
    X = lacking(cohort.X)
    model = network(**settings).fit(X, cohort.y)
    assert groups == []
    assert len(model.estimators_) == 3
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.oob_score_)
    if model.early_stopping:
        assert not hasattr(model, "length_shares_")
    else:
        assert model.length_shares_.index.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Alone or not, a member does not depend on the others.
    other = network(**settings, n_jobs=1).fit(X, cohort.y)
    assert_array_equal(model.predict(X), other.predict(X))


@pytest.fixture(scope="module")
def many():
    """Patients of whom something can be learnt, and others."""
    return make_multimodal_survival(
        n_patients=320, n_genes=10, n_informative_genes=4, n_tiles=(3, 8), n_tile_features=8, random_state=0
    )


@pytest.fixture(scope="module")
def fitted(many):
    """An ensemble of the first patients, which no test may change."""
    params = {"n_estimators": 5, "max_samples": 0.7, "max_epochs": 5, "lr": 0.005, "random_state": 3, "device": "cpu"}
    return FusionSurvivalAnalysis(**params).fit(many.X.iloc[:160], many.y[:160])


def curves_of_members(model, X, times):
    """Survival functions of each member, (n_members, n_patients, n_times): a curve stays as it is between its steps."""
    found = []
    for one in model.estimators_:
        steps = np.searchsorted(one.unique_times_, times, side="right") - 1
        curves = one.predict_survival_function(X, return_array=True)[:, np.maximum(steps, 0)]
        found.append(np.where(steps >= 0, curves, 1))
    return np.array(found)


class TestPredictions:
    def test_curves_are_means_of_curves(self, fitted, many):
        X, times = many.X.iloc[160:], fitted.unique_times_
        curves = curves_of_members(fitted, X, times)
        survival, std = fitted.predict_survival_function(X, return_array=True, return_std=True)
        assert_allclose(survival, np.mean(curves, axis=0), rtol=1e-6)
        assert_allclose(std, np.std(curves, axis=0, ddof=1), atol=1e-6)
        assert std.max() > 0.01
        assert_allclose(survival, fitted.predict_survival_function(X, return_array=True), rtol=1e-12)
        hazard = fitted.predict_cumulative_hazard_function(X, return_array=True)
        assert_allclose(np.exp(-hazard), survival, rtol=1e-9)

    def test_risk_is_minus_the_mean_of_the_curve_over_event_times(self, fitted, many):
        X, y = many.X.iloc[160:], many.y[:160]
        assert set(fitted.risk_times_) <= set(y["time"][y["event"]])
        curves = curves_of_members(fitted, X, fitted.risk_times_)
        assert_allclose(fitted.predict(X), -curves.mean(axis=(0, 2)), rtol=1e-6)

    def test_attention_is_a_mean_and_embeddings_stand_side_by_side(self, fitted, many):
        X = many.X.iloc[160:200]
        for explain in ("modality_attention", "tile_attention"):
            found = getattr(fitted, explain)(X)
            own = [getattr(one, explain)(X) for one in fitted.estimators_]
            names = ["attention"] if explain == "tile_attention" else list(found)
            assert_allclose(found[names], np.mean([one[names] for one in own], axis=0), rtol=1e-5)
            assert found.drop(columns=names).equals(own[0].drop(columns=names))
        found = fitted.transform(X)
        assert_allclose(found, np.hstack([one.transform(X) for one in fitted.estimators_]))
        assert found.columns.tolist()[:1] == ["member0_fused0"]
        assert found.columns.tolist() == fitted.get_feature_names_out().tolist()

    def test_no_spread_of_a_single_network(self, cohort):
        model = network(n_estimators=1).fit(cohort.X, cohort.y)
        with pytest.raises(ValueError, match="return_std=True needs an ensemble, but n_estimators=1"):
            model.predict_survival_function(cohort.X, return_std=True)


class TestLeftOut:
    def test_curves_are_of_members_that_have_not_seen_the_patient(self, fitted, many):
        X, outcome = many.X.iloc[:160], Outcome.of(many.y[:160])
        samples = draw_samples(outcome, 5, 0.7, 3)
        times = fitted.unique_times_
        by_member = curves_of_members(fitted, X, times)
        left_out = ~samples
        counts = left_out.sum(axis=0)
        assert set(counts) == {1, 2}
        expected = (by_member * left_out[:, :, None]).sum(axis=0) / counts[:, None]
        assert_allclose(fitted.oob_survival_function_, expected, atol=1e-6)
        seen = (by_member * samples[:, :, None]).sum(axis=0) / (5 - counts)[:, None]
        assert np.abs(fitted.oob_survival_function_ - seen).max() > 0.05

    def test_whom_all_have_seen_has_none(self, cohort):
        model = network(n_estimators=2, max_samples=0.8).fit(cohort.X, cohort.y)
        samples = draw_samples(Outcome.of(cohort.y), 2, 0.8, 0)
        assert_array_equal(np.isnan(model.oob_survival_function_).all(axis=1), samples.all(axis=0))
        assert_array_equal(np.isnan(model.oob_survival_function_).any(axis=1), samples.all(axis=0))
        judged = ~samples.all(axis=0)
        at = np.isin(model.unique_times_, model.risk_times_)
        assert at.sum() == len(model.risk_times_)
        risk = -model.oob_survival_function_[judged][:, at].mean(axis=1)
        y = cohort.y[judged]
        assert model.oob_score_ == concordance_index_censored(y["event"], y["time"], risk)[0]

    def test_the_score_is_that_of_new_patients(self, fitted, many):
        """And not that of those it was trained on."""
        on_training = fitted.score(many.X.iloc[:160], many.y[:160])
        on_others = fitted.score(many.X.iloc[160:], many.y[160:])
        # The standard deviation of a concordance index of 160 patients is about .03.
        assert abs(fitted.oob_score_ - on_others) < 0.09
        assert fitted.oob_score_ < on_training - 0.02

    @pytest.mark.parametrize("max_samples", [1.0, 30])
    def test_nobody_is_left_out(self, cohort, max_samples):
        model = network(max_samples=max_samples).fit(cohort.X, cohort.y)
        assert not hasattr(model, "oob_score_")
        assert not hasattr(model, "oob_survival_function_")

    def test_a_refit_leaves_nothing_of_the_other_kind(self, cohort):
        model = network().fit(cohort.X, cohort.y)
        assert not hasattr(model, "net_")
        model.set_params(n_estimators=1).fit(cohort.X, cohort.y)
        for name in ("estimators_", "oob_score_", "oob_survival_function_", "length_shares_", "risk_times_"):
            assert not hasattr(model, name)
        assert hasattr(model, "net_")


class TestSeeds:
    def test_a_member_does_not_depend_on_how_many_there_are(self):
        assert member_seeds(5, 3) == member_seeds(5, 7)[:3]
        assert len(set(member_seeds(5, 7) + member_seeds(6, 7))) == 14


class TestZeroStart:
    @pytest.mark.parametrize("objective", [DiscreteHazard(3), CoxPH(), Weibull()], ids=name_of)
    def test_untrained_members_predict_what_is_known_of_all_and_weigh_evenly(self, cohort, objective):
        still = {"lr": 1e-30, "max_epochs": 1, "average_epochs": False, "weight_decay": 0.0}
        model = network(*DEFAULT, objective, **still).fit(cohort.X, cohort.y)
        for member in model.estimators_:
            survival = member.predict_survival_function(cohort.X, return_array=True)
            assert np.ptp(survival, axis=0).max() < 1e-6
            assert np.ptp(survival[0]) > 0.1
        assert_allclose(model.modality_attention(cohort.X), 0.5, atol=1e-6)
        tiles = model.tile_attention(cohort.X)["attention"]
        assert_allclose(tiles, 1 / tiles.groupby("patient").transform("size"), rtol=1e-5)
        other = network(*DEFAULT, objective, **still, zero_start=False).fit(cohort.X, cohort.y)
        assert np.ptp(other.predict(cohort.X)) > 1e-3
        assert np.ptp(other.modality_attention(cohort.X)["rna"]) > 1e-3

    def test_where_nothing_is_to_be_learnt_it_stays_at_kaplan_meier(self):
        """The integrated Brier score of new patients, on average over cohorts whose outcomes changed hands."""
        excess = []
        for seed in range(3):
            cohort = make_multimodal_survival(
                n_patients=400, n_genes=20, n_tiles=3, n_tile_features=8, image_effect=0, rna_effect=0,
                random_state=seed,
            )  # fmt: skip
            train, test = slice(None, 200), slice(200, None)
            y = cohort.y
            model = FusionSurvivalAnalysis(n_estimators=5, random_state=seed, device="cpu").fit(
                cohort.X[train], y[train]
            )
            inside = y["time"][test][y["time"][test] < y["time"][train].max()]
            times = np.quantile(inside, np.linspace(0.1, 0.8, 15))
            curves = [[f(times) for f in model.predict_survival_function(cohort.X[test])]]
            curves.append(np.tile(kaplan_meier(np.ones((1, 200)), *Outcome.of(y[train]), times), (200, 1)))
            keep = y[test]["time"] < y["time"][train].max()
            own, marginal = (
                integrated_brier_score(y[train], y[test][keep], np.array(one)[keep], times) for one in curves
            )
            excess.append(own - marginal)
        assert np.mean(excess) < 0.002


class TestFairInputs:
    def test_attention_of_few_and_many_columns_that_tell_as_much_is_balanced(self):
        """Three columns against 1,500, each modality a noisy view of a risk of its own, at a rate that is quick."""
        weights = {fair: [self.weight_of_the_narrow(fair, seed) for seed in range(2)] for fair in (True, False)}
        assert 0.35 < np.mean(weights[True]) < 0.65
        assert not 0.35 < np.mean(weights[False]) < 0.65

    def weight_of_the_narrow(self, fair, seed, n=150):
        rng = np.random.default_rng(seed)
        scores = rng.normal(size=(2, n, 1))
        views = {
            "narrow": scores[0] + rng.normal(size=(n, 3)),
            "wide": scores[1] + rng.normal(size=(n, 1500)) * 500**0.5,
        }
        X = pd.concat([pd.DataFrame(one).add_prefix(f"{name}__") for name, one in views.items()], axis=1)
        y = Surv.from_arrays(np.ones(n, dtype=bool), rng.exponential(np.exp(-scores.sum(axis=0)[:, 0])))
        params = {"n_estimators": 1, "lr": 0.03, "attention_lr": 1.0, "random_state": seed, "device": "cpu"}
        fusion = CrossModalAttention(activation="tanh")
        model = FusionSurvivalAnalysis(fusion=fusion, fair_inputs=fair, **params).fit(X, y)
        return model.modality_attention(X)["narrow"].mean()


def test_an_ensemble_as_a_function_is_the_estimator(cohort):
    model = network(*DEFAULT, random_state=4).fit(cohort.X, cohort.y)
    data = opened(network(*DEFAULT), cohort)
    ensemble = fit_ensemble(data.recipe, data.patients, data.outcome, 4)
    assert ensemble.lengths == model.length_shares_.to_dict()
    for done, member in zip(ensemble.members, model.estimators_, strict=True):
        assert_same_weights(done.net.module_.state_dict(), member.net_.module_.state_dict(), rtol=0, atol=0)


def test_a_warning_that_concerns_all_members_comes_once(cohort):
    """Events at two times only: every member has fewer bins than it was asked for."""
    y = cohort.y.copy()
    y["time"] = np.where(y["time"] > np.median(y["time"]), 2.0, 1.0)
    model = network(*DEFAULT, DiscreteHazard(5))
    with pytest.warns(UserWarning, match="tied quantiles") as caught:
        model.fit(cohort.X, y)
    told = [str(one.message) for one in caught]
    assert len(told) == len(set(told))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("n_events", [1, 2])
def test_with_an_event_or_two_there_may_be_no_score_but_there_is_a_model(n_events):
    rng = np.random.default_rng(0)
    y = Surv.from_arrays(np.arange(40) < n_events, rng.exponential(size=40) + 0.1)
    model = FusionSurvivalAnalysis(max_epochs=1, n_estimators=2, random_state=0).fit(rng.normal(size=(40, 3)), y)
    assert np.isnan(model.oob_score_)
    assert np.isfinite(model.oob_survival_function_).any()
