import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from chance import beats_chance, margin_of_chance
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, GradientNormClipping
from sksurv.functions import StepFunction
from sksurv.linear_model.coxph import BreslowEstimator
from sksurv.metrics import (
    as_concordance_index_ipcw_scorer,
    as_cumulative_dynamic_auc_scorer,
    as_integrated_brier_score_scorer,
    concordance_index_censored,
)
from sksurv.nonparametric import kaplan_meier_estimator

from sksurv_mmf import Bag, BagArray, FusionSurvivalAnalysis
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL, Identity, MaxMIL, MeanMIL
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.objectives import CoxPH, DiscreteHazard
from sksurv_mmf.training._fit import balancing_weights

PARTS = [("wsi", AttentionMIL(8, 4)), ("rna", SNN(8))]
FUSIONS = pytest.mark.parametrize(
    "fusion",
    [Concat(8), CrossModalAttention(hidden_dim=4), CrossModalAttention(False, "relu", hidden_dim=4), Mean()],
    ids=["concat", "shared", "not shared", "mean"],
)
CHANCES = {
    "balance": True,
    "input_noise": {"wsi": 0.1, "rna": 0.2},
    "modality_dropout": 0.3,
    "early_stopping": True,
    "validation_fraction": 0.3,
}


def make_model(modalities=PARTS, **params):
    settings = {"n_estimators": 1, "max_epochs": 2, "lr": 0.01, "batch_size": 8, "embedding_dim": 8}
    settings |= {"device": "cpu", "random_state": 0, **params}
    return FusionSurvivalAnalysis(modalities, **settings)


@pytest.fixture(scope="module")
def shared_cohort(make_cohort):
    return make_cohort()


@pytest.fixture(scope="module")
def fitted(shared_cohort):
    """A model that no test may change, and its cohort."""
    return make_model().fit(shared_cohort.X, shared_cohort.y)


def weights_of(model):
    return model.net_.module_.state_dict()


def same_bits(model, other):
    ours, theirs = weights_of(model), weights_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def without(X, patients, modality):
    """Take a modality away from some patients, by position."""
    X = X.copy()
    if modality == "wsi":
        X.iloc[patients, 0] = BagArray([None] * len(patients))
    else:
        X.iloc[patients, 1:] = np.nan
    return X


@pytest.fixture(scope="module")
def halves(make_cohort):
    cohort = make_cohort(n_patients=160, effect=2.0, seed=1)
    return cohort.X.iloc[:100], cohort.y[:100], cohort.X.iloc[100:], cohort.y[100:]


class TestSignal:
    def test_both_modalities_together_beat_either(self, halves):
        X, y, X_new, y_new = halves
        scores = {}
        for names in [("wsi",), ("rna",), ("wsi", "rna")]:
            parts = [(name, {"wsi": MeanMIL(8), "rna": SNN(8)}[name]) for name in names]
            columns = [c for c in X.columns if c.split("__")[0] in names]
            model = make_model(parts, fusion=Concat(8), max_epochs=15, lr=0.01)
            scores[names] = model.fit(X[columns], y).score(X_new[columns], y_new)
        assert min(scores.values()) > 0.5 + margin_of_chance(y_new)
        assert scores["wsi", "rna"] > max(scores["wsi",], scores["rna",])

    @FUSIONS
    def test_every_fusion_finds_it(self, halves, fusion):
        X, y, X_new, y_new = halves
        model = make_model(fusion=fusion, max_epochs=25, lr=0.01).fit(X, y)
        assert model.score(X_new, y_new) > 0.5 + margin_of_chance(y_new, model.predict(X_new))
        losses = model.history_["train_loss"]
        assert losses.iloc[-5:].mean() < losses.iloc[0] - 0.1

    def test_higher_risk_means_an_earlier_event(self, halves):
        X, y, X_new, y_new = halves
        model = make_model(max_epochs=25, lr=0.01).fit(X, y)
        risk = model.predict(X_new)
        c_index = concordance_index_censored(y_new["event"], y_new["time"], risk)[0]
        assert model.score(X_new, y_new) == c_index
        high = risk > np.median(risk)
        assert np.median(y_new["time"][high]) < np.median(y_new["time"][~high])


