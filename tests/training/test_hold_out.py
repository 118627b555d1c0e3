"""Patients held out for early stopping are dealt by event, and teach nothing."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal

from sksurv_mmf import BagArray, FusionSurvivalAnalysis
from sksurv_mmf.cohort._reading import read_patients
from sksurv_mmf.encoders import SNN, DeepAttnMISL, PathwaySNN
from sksurv_mmf.fusions import Concat
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.outcome._outcome import Outcome
from sksurv_mmf.training import _fit
from sksurv_mmf.training._hold_out import hold_out

SEEDS = range(20)


def outcome_of(event):
    return Outcome(event, np.arange(1.0, len(event) + 1))


class TestHoldOut:
    @pytest.mark.parametrize("n_events", [4, 8, 36])
    def test_both_parts_have_the_same_share_of_events(self, n_events):
        outcome = outcome_of(np.arange(40) < n_events)
        for seed in SEEDS:
            trained_on, held_out = hold_out(outcome, np.arange(40), 0.25, seed)
            assert (len(trained_on), len(held_out)) == (30, 10)
            assert outcome.event[held_out].sum() == n_events / 4

    def test_a_patient_who_is_drawn_several_times_is_on_one_side(self):
        outcome = outcome_of(np.arange(40) % 3 == 0)
        rows = np.random.default_rng(0).integers(0, 40, 60)
        for seed in SEEDS:
            trained_on, held_out = hold_out(outcome, rows, 0.25, seed)
            assert not set(trained_on) & set(held_out)
            assert sorted([*trained_on, *held_out]) == sorted(rows)
            assert len(trained_on) > len(held_out) > 0

    def test_the_seed_decides(self):
        outcome = outcome_of(np.arange(40) % 2 == 0)
        parts = {tuple(hold_out(outcome, np.arange(40), 0.25, seed)[1]) for seed in SEEDS}
        assert len(parts) == len(SEEDS)
        for seed in SEEDS:
            assert tuple(hold_out(outcome, np.arange(40), 0.25, seed)[1]) in parts
            assert_array_equal(*(np.concatenate(hold_out(outcome, np.arange(40), 0.25, seed)) for _ in range(2)))

    def test_it_deals_rows_and_not_their_positions(self):
        # All whose event counts are among the rows; of the others all have one.
        rows = np.array([77, 3, 50, 21, 64, 98, 11, 35])
        event = np.ones(100, dtype=bool)
        event[rows[:4]] = False
        for seed in SEEDS:
            trained_on, held_out = hold_out(outcome_of(event), rows, 0.25, seed)
            assert sorted([*trained_on, *held_out]) == sorted(rows)
            assert event[held_out].tolist().count(True) == 1
            assert event[trained_on].tolist().count(True) == 3

    def test_a_share_that_cannot_be_held_out_is_refused(self):
        with pytest.raises(ValueError, match=r"validation_fraction=0\.25 of 8 patients with 1 events.*Change"):
            hold_out(outcome_of(np.arange(8) < 1), np.arange(8), 0.25, 0)


HELD_OUT = np.array([2, 11, 7, 29, 16, 23])
OTHERS = np.setdiff1d(np.arange(30), HELD_OUT)
OBJECTIVES = pytest.mark.parametrize(
    "objective", [DiscreteHazard(3), CoxPH(), Weibull()], ids=lambda one: type(one).__name__
)


def make_model(objective, **params):
    encoders = [
        ("wsi", DeepAttnMISL(3, hidden_dim=8, attention_dim=4)),
        ("rna", PathwaySNN({"one": ["G0", "G1"], "two": ["G2", "G3"]}, hidden_dim=4, min_genes=2)),
        ("clinical", SNN(4)),
    ]
    settings = {
        "n_estimators": 1,
        "embedding_dim": 4,
        "max_epochs": 1,
        "balance": True,
        "device": "cpu",
        "random_state": 0,
    } | params
    return FusionSurvivalAnalysis(encoders, Concat(8), objective, **settings)


def fit(X, y, objective, **params):
    return make_model(objective, **params).fit(X, y)


def learnt(model, X):
    """Hashes of the bits of all that a fitted model is made of, and of the curves that it predicts."""
    parts = {f"network.{name}": value for name, value in model.net_.module_.state_dict().items()}
    parts |= {f"objective.{name}": value for name, value in vars(model.objective_).items()}
    for name, encoder, _ in model.modalities_:
        parts |= {f"{name}.{key}": value for key, value in vars(encoder).items() if key.endswith("_")}
    parts["curves"] = model.predict_survival_function(X, return_array=True)
    return {name: joblib.hash(one.numpy() if torch.is_tensor(one) else one) for name, one in parts.items()}


@pytest.fixture
def patients(cohort):
    rng = np.random.default_rng(0)
    X = cohort.X.assign(clinical__age=rng.normal(60, 9, 30), clinical__grade=rng.normal(size=30))
    X.iloc[OTHERS[:2], 0] = BagArray([None] * 2)
    return X, cohort.y


def change(X, y, rows):
    """Give some patients other values, bags, modalities, events and times."""
    rng = np.random.default_rng(1)
    X, y, n = X.copy(), y.copy(), len(rows)
    X.iloc[rows, 1:] = 100 + 50 * rng.normal(size=(n, X.shape[1] - 1))
    X.iloc[rows[1], 1:5] = np.nan
    X.iloc[rows, 0] = BagArray([pd.NA, *(rng.normal(30, 9, (3 + i, 5)) for i in range(1, n))])
    y["event"][rows] = ~y["event"][rows]
    y["time"][rows] = 20 * y["time"].max() * rng.random(n)
    y["event"][rows[y["time"][rows].argmin()]] = True  # somebody has an event while others are at risk
    return X, y


@OBJECTIVES
class TestHeldOutPatients:
    @pytest.fixture(autouse=True)
    def held_out(self, monkeypatch):
        """Who is held out depends on events, which the tests change."""
        monkeypatch.setattr(_fit, "hold_out", lambda *args: [OTHERS, HELD_OUT])

    def test_what_they_contain_does_not_matter(self, patients, objective):
        X, y = patients
        model, other = (fit(*one, objective, early_stopping=True) for one in (patients, change(X, y, HELD_OUT)))
        assert model.history_["valid_loss"][1] != other.history_["valid_loss"][1]
        before, after = learnt(model, X), learnt(other, X)
        assert before.keys() == after.keys()
        assert [name for name in before if before[name] != after[name]] == []

    def test_what_the_others_contain_does(self, patients, objective):
        X, y = patients
        model, other = (fit(*one, objective, early_stopping=True) for one in (patients, change(X, y, OTHERS[5:])))
        before, after = learnt(model, X), learnt(other, X)
        depends = {name for name in before if before[name] != after[name]}
        fitted = {name for name in vars(model.objective_) if name.endswith("_") and name != "n_outputs_"}
        assert {f"objective.{name}" for name in fitted} <= depends
        assert {"wsi.cluster_centers_", "network.encoders.2.standardize.mean", "network.head.bias", "curves"} <= depends

    def test_the_fit_is_that_of_the_others_alone(self, patients, objective):
        X, y = patients
        model = fit(X, y, objective, early_stopping=True)
        alone = fit(X.iloc[OTHERS], y[OTHERS], objective)
        assert learnt(model, X) == learnt(alone, X)

    def test_they_draw_no_random_number(self, patients, objective):
        X, y = patients
        model = fit(X, y, objective, early_stopping=True, max_epochs=3)
        alone = fit(X.iloc[OTHERS], y[OTHERS], objective, max_epochs=3)
        assert_array_equal(model.history_["train_loss"], alone.history_["train_loss"])

    def test_their_loss_is_what_tells_when_to_stop(self, patients, objective):
        X, y = patients
        model = fit(X, y, objective, early_stopping=True, batch_size=4)
        with torch.no_grad():
            outputs = model.net_.module_.head(torch.tensor(model.transform(X.iloc[HELD_OUT]).to_numpy()))
        target = model.objective_.encode(y["event"][HELD_OUT], y["time"][HELD_OUT])
        assert model.history_["valid_loss"][1] == pytest.approx(model.objective_.loss(outputs, target).item(), rel=1e-5)


@OBJECTIVES
def test_fits_of_a_recipe_leave_it_and_one_another_alone(patients, objective):
    X, y = patients
    model = make_model(objective)
    recipe, outcome = model._recipe(model._plan(X)), Outcome.of(y)
    cohort = read_patients(X, recipe.modalities)
    parts = [one.encoder for one in recipe.modalities] + [recipe.fusion, recipe.objective]
    before = [set(vars(one)) for one in parts]
    first, other, again = (_fit.fit(recipe, cohort, outcome, rows, 0) for rows in (OTHERS, np.arange(20), OTHERS))
    assert [set(vars(one)) for one in parts] == before
    biases = [one.net.module_.head.bias.tolist() for one in (first, other, again)]
    assert biases[0] == biases[2] != biases[1]
