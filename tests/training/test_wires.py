"""Every parameter of the estimator arrives where it acts, and acts."""

import copy
from dataclasses import dataclass, field
from inspect import signature
from threading import get_ident, main_thread

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL
from sksurv_mmf.fusions import Concat, Mean
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.patients._batch import Batch

PARTS = [("wsi", AttentionMIL(8, 4)), ("rna", SNN(8))]
OTHER_PARTS = [("rna", MLP(8)), ("wsi", AttentionMIL(8, 4))]
N_PATIENTS = 30


class Watch(Callback):
    """Keeps what training is given and what it does."""

    def initialize(self):
        self.sizes, self.n_steps, self.strata = [], 0, []
        return self

    def on_train_begin(self, net, X, **kwargs):
        self.training, self.validation = X
        self.seed, self.thread = torch.initial_seed(), get_ident()
        self.start = {name: value.clone() for name, value in net.module_.state_dict().items()}

    def on_batch_begin(self, net, batch, training, **kwargs):
        if training:
            self.sizes.append(len(batch[0]))
            # Patients of one bin and the same censoring have the same target.
            self.strata += torch.cat(batch[1], dim=-1).tolist() if net.criterion_.objective.decomposes else []

    def on_grad_computed(self, net, **kwargs):
        self.n_steps += 1


def fit(cohort, **params):
    settings = {
        "n_estimators": 1,
        "max_epochs": 2,
        "embedding_dim": 8,
        "device": "cpu",
        "random_state": 0,
        "callbacks": [Watch()],
    }
    if "encoders" not in params:
        settings["modalities"] = PARTS
    return FusionSurvivalAnalysis(**(settings | params)).fit(cohort.X, cohort.y)


def watch_of(model):
    """The callback of a network, or of the first one of an ensemble."""
    return next(callback for _, callback in model.members[0].net_.callbacks_ if isinstance(callback, Watch))


def network_of(model):
    return model.members[0].net_.module_


def n_held_out(model):
    watch = watch_of(model)
    return len(watch.training.patients), None if watch.validation is None else len(watch.validation.patients)


def in_optimizer(name, group=0):
    """A setting of those weights that decide what modalities and tiles weigh, or of the others, the last group."""
    return lambda model: model.net_.optimizer_.param_groups[group][name]


def callbacks_of(model):
    return [type(callback).__name__ for _, callback in model.members[0].net_.callbacks_]


def chances(model):
    """Whether patients are drawn, and whether all strata are as likely then."""
    weights, (happens, counts) = watch_of(model).training.weights, watch_of(model).training.target
    if weights is None:
        return None
    _, stratum = torch.cat([happens, counts], dim=1).unique(dim=0, return_inverse=True)
    totals = torch.zeros(len(stratum.unique()), dtype=weights.dtype).index_add(0, stratum, weights)
    return torch.allclose(totals, totals[0])


@dataclass(frozen=True)
class Wire:
    """A parameter with two values, what is seen of each where it acts, and the company that it needs to act."""

    values: tuple
    seen: object
    expected: tuple
    company: dict = field(default_factory=dict)