class TestCurves:
    def test_survival_starts_at_one_falls_and_is_exp_of_minus_cumulative_hazard(self, fitted, shared_cohort):
        survival = fitted.predict_survival_function(shared_cohort.X, return_array=True)
        hazard = fitted.predict_cumulative_hazard_function(shared_cohort.X, return_array=True)
        assert_array_equal(survival[:, 0], 1)
        assert (np.diff(survival, axis=1) < 0).all()
        assert (survival > 0).all()
        assert_allclose(survival, np.exp(-hazard), rtol=1e-15)

    def test_functions_step_at_unique_times(self, fitted, shared_cohort):
        X = shared_cohort.X.iloc[:3]
        for name in ("predict_survival_function", "predict_cumulative_hazard_function"):
            array = getattr(fitted, name)(X, return_array=True)
            functions = getattr(fitted, name)(X)
            assert all(isinstance(one, StepFunction) for one in functions)
            for one, row in zip(functions, array, strict=True):
                assert_array_equal(one(fitted.unique_times_), row)

    def test_they_cover_all_training_times(self, fitted, shared_cohort):
        assert fitted.unique_times_[0] == 0
        assert fitted.unique_times_[-1] > shared_cohort.y["time"].max()
        assert (np.diff(fitted.unique_times_) > 0).all()

    def test_risk_is_minus_the_sum_of_survival_after_each_bin(self, fitted, shared_cohort):
        survival = fitted.predict_survival_function(shared_cohort.X, return_array=True)
        after = np.isin(fitted.unique_times_, fitted.objective_.bin_edges_[1:])
        assert_allclose(fitted.predict(shared_cohort.X), -survival[:, after].sum(axis=1), rtol=1e-12)