HELD_OUT = {"early_stopping": True, "validation_fraction": 0.3}
WIRES = {
    "modalities": Wire(
        (PARTS, OTHER_PARTS),
        lambda model: [(name, type(encoder), columns) for name, encoder, columns in model.modalities_],
        (
            [("wsi", AttentionMIL, [0]), ("rna", SNN, [1, 2, 3, 4])],
            [("rna", MLP, [1, 2, 3, 4]), ("wsi", AttentionMIL, [0])],
        ),
    ),
    "fusion": Wire((Concat(5), Concat(6)), lambda model: network_of(model).fusion.out_dim, (5, 6)),
    "objective": Wire(
        (DiscreteHazard(3), CoxPH()),
        lambda model: (type(model.objective_), network_of(model).head.out_features),
        ((DiscreteHazard, 3), (CoxPH, 1)),
    ),
    "n_estimators": Wire((1, 3), lambda model: len(model.members), (1, 3)),
    "max_samples": Wire((0.5, 20), lambda model: n_held_out(model)[0], (16, 20), company={"n_estimators": 2}),
    "average_epochs": Wire(
        (True, False),
        lambda model: model.length_shares_.index.tolist() if hasattr(model, "length_shares_") else None,
        ([0, 1, 2, 3, 4, 5, 6], None),
        company={"n_estimators": 2, "max_epochs": 2},
    ),
    # Where a parallel backend of threads is asked for, which spares a start of processes.
    "n_jobs": Wire(
        (1, 2),
        lambda model: watch_of(model).thread == main_thread().ident,
        (True, False),
        company={"n_estimators": 2},
    ),
    "encoders": Wire(
        ({"wsi": {"hidden_dim": 6}}, {"wsi": {"hidden_dim": 7}, "rna": MLP(8)}),
        lambda model: (network_of(model).encoders[0].encoder.score.hidden.in_features, type(model.modalities_[1][1])),
        ((6, SNN), (7, MLP)),
    ),
    "embedding_dim": Wire((4, 8), lambda model: [one.out_dim for one in network_of(model).encoders], ([4, 4], [8, 8])),
    "standardize": Wire(
        (True, False),
        lambda model: [one.standardize is not None for one in network_of(model).encoders],
        ([False, True], [False, False]),
    ),
    "fair_inputs": Wire((True, False), lambda model: network_of(model).encoders[1].encoder[0].scale, (0.5, 1.0)),
    "zero_start": Wire((True, False), lambda model: not watch_of(model).start["head.weight"].any(), (True, False)),
    "normalization": Wire((None, "minmax"), lambda model: network_of(model).normalization, (None, "minmax")),
    "max_epochs": Wire((1, 3), lambda model: model.history_.index.tolist(), ([1], [1, 2, 3])),
    "lr": Wire((0.01, 0.02), in_optimizer("lr", -1), (0.01, 0.02)),
    "attention_lr": Wire((0.5, 2.0), in_optimizer("lr", 0), (0.005, 0.02), company={"lr": 0.01}),
    "batch_size": Wire(
        (10, 13), lambda model: watch_of(model).sizes, ([10, 10, 10], [13, 13, 4]), company={"max_epochs": 1}
    ),
    "max_tiles": Wire((None, 2), lambda model: watch_of(model).training.max_tiles, (None, 2)),
    "precision": Wire(
        ("float32", "bfloat16"), lambda model: network_of(model).encoders[0].encoder.precision, ("float32", "bfloat16")
    ),
    "optimizer": Wire(
        ("sgd", torch.optim.RMSprop),
        lambda model: type(model.net_.optimizer_),
        (torch.optim.SGD, torch.optim.RMSprop),
    ),
    "weight_decay": Wire((0.0, 0.5), in_optimizer("weight_decay"), (0.0, 0.5)),
    "input_noise": Wire((0.25, {"rna": 0.5}), lambda model: network_of(model).input_noise, ([0.25, 0.25], [0.0, 0.5])),
    "modality_dropout": Wire((0.0, 0.5), lambda model: network_of(model).modality_dropout, (0.0, 0.5)),
    "early_stopping": Wire((False, True), n_held_out, ((30, None), (25, 5))),
    "validation_fraction": Wire((0.2, 0.4), n_held_out, ((24, 6), (18, 12)), company={"early_stopping": True}),
    # A loss that stays where it is has improved in the first epoch for the last time.
    "patience": Wire(
        (2, 4), lambda model: len(model.history_), (3, 5), company=HELD_OUT | {"max_epochs": 9, "lr": 1e-30}
    ),
    "gradient_accumulation": Wire((1, 3), lambda model: watch_of(model).n_steps, (8, 4), company={"batch_size": 8}),
    "balance": Wire((False, True), chances, (None, True)),
    "callbacks": Wire(
        ([], [Watch(), ("clip", GradientNormClipping(1e-9))]),
        lambda model: [name for name in callbacks_of(model) if name in ("Watch", "GradientNormClipping")],
        ([], ["Watch", "GradientNormClipping"]),
    ),
    "device": Wire(("cpu", "cpu:0"), lambda model: model.net_.device, ("cpu", "cpu:0")),
    "random_state": Wire((3, 4), lambda model: watch_of(model).seed, (3, 4)),
    "verbose": Wire((False, True), lambda model: "ProgressBar" in callbacks_of(model), (False, True)),
}


def test_every_parameter_has_a_wire():
    # That one must change nothing that is seen of a model, see test_checkpoint.py.
    assert set(WIRES) | {"checkpoint_dir"} == set(signature(FusionSurvivalAnalysis).parameters)


@pytest.mark.parametrize("name", WIRES)
def test_every_parameter_arrives_and_acts(cohort, name, monkeypatch, capfd):
    wire, asked, effects = WIRES[name], set(), []
    move = Batch.to
    monkeypatch.setattr(Batch, "to", lambda batch, device: asked.add(device) or move(batch, device))
    for value, expected in zip(wire.values, wire.expected, strict=True):
        asked.clear()
        with joblib.parallel_config("threading"):
            model = fit(cohort, **wire.company, **{name: value})
        assert wire.seen(model) == expected
        weights = {key: one.tolist() for key, one in network_of(model).state_dict().items()}
        threads = [watch_of(model).thread] if "Watch" in callbacks_of(model) else []
        effects.append((weights, model.history_.to_dict(), capfd.readouterr(), asked.copy(), threads))
    assert effects[0] != effects[1]


@pytest.mark.parametrize("objective", [DiscreteHazard(), CoxPH(), Weibull()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "params", [{"input_noise": 2.0}, {"modality_dropout": 0.9}, {"input_noise": {"wsi": 2.0}}], ids=str
)
def test_noise_and_dropout_change_the_first_loss_already(cohort, objective, params):
    quiet = {"modality_dropout": 0.0, "batch_size": 100, "max_epochs": 1, "objective": objective}
    quiet["zero_start"] = False  # from zero, the first outputs are those of all patients
    losses = [fit(cohort, **(quiet | more)).history_["train_loss"][1] for more in ({}, params)]
    assert losses[0] != losses[1]


def test_the_seed_decides_who_is_held_out(cohort):
    held_out = [
        tuple(watch_of(fit(cohort, random_state=seed, max_epochs=1, **HELD_OUT)).validation.patients.names)
        for seed in (0, 0, 1, 2)
    ]
    assert held_out[0] == held_out[1]
    assert len(set(held_out)) == 3


def test_outputs_start_where_the_objective_says(cohort):
    model = fit(cohort)
    start = watch_of(model).start["head.bias"].numpy()
    assert np.ptp(start) > 0.1
    np.testing.assert_array_equal(start, model.objective_.initial_outputs_.astype(np.float32))


def test_a_fusion_is_told_how_wide_modalities_are_and_which_are_bags(cohort):
    told = []

    class Told(Mean):
        def build(self, dims, bags=()):
            told.append((dims, list(bags)))
            return super().build(dims, bags)

    fit(cohort, fusion=Told())
    assert told == [({"wsi": 8, "rna": 8}, ["wsi"])]


def test_balance_draws_rare_strata_as_often_as_others(make_cohort):
    cohort = make_cohort(n_patients=100, seed=3)
    shares = []
    for balance in (False, True):
        drawn = watch_of(fit(cohort, balance=balance, max_epochs=60, batch_size=100)).strata
        _, counts = np.unique(drawn, axis=0, return_counts=True)
        assert counts.sum() == 60 * 100
        shares.append(counts / counts.sum())
    as_they_are, balanced = shares
    assert as_they_are.max() > 3 * as_they_are.min()
    # The share of a stratum in 6000 draws has a standard deviation of at most 0.0065.
    even = 1 / len(balanced)
    assert np.abs(balanced - even).max() < 4 * np.sqrt(even * (1 - even) / 6000)


class Start(Watch):
    """Also keeps the network before the first step, and the gradients of that step."""

    def on_train_begin(self, net, X, **kwargs):
        super().on_train_begin(net, X, **kwargs)
        self.network = copy.deepcopy(net.module_)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients = {name: weight.grad.clone() for name, weight in named_parameters}


@pytest.mark.parametrize("objective", [DiscreteHazard(), CoxPH(), Weibull()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("batch_size", [7, 30])
def test_the_penalty_of_a_fusion_is_the_mean_over_the_patients_of_a_step(cohort, objective, batch_size):
    parts = [("wsi", AttentionMIL(8, 4, dropout=0.0)), ("rna", SNN(8, dropout=0.0))]
    params = {"modality_dropout": 0.0, "batch_size": batch_size, "gradient_accumulation": 100, "max_epochs": 1}
    model = fit(cohort, modalities=parts, fusion=Mean(0.7), objective=objective, callbacks=[Start()], **params)
    watch, objective = watch_of(model), model.objective_
    network, everyone = watch.network, watch.training.patients.batch(np.arange(N_PATIENTS))
    outputs, penalty = network.outputs_and_penalty(everyone)
    by_penalty = torch.autograd.grad(penalty, network.encoders[1].parameters(), retain_graph=True)
    assert max(one.abs().max() for one in by_penalty) > 1e-2
    (objective.loss(outputs, watch.training.target) + penalty).backward()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(watch.gradients[name], weight.grad, rtol=1e-4, atol=1e-6)