class TestProportionalHazards:
    @pytest.mark.parametrize(
        "params", [{"lr": 0.01}, {"batch_size": 4, "gradient_accumulation": 1000, "lr": 0.02, "max_epochs": 40}]
    )
    def test_it_finds_the_signal_with_small_and_with_full_risk_sets(self, halves, params):
        X, y, X_new, y_new = halves
        model = make_model(**{"objective": CoxPH(), "max_epochs": 25} | params).fit(X, y)
        assert model.score(X_new, y_new) > 0.5 + margin_of_chance(y_new, model.predict(X_new))

    def test_curves_are_those_of_breslow_for_the_risks_of_the_training_patients(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(objective=CoxPH()).fit(X, y)
        risk = model.predict(X)
        assert risk.mean() == pytest.approx(0, abs=1e-12)
        breslow = BreslowEstimator().fit(risk, y["event"], y["time"])
        assert_array_equal(model.unique_times_, [0, *breslow.unique_times_])
        hazard = model.predict_cumulative_hazard_function(X, return_array=True)
        expected = np.exp(risk)[:, None] * breslow.cum_baseline_hazard_.y
        assert_allclose(hazard[:, 1:], expected, rtol=1e-9)
        assert_array_equal(hazard[:, 0], 0)

    def test_one_seed_one_model_whatever_is_random(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        models = [make_model(objective=CoxPH(), gradient_accumulation=2, **CHANCES).fit(X, y) for _ in range(2)]
        assert same_bits(*models)
        assert_array_equal(models[0].predict(X), models[1].predict(X))

    def test_file_backed_bags_give_the_same_model(self, shared_cohort, tmp_path):
        X, y = shared_cohort.X.copy(), shared_cohort.y
        model = make_model(objective=CoxPH(), batch_size=4, gradient_accumulation=3)
        in_memory = clone(model).fit(X, y)
        files = []
        for name, bag in X["wsi__tiles"].items():
            np.save(tmp_path / f"{name}.npy", bag.features)
            files.append(Bag.from_file(tmp_path / f"{name}.npy"))
        X["wsi__tiles"] = BagArray(files)
        assert same_bits(clone(model).fit(X, y), in_memory)

    def test_memory_holds_the_graph_of_one_batch(self, shared_cohort):
        alive, before, after = weakref.WeakSet(), [], []

        class Saved:
            """A tensor that a graph keeps for its gradient, for as long as the graph lives."""

            def __init__(self, tensor):
                self.tensor = tensor.detach()  # itself it might belong to the graph, a cycle
                alive.add(self)

        class Watch(Callback):
            def on_train_begin(self, net, **kwargs):
                net.module_.encoders[0].register_forward_pre_hook(lambda *args: before.append(len(alive)))
                net.module_.head.register_forward_hook(lambda *args: after.append(len(alive)))

        model = make_model(objective=CoxPH(), batch_size=4, gradient_accumulation=1000, max_epochs=1)
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            model.set_params(callbacks=[Watch()]).fit(shared_cohort.X, shared_cohort.y)
        assert before[:16] == 16 * [0]  # eight batches, two passes
        assert min(after[:16]) > 10

    def test_divergence_is_an_error(self, shared_cohort):
        with pytest.raises((ValueError, FloatingPointError)):
            make_model(objective=CoxPH(), lr=1e30, optimizer="sgd").fit(shared_cohort.X, shared_cohort.y)

    def test_an_event_with_nobody_else_at_risk_teaches_nothing(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y.copy()
        y["event"] = y["time"] == y["time"].max()
        with pytest.raises(ValueError, match="None of 30 patients to train or validate on has an event while another"):
            make_model(objective=CoxPH()).fit(X, y)

    def test_the_objective_that_was_passed_stays_as_it_was(self, fitted, shared_cohort):
        objective = CoxPH()
        make_model(objective=objective).fit(shared_cohort.X, shared_cohort.y)
        assert vars(objective) == {"ties": "efron"}


class TestLearntFromTrainingPatientsOnly:
    def test_a_prediction_does_not_depend_on_the_other_patients(self, fitted, shared_cohort):
        X = shared_cohort.X
        together = fitted.predict(X)
        alone = np.concatenate([fitted.predict(X.iloc[[i]]) for i in range(len(X))])
        assert_allclose(alone, together, rtol=1e-5)
        assert_allclose(fitted.predict(X.iloc[::-1]), together[::-1], rtol=1e-5)
        shifted = X.copy()
        shifted.iloc[1:, 1:] += 1000.0
        assert_allclose(fitted.predict(shifted)[0], together[0], rtol=1e-5)

    def test_scale_of_genes_does_not_matter_if_standardised(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        scaled = X.copy()
        scaled.iloc[:, 1:] = 1000 * scaled.iloc[:, 1:] + 7
        plain = make_model().fit(X, y)
        assert_allclose(make_model().fit(scaled, y).predict(scaled), plain.predict(X), rtol=1e-3)
        raw = make_model(standardize=False)
        assert not np.allclose(clone(raw).fit(scaled, y).predict(scaled), clone(raw).fit(X, y).predict(X), rtol=1e-2)

    def test_genes_of_patients_who_lack_them_do_not_enter_mean_and_scale(self, shared_cohort):
        X = without(shared_cohort.X, [0, 5], "rna")
        model = make_model().fit(X, shared_cohort.y)
        standardize = model.net_.module_.encoders[1].standardize
        genes = X.iloc[:, 1:].dropna()
        assert_allclose(standardize.mean, genes.mean(), rtol=1e-4, atol=1e-6)
        assert_allclose(standardize.scale, genes.std(ddof=0), rtol=1e-4)

    def test_bins_come_from_training_times(self, fitted, shared_cohort):
        y = shared_cohort.y
        quantiles = np.quantile(y["time"][y["event"]], [0.25, 0.5, 0.75])
        assert_allclose(fitted.objective_.bin_edges_[1:-1], quantiles)
        part = make_model().fit(shared_cohort.X.iloc[:20], y[:20])
        assert not np.allclose(part.objective_.bin_edges_[1:-1], quantiles)


class TestMissing:
    @FUSIONS
    @pytest.mark.parametrize("modality", ["wsi", "rna"])
    def test_the_others_are_predicted_as_before(self, shared_cohort, fusion, modality):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(fusion=fusion).fit(X, y)
        before, after = model.predict(X), model.predict(without(X, [2, 9], modality))
        others = np.setdiff1d(np.arange(len(X)), [2, 9])
        assert_allclose(after[others], before[others], rtol=1e-5)
        assert (np.abs(after - before)[[2, 9]] > 1e-4).all()

    @FUSIONS
    def test_it_trains_with_missing_modalities_and_predicts_those_that_were_never_missing(self, shared_cohort, fusion):
        X = without(without(shared_cohort.X, [0, 1, 2, 3], "wsi"), [4, 5, 6], "rna")
        model = make_model(fusion=fusion, batch_size=3, modality_dropout=0.3, max_epochs=4).fit(X, shared_cohort.y)
        assert np.isfinite(model.history_.to_numpy()).all()
        assert np.isfinite(model.predict(X)).all()
        complete = make_model(fusion=fusion).fit(shared_cohort.X, shared_cohort.y)
        for modality in ("wsi", "rna"):
            assert np.isfinite(complete.predict(without(X, list(range(7, 30)), modality))).all()

    def test_what_other_modalities_say_is_all_that_counts(self, fitted, shared_cohort):
        # Two patients with the same genes and no image are the same patient.
        X = without(shared_cohort.X, [0, 1], "wsi")
        X.iloc[1, 1:] = X.iloc[0, 1:]
        risk = fitted.predict(X.iloc[:2])
        assert risk[0] == risk[1]

    def test_weight_of_a_missing_modality_is_exactly_zero(self, fitted, shared_cohort):
        X = without(without(shared_cohort.X, [0, 3], "wsi"), [5], "rna")
        attention = fitted.modality_attention(X)
        assert_array_equal(attention.iloc[[0, 3]], [[0, 1], [0, 1]])
        assert_array_equal(attention.iloc[[5]], [[1, 0]])
        assert (attention.iloc[[1, 2, 4, 6]] > 0).all(axis=None)

    def test_fusion_of_two_where_all_lack_one_is_that_of_one(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(fusion=CrossModalAttention(hidden_dim=4), normalization="minmax").fit(X, y)
        fused = model.transform(without(X, list(range(30)), "wsi")).to_numpy()
        assert_allclose(fused.min(axis=1), 0, atol=1e-7)  # the vector itself, which min-max has normalised
        assert_allclose(fused.max(axis=1), 1, atol=1e-6)


class TestTables:
    def test_transform_is_what_the_head_predicts_from(self, fitted, shared_cohort):
        X = shared_cohort.X
        fused = fitted.transform(X)
        assert fused.index.equals(X.index)
        assert fused.columns.tolist() == [f"fused{i}" for i in range(16)] == fitted.get_feature_names_out().tolist()
        head = fitted.net_.module_.head
        with torch.no_grad():
            logits = head(torch.tensor(fused.to_numpy()))
        assert_allclose(fitted.objective_.risk(logits.double()), fitted.predict(X), rtol=1e-5)

    def test_modality_attention_sums_to_one(self, fitted, shared_cohort):
        attention = fitted.modality_attention(shared_cohort.X)
        assert attention.index.equals(shared_cohort.X.index)
        assert attention.columns.tolist() == ["wsi", "rna"]
        assert_allclose(attention.sum(axis=1), 1, rtol=1e-6)

    def test_weights_that_are_not_normalised_do_not(self, shared_cohort):
        model = make_model(fusion=CrossModalAttention(normalize=False), lr=0.1).fit(shared_cohort.X, shared_cohort.y)
        assert (np.abs(model.modality_attention(shared_cohort.X).sum(axis=1) - 1) > 1e-3).all()

    @pytest.mark.parametrize("fusion", [Concat(), Mean()], ids=["Concat", "Mean"])
    def test_fusions_without_weights_have_no_modality_attention(self, fusion):
        model = make_model(fusion=fusion)
        assert not hasattr(model, "modality_attention")
        with pytest.raises(
            AttributeError,
            match=rf"no modality_attention: its fusion {type(fusion).__name__} does not weigh modalities",
        ):
            model.modality_attention  # noqa: B018
        assert hasattr(make_model(), "modality_attention")

    def test_tile_attention_sums_to_one_over_the_tiles_of_a_patient(self, fitted, shared_cohort):
        X = without(shared_cohort.X, [1, 4], "wsi")
        table = fitted.tile_attention(X)
        assert table.index.names == ["patient", "tile"]
        by_patient = table["attention"].groupby(level="patient", sort=False)
        assert by_patient.sum().index.tolist() == X.index.drop(X.index[[1, 4]]).tolist()
        assert_allclose(by_patient.sum(), 1, rtol=1e-6)
        assert_array_equal(by_patient.size(), X["wsi__tiles"].array.n_tiles[~X["wsi__tiles"].isna()])
        assert (table["attention"] > 0).all()
        assert table.columns.tolist() == ["attention"]

    def test_tile_attention_follows_the_tiles(self, fitted, shared_cohort):
        X = shared_cohort.X.iloc[:6].copy()
        before = fitted.tile_attention(X)
        X["wsi__tiles"] = BagArray([bag.features[::-1] for bag in X["wsi__tiles"]])
        after = fitted.tile_attention(X)
        for patient in X.index:
            assert_allclose(after.loc[patient], before.loc[patient].iloc[::-1], rtol=1e-5)

    def test_tile_attention_has_coordinates(self, fitted, shared_cohort):
        X = shared_cohort.X.iloc[:3].copy()
        coords = [np.arange(2 * bag.n_tiles).reshape(-1, 2) for bag in X["wsi__tiles"]]
        X["wsi__tiles"] = BagArray([Bag(bag.features, one) for bag, one in zip(X["wsi__tiles"], coords)])
        assert_array_equal(fitted.tile_attention(X)[["x", "y"]], np.concatenate(coords))

    def test_nobody_has_tiles(self, fitted, shared_cohort):
        assert fitted.tile_attention(without(shared_cohort.X, list(range(30)), "wsi")).empty

    def test_one_of_several_bag_modalities(self, shared_cohort):
        X = shared_cohort.X[["wsi__tiles"]].assign(ihc__tiles=shared_cohort.X["wsi__tiles"])
        model = make_model([("wsi", AttentionMIL(8, 4)), ("ihc", MaxMIL(8))]).fit(X, shared_cohort.y)
        assert_allclose(model.tile_attention(X), model.tile_attention(X, "wsi"))
        with pytest.raises(ValueError, match=r"MaxMIL \('ihc'\) does not weigh tiles.*: 'wsi'"):
            model.tile_attention(X, "ihc")

    def test_history(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        history = make_model(max_epochs=3).fit(X, y).history_
        assert history.index.tolist() == [1, 2, 3]
        assert history.columns.tolist() == ["train_loss"]
        history = make_model(early_stopping=True, validation_fraction=0.3).fit(X, y).history_
        assert history.columns.tolist() == ["train_loss", "valid_loss"]


class TestRandomness:
    @pytest.mark.parametrize("params", [{}, CHANCES], ids=["plain", "all chances"])
    def test_one_seed_one_model(self, shared_cohort, params):
        X, y = shared_cohort.X, shared_cohort.y
        first, second = make_model(**params).fit(X, y), make_model(**params).fit(X, y)
        assert same_bits(first, second)
        assert_array_equal(first.predict(X), second.predict(X))
        assert_array_equal(first.history_, second.history_)
        assert not same_bits(make_model(random_state=1, **params).fit(X, y), first)

    def test_a_second_fit_starts_anew(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model().fit(X, y)
        before = {name: value.clone() for name, value in weights_of(model).items()}
        model.fit(X, y)
        assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())

    @pytest.mark.parametrize("random_state", [0, None])
    def test_global_random_states_are_left_alone(self, shared_cohort, global_random_state, random_state):
        before = global_random_state()
        model = make_model(random_state=random_state, **CHANCES).fit(shared_cohort.X, shared_cohort.y)
        assert global_random_state() == before
        model.predict(shared_cohort.X)
        assert global_random_state() == before

    def test_global_random_states_do_not_matter(self, fitted, shared_cohort):
        with torch.random.fork_rng():
            torch.manual_seed(123)
            assert same_bits(make_model().fit(shared_cohort.X, shared_cohort.y), fitted)

    def test_none_gives_another_model_each_time(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        assert not same_bits(*(make_model(random_state=None).fit(X, y) for _ in range(2)))

    def test_a_random_state_instance_moves_on(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(random_state=np.random.RandomState(0))
        first = pickle.loads(pickle.dumps(model.fit(X, y)))
        assert not same_bits(first, model.fit(X, y))
        assert same_bits(first, make_model(random_state=np.random.RandomState(0)).fit(X, y))


class TestBags:
    def test_file_backed_bags_give_the_same_model(self, shared_cohort, tmp_path):
        X, y = shared_cohort.X, shared_cohort.y
        on_disk = X.copy()
        for i, bag in enumerate(X["wsi__tiles"]):
            np.save(tmp_path / f"{i}.npy", bag.features)
        on_disk["wsi__tiles"] = BagArray([Bag.from_file(tmp_path / f"{i}.npy") for i in range(len(X))])
        models = [make_model(batch_size=4, **CHANCES).fit(one, y) for one in (X, on_disk)]
        assert same_bits(*models)
        assert_array_equal(models[0].predict(X), models[1].predict(on_disk))

    def test_bags_of_float16_are_those_numbers(self, shared_cohort):
        X, y = shared_cohort.X.copy(), shared_cohort.y
        half = [bag.features.astype(np.float16) for bag in X["wsi__tiles"]]
        X["wsi__tiles"] = BagArray(half)
        assert X["wsi__tiles"].iloc[0].features.dtype == np.float16
        single = X.copy()
        single["wsi__tiles"] = BagArray([tiles.astype(np.float32) for tiles in half])
        models = [make_model().fit(one, y) for one in (X, single)]
        assert same_bits(*models)
        assert_array_equal(models[0].predict(X), models[1].predict(single))

    def test_reversed_views_of_tiles_will_do(self, fitted, shared_cohort):
        X = shared_cohort.X.copy()
        X["wsi__tiles"] = BagArray([bag.features[::-1] for bag in X["wsi__tiles"]])
        assert_allclose(fitted.predict(X), fitted.predict(shared_cohort.X), rtol=1e-5)

    @pytest.mark.parametrize(
        "encoder",
        [
            AttentionMIL(8, 4),
            AttentionMIL(8, 4, gated=False),
            AttentionMIL(8, 4, batch_norm=True),
            MeanMIL(8),
            MaxMIL(8),
        ],
        ids=["gated", "plain", "batch norm", "mean", "max"],
    )
    def test_one_patient_per_batch_and_one_tile_per_bag(self, shared_cohort, encoder):
        X, y = shared_cohort.X.copy(), shared_cohort.y
        X["wsi__tiles"] = BagArray([bag.features[:1] for bag in X["wsi__tiles"]])
        model = make_model([("wsi", encoder), ("rna", SNN(8))], batch_size=1).fit(X, y)
        assert np.isfinite(model.predict(X)).all()
        assert np.isfinite(model.history_.to_numpy()).all()


class TestTraining:
    def test_balance_makes_strata_equally_likely(self):
        strata = np.array([0, 0, 0, 3, 5, 5, 5, 5])
        weights = balancing_weights(strata)
        totals = [weights[strata == one].sum() for one in (0, 3, 5)]
        assert_allclose(totals, totals[0])
        assert (weights[strata == 5] == weights[-1]).all()

    def test_balance_changes_what_is_learnt(self, shared_cohort):
        # Events are one in six, and half of what is drawn if bins and censoring are balanced: of two bins of four
        # strata the first has one event among four patients at risk, the second one among two. Patients are alike.
        X, y = shared_cohort.X.iloc[:, 1:] * 0, shared_cohort.y.copy()
        y["event"] = np.argsort(np.argsort(y["time"])) % 6 == 0
        survivors = []
        for balance in (False, True):
            model = make_model([("rna", SNN(8))], objective=DiscreteHazard(2), balance=balance, max_epochs=60)
            model.fit(X, y)
            survivors.append(model.predict_survival_function(X, return_array=True)[:, -1].mean())
        kaplan_meier = kaplan_meier_estimator(y["event"], y["time"])[1][-1]
        as_they_are, balanced = survivors
        assert abs(balanced - 3 / 8) < abs(balanced - kaplan_meier) / 2
        assert abs(as_they_are - kaplan_meier) < abs(as_they_are - 3 / 8) / 2

    def test_callbacks_are_used_and_copied(self, shared_cohort):
        class Recorder(Callback):
            def initialize(self):
                self.epochs = 0
                return self

            def on_epoch_end(self, net, **kwargs):
                self.epochs += 1

        mine = Recorder()
        model = make_model(callbacks=[mine])
        model.fit(shared_cohort.X, shared_cohort.y)
        used = [callback for _, callback in model.net_.callbacks_ if isinstance(callback, Recorder)]
        assert used[0].epochs == 2
        assert not hasattr(mine, "epochs")
        assert model.callbacks[0] is mine

    def test_a_named_callback_of_skorch_acts(self, shared_cohort):
        # Gradients clipped to this length leave the loss where it was.
        parts = [("wsi", AttentionMIL(8, 4, dropout=0.0)), ("rna", SNN(8, dropout=0.0))]
        model = make_model(parts, optimizer="sgd", lr=0.1, weight_decay=0.0, modality_dropout=0.0)
        free, clipped = clone(model), clone(model).set_params(callbacks=[("clip", GradientNormClipping(1e-9))])
        spread = [np.ptp(one.fit(shared_cohort.X, shared_cohort.y).history_["train_loss"]) for one in (free, clipped)]
        assert spread[0] > 1e-3
        assert spread[1] < 1e-6

    def test_optimizer_class(self, shared_cohort):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(optimizer=torch.optim.RMSprop, weight_decay=0.25, lr=0.002).fit(X, y)
        assert type(model.net_.optimizer_) is torch.optim.RMSprop
        assert model.net_.optimizer_.defaults["weight_decay"] == 0.25
        assert model.net_.optimizer_.defaults["lr"] == 0.002

    def test_optimizer_without_weight_decay(self, shared_cohort):
        model = make_model(optimizer=torch.optim.Rprop, weight_decay=0.0)
        assert type(model.fit(shared_cohort.X, shared_cohort.y).net_.optimizer_) is torch.optim.Rprop
        assert "weight_decay" not in model.net_.optimizer_.defaults
        with pytest.raises(ValueError, match=r"optimizer Rprop knows no weight_decay, got 0\.1\. Set weight_decay=0\."):
            model.set_params(weight_decay=0.1).fit(shared_cohort.X, shared_cohort.y)

    def test_divergence_is_an_error(self, shared_cohort):
        with pytest.raises((ValueError, FloatingPointError)):
            make_model(lr=1e30, optimizer="sgd").fit(shared_cohort.X, shared_cohort.y)

    def test_progress_is_shown_if_asked_for(self, shared_cohort, capfd):
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model(verbose=True, early_stopping=True, validation_fraction=0.3).fit(X, y)
        out, err = capfd.readouterr()
        assert out == ""
        assert "2/2" in err
        assert "train_loss=" in err
        assert "valid_loss=" in err
        pickle.dumps(model)
        make_model(early_stopping=True, validation_fraction=0.3).fit(X, y)
        assert capfd.readouterr() == ("", "")

    def test_nothing_is_changed_that_belongs_to_the_user(self, shared_cohort):
        X, y = shared_cohort.X.copy(), shared_cohort.y.copy()
        wsi, objective, fusion = AttentionMIL(8, 4), DiscreteHazard(), Concat(8)
        model = make_model([("wsi", wsi), ("rna", SNN(8))], objective=objective, fusion=fusion)
        before = model.get_params()
        model.fit(X, y).predict(X)
        assert {name: id(value) for name, value in model.get_params().items()} == {n: id(v) for n, v in before.items()}
        assert not hasattr(objective, "bin_edges_")
        pd.testing.assert_frame_equal(X, shared_cohort.X)
        assert_array_equal(y, shared_cohort.y)


class TestScikitLearn:
    def test_a_numeric_array_or_frame_is_one_modality(self, shared_cohort):
        genes, y = shared_cohort.X.filter(like="rna__"), shared_cohort.y
        predictions = [
            make_model(modalities).fit(one, y).predict(one)
            for modalities, one in [
                (None, genes.to_numpy()),
                (None, genes.set_axis(["a", "b", "c", "d"], axis=1)),
                (None, genes),
                ([("rna", SNN())], genes.to_numpy()),
            ]
        ]
        for other in predictions[1:]:
            assert_allclose(other, predictions[0], rtol=1e-5)

    def test_it_stands_where_a_scikit_survival_estimator_stood(self, shared_cohort):
        genes, y = shared_cohort.X.filter(like="rna__").to_numpy(), shared_cohort.y
        model = make_pipeline(StandardScaler(), make_model(None)).fit(genes, y)
        assert model.predict_survival_function(genes)[0](0.0) == 1
        assert np.isfinite(cross_val_score(model, genes, y, cv=2)).all()

    def test_names_may_be_left_out(self, shared_cohort):
        model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=0).fit(
            shared_cohort.X, shared_cohort.y
        )
        assert [(name, type(encoder)) for name, encoder, _ in model.modalities_] == [
            ("wsi", AttentionMIL),
            ("rna", SNN),
        ]
        assert model.feature_names_in_.tolist() == shared_cohort.X.columns.tolist()
        assert model.n_features_in_ == 5

    def test_columns_of_a_modality_may_be_named(self, shared_cohort):
        parts = [
            ("image", AttentionMIL(8, 4), ["wsi__tiles"]),
            ("first", SNN(8), ["rna__G0"]),
            ("others", MLP(8), lambda X: [c for c in X.columns if c in ("rna__G1", "rna__G2", "rna__G3")]),
        ]
        model = make_model(parts).fit(shared_cohort.X, shared_cohort.y)
        assert [(name, columns) for name, _, columns in model.modalities_] == [
            ("image", [0]),
            ("first", [1]),
            ("others", [2, 3, 4]),
        ]
        assert model.modality_attention(shared_cohort.X).columns.tolist() == ["image", "first", "others"]

    def test_order_of_modalities_in_the_list_is_theirs(self, shared_cohort):
        model = make_model(PARTS[::-1]).fit(shared_cohort.X, shared_cohort.y)
        assert model.modality_attention(shared_cohort.X).columns.tolist() == ["rna", "wsi"]

    def test_grid_search_reaches_into_the_parts(self, shared_cohort):
        grid = {
            "wsi__hidden_dim": [4, 8],
            "fusion__activation": ["relu", "tanh"],
            "rna": [SNN(8), MLP(8)],
        }
        search = GridSearchCV(
            make_model(fusion=CrossModalAttention(hidden_dim=4), lr=0.05, attention_lr=1.0), grid, cv=2
        )
        search.fit(shared_cohort.X, shared_cohort.y)
        assert len(set(search.cv_results_["mean_test_score"])) > 4
        best = search.best_estimator_
        assert best.net_.module_.encoders[0].encoder.score.hidden.in_features == search.best_params_["wsi__hidden_dim"]

    def test_grid_search_over_fusions(self, shared_cohort):
        grid = {"fusion": [Concat(8), CrossModalAttention(), Mean()]}
        search = GridSearchCV(make_model(max_epochs=1), grid, cv=2).fit(shared_cohort.X, shared_cohort.y)
        assert len(set(search.cv_results_["mean_test_score"])) == 3

    @pytest.mark.parametrize("columns", [False, True])
    def test_clone_copies_parts_and_keeps_columns(self, columns):
        parts = [(*one, [i]) for i, one in enumerate(PARTS)] if columns else PARTS
        model = make_model(parts)
        copy = clone(model)
        assert copy.get_params().keys() == model.get_params().keys()
        assert copy.modalities[0][1] is not model.modalities[0][1]
        assert [one[2:] for one in copy.modalities] == [one[2:] for one in model.modalities]
        copy.set_params(wsi__hidden_dim=3)
        assert model.get_params()["wsi__hidden_dim"] == 8

    def test_replacing_a_part_keeps_its_columns_and_the_users_list(self):
        parts = [("wsi", AttentionMIL(8), [0]), ("rna", SNN(8), [1])]
        model = make_model(parts).set_params(rna=MLP(4), wsi__dropout=0.5)
        assert [type(one[1]) for one in model.modalities] == [AttentionMIL, MLP]
        assert model.modalities[1][2] == [1]
        assert type(parts[1][1]) is SNN

    def test_modalities_and_their_parameters_set_at_once(self):
        model = make_model().set_params(modalities=[("wsi", AttentionMIL(9))], wsi__hidden_dim=7)
        assert model.modalities[0][1].hidden_dim == 7

    @pytest.mark.parametrize(
        "scorer",
        [as_concordance_index_ipcw_scorer, as_cumulative_dynamic_auc_scorer, as_integrated_brier_score_scorer],
    )
    def test_scorers_of_scikit_survival(self, shared_cohort, scorer):
        X, y = shared_cohort.X, shared_cohort.y
        times = np.quantile(y["time"], [0.3, 0.5, 0.7])
        params = {"tau": times[-1]} if scorer is as_concordance_index_ipcw_scorer else {"times": times}
        scored = scorer(make_model(max_epochs=20, lr=0.01), **params).fit(X, y)
        assert beats_chance(lambda y: scored.score(X, y), y)
        search = GridSearchCV(
            scorer(make_model(max_epochs=1), **params),
            {"estimator__rna__hidden_dim": [4, 8]},
            cv=[(np.arange(30), np.arange(30))],
        )
        assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()

    def test_pickle_keeps_the_bits(self, fitted, shared_cohort):
        copy = pickle.loads(pickle.dumps(fitted))
        assert same_bits(copy, fitted)
        assert_array_equal(copy.predict(shared_cohort.X), fitted.predict(shared_cohort.X))

    @pytest.mark.parametrize(
        "method", ["predict", "predict_survival_function", "transform", "modality_attention", "tile_attention"]
    )
    def test_not_fitted(self, shared_cohort, method):
        with pytest.raises(NotFittedError):
            getattr(make_model(), method)(shared_cohort.X)

    def test_raw_concatenation(self, shared_cohort):
        # Genes enter the fusion as they are: standardised, then by the normalisation of choice.
        X, y = shared_cohort.X, shared_cohort.y
        model = make_model([("rna", Identity())], fusion=Concat(8), normalization=None).fit(X.iloc[:, 1:], y)
        genes = X.iloc[:, 1:].to_numpy(np.float32)
        standardised = (genes - genes.mean(axis=0)) / genes.std(axis=0)
        with torch.no_grad():
            expected = model.net_.module_.fusion([torch.as_tensor(standardised)], None)[0]
        assert_allclose(model.transform(X.iloc[:, 1:]), expected, rtol=1e-3, atol=1e-5)


def test_the_name_of_an_encoder_is_no_encoder(shared_cohort):
    with pytest.raises(ValueError, match=r"'rna' is no parameter of .*Write rna=MLP\(\)"):
        FusionSurvivalAnalysis().set_params(rna="MLP")
    with pytest.raises(ValueError, match=r"Write encoders\['rna'\]=MLP\(\)"):
        FusionSurvivalAnalysis(encoders={"rna": "MLP"}).fit(shared_cohort.X, shared_cohort.y)
    with pytest.raises(ValueError, match="Invalid parameter 'optimiser'"):
        FusionSurvivalAnalysis().set_params(optimiser="adam")
