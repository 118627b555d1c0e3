import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.testing import assert_close

from sksurv_mmf.cohort._columns import describe, infer_columns
from sksurv_mmf.cohort._reading import read_patients
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.fusions import CrossModalAttention
from sksurv_mmf.networks._inference import infer
from sksurv_mmf.networks._modality_encoder import ModalityEncoder
from sksurv_mmf.networks._network import FusionNetwork
from sksurv_mmf.objectives import CoxPH, DiscreteHazard
from sksurv_mmf.training._batches import batches_of
from sksurv_mmf.training._net import train
from sksurv_mmf.utils._torch_state import tiny_numbers_as_zero

EXACT = {"rtol": 0, "atol": 0}


class Counter(Callback):
    """Counts optimizer steps and keeps the gradients of each."""

    def initialize(self):
        self.gradients = []
        return self

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients.append(
            {name: weight.grad.clone() for name, weight in named_parameters if weight.grad is not None}
        )


def prepare(cohort, objective=None):
    event, time = cohort.y["event"], cohort.y["time"]
    objective = (DiscreteHazard() if objective is None else objective).fit(event, time)
    layout = describe(cohort.X, infer_columns(cohort.X))
    return objective, read_patients(cohort.X, layout), objective.encode(event, time)


def build(dropout=0.0, batch_norm=False, n_outputs=4, input_noise=0.0):
    torch.manual_seed(0)
    encoders = [
        AttentionMIL(8, 4, dropout=dropout, batch_norm=batch_norm).build(5, 8),
        SNN(8, dropout=dropout).build(4, 8),
    ]
    return FusionNetwork(
        [ModalityEncoder(None, one) for one in encoders],
        CrossModalAttention(hidden_dim=4).build({"wsi": 8, "rna": 8}),
        n_outputs=n_outputs,
        input_noise=[input_noise, input_noise],
        normalization="minmax",
        modality_dropout=0.0,
    )


def fit(
    cohort,
    network=None,
    optimizer="sgd",
    weight_decay=0.0,
    lr=0.5,
    objective=None,
    rows=None,
    validation_rows=None,
    batch_size=4,
    gradient_accumulation=1,
    weights=None,
    **params,
):
    """Train a small network; returns the net."""
    objective, patients, target = prepare(cohort, objective)
    settings = {"patience": 5, "callbacks": [], "verbose": False, "max_epochs": 2, "optimizer": optimizer, "lr": lr}
    recipe = SimpleNamespace(weight_decay=weight_decay, **({"attention_lr": 1.0} | settings | params))
    network = build() if network is None else network
    torch.manual_seed(1)

    def batches(rows, *args, **kwargs):
        return batches_of(objective, patients.select(rows), tuple(one[rows] for one in target), *args, **kwargs)

    rows = np.arange(len(patients)) if rows is None else rows
    training = batches(rows, batch_size, gradient_accumulation, weights)
    validation = None
    if validation_rows is not None:
        validation = batches(validation_rows, batch_size, len(validation_rows), shuffle=False)
    return train(network, objective, training, validation, recipe, "cpu")


def weights_of(net):
    return dict(net.module_.state_dict())


def outputs_of(net, cohort):
    _, patients, _ = prepare(cohort)
    return torch.cat(infer(net.module_, patients, "cpu", lambda network, batch: network(batch)))


def mean_loss(net, cohort, rows):
    objective, _, target = prepare(cohort)
    outputs = outputs_of(net, cohort)
    return objective.loss(outputs[rows], tuple(one[rows] for one in target)).item()


class TestSteps:
    @pytest.mark.parametrize("window", [2, 4, 7, 30, 100])
    def test_accumulation_over_single_patients_equals_large_batches(self, cohort, window):
        accumulated = fit(cohort, batch_size=1, gradient_accumulation=window)
        large = fit(cohort, batch_size=window)
        assert_close(weights_of(accumulated), weights_of(large), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(weights_of(large)["head.weight"], build().head.weight, atol=1e-3)

    @pytest.mark.parametrize(
        ("batch_size", "window", "n_steps"), [(1, 4, 8), (4, 1, 8), (7, 2, 3), (30, 1, 1), (1, 50, 1)]
    )
    def test_the_last_partial_window_is_stepped(self, cohort, batch_size, window, n_steps):
        counter = Counter()
        fit(cohort, batch_size=batch_size, gradient_accumulation=window, callbacks=[counter], max_epochs=3)
        assert len(counter.gradients) == 3 * n_steps

    def test_gradient_of_a_step_is_that_of_the_mean_loss_of_its_patients(self, cohort):
        counter, network = Counter(), build()
        before = copy.deepcopy(network)
        fit(cohort, network, batch_size=4, gradient_accumulation=100, callbacks=[counter], max_epochs=1)
        objective, patients, target = prepare(cohort)
        rows = np.arange(len(patients))
        objective.loss(before(patients.batch(rows)), target).backward()
        for name, weight in before.named_parameters():
            assert_close(counter.gradients[0][name], weight.grad, rtol=1e-4, atol=1e-6)

    def test_one_step_of_gradient_descent(self, cohort):
        counter, network = Counter(), build()
        before = copy.deepcopy(network.state_dict())
        net = fit(cohort, network, batch_size=100, callbacks=[counter], max_epochs=1, lr=0.1)
        for name, gradient in counter.gradients[0].items():
            assert_close(weights_of(net)[name], before[name] - 0.1 * gradient)

    def test_weight_decay_reaches_the_optimizer(self, cohort):
        counter, network = Counter(), build()
        before = copy.deepcopy(network.state_dict())
        params = {"batch_size": 100, "max_epochs": 1, "lr": 0.1, "weight_decay": 0.5}
        net = fit(cohort, network, callbacks=[counter], **params)
        for name, gradient in counter.gradients[0].items():
            assert_close(weights_of(net)[name], before[name] - 0.1 * (gradient + 0.5 * before[name]))

    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop, torch.optim.Adam])
    def test_every_optimizer_lowers_the_loss(self, cohort, optimizer):
        rows = np.arange(len(cohort.X))
        net = fit(cohort, optimizer=optimizer, lr=0.01, max_epochs=10)
        assert mean_loss(net, cohort, rows) < net.history[0, "train_loss"] - 0.02

    def test_a_class_of_optimizer_does_what_its_name_does(self, cohort):
        by_name, by_class = (fit(cohort, optimizer=one, lr=0.01) for one in ("adam", torch.optim.Adam))
        # Not the weights: the softmax ignores the bias of a score, so that Adam moves it by rounding errors alone.
        assert_close(outputs_of(by_class, cohort), outputs_of(by_name, cohort), rtol=1e-3, atol=1e-4)

    def test_train_loss_is_the_mean_over_patients_not_over_batches(self, cohort):
        # No step changes the weights, so that each epoch reports the loss of the first network.
        net = fit(cohort, lr=1e-30, batch_size=29)
        rows = np.arange(len(cohort.X))
        assert net.history[0, "train_loss"] == pytest.approx(mean_loss(net, cohort, rows), rel=1e-5)


class Passes:
    """Keeps what a network puts out in training and which values its dropout layers drop."""

    def __init__(self, network):
        self.outputs, self.masks = [], []
        network.head.register_forward_hook(lambda module, args, output: self.keep(module, output))
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout | torch.nn.AlphaDropout):
                layer.register_forward_hook(lambda module, args, output: self.masks.append(output == args[0]))

    def keep(self, head, output):
        if head.training:
            self.outputs.append(output.detach().clone())


class TestJointLoss:
    """Steps of a loss that does not decompose over patients."""

    def fit(self, cohort, network=None, **params):
        return fit(cohort, build(n_outputs=1) if network is None else network, objective=CoxPH(), **params)

    @pytest.mark.parametrize("batch_size", [1, 4, 7, 29, 30])
    def test_gradient_is_that_of_all_patients_of_the_step_at_once(self, cohort, batch_size):
        counter, network = Counter(), build(n_outputs=1)
        before = copy.deepcopy(network)
        net = self.fit(
            cohort, network, batch_size=batch_size, gradient_accumulation=30, callbacks=[counter], max_epochs=1
        )
        objective, patients, target = prepare(cohort, CoxPH())
        rows = np.arange(len(patients))
        loss = objective.loss(before(patients.batch(rows)), target)
        loss.backward()
        (gradients,) = counter.gradients
        assert net.history[0, "train_loss"] == pytest.approx(loss.item(), rel=1e-6)
        for name, weight in before.named_parameters():
            assert_close(gradients[name], weight.grad, rtol=1e-5, atol=1e-7)
        assert gradients["head.weight"].abs().max() > 1e-3

    def test_batches_of_one_step_are_one_risk_set_and_other_steps_are_not(self, cohort):
        accumulated = self.fit(cohort, batch_size=2, gradient_accumulation=5)
        large = self.fit(cohort, batch_size=10)
        assert_close(weights_of(accumulated), weights_of(large), rtol=1e-4, atol=1e-6)
        separate = self.fit(cohort, batch_size=2)
        assert not torch.allclose(weights_of(separate)["head.weight"], weights_of(large)["head.weight"], atol=1e-3)

    def test_both_passes_drop_the_same(self, cohort):
        network = build(dropout=0.5, n_outputs=1, input_noise=0.5)
        passes = Passes(network)
        self.fit(cohort, network, batch_size=4, gradient_accumulation=8, lr=1e-30)
        for kept in (passes.outputs, passes.masks):
            epochs = len(kept) // 2
            for epoch in (kept[:epochs], kept[epochs:]):
                first, second = epoch[: len(epoch) // 2], epoch[len(epoch) // 2 :]
                assert len(first) >= 8
                assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        dropped = [mask for mask in passes.masks if not mask.all()]
        assert len(dropped) > len(passes.masks) / 2

    def test_random_states_and_batch_statistics_move_once(self, cohort):
        network = build(dropout=0.5, batch_norm=True, n_outputs=1, input_noise=0.5)
        single = copy.deepcopy(network)
        self.fit(cohort, network, batch_size=6, gradient_accumulation=5, lr=1e-30, max_epochs=1)
        random_state = torch.get_rng_state()
        # The same patients in the same order, without the first pass.
        torch.manual_seed(1)
        _, patients, _ = prepare(cohort, CoxPH())
        order = torch.randperm(len(patients)).numpy()
        for start in range(0, len(order), 6):
            single.train()(patients.batch(order[start : start + 6]))
        assert torch.equal(random_state, torch.get_rng_state())
        buffers = dict(network.named_buffers())
        assert any("running_mean" in name for name in buffers)
        assert_close(buffers, dict(single.named_buffers()), rtol=1e-6, atol=1e-7)

    def test_patients_held_out_are_one_risk_set(self, cohort):
        rows, held_out = np.arange(15), np.arange(15, 30)
        net = self.fit(cohort, rows=rows, validation_rows=held_out, batch_size=2, max_epochs=1)
        objective, patients, target = prepare(cohort, CoxPH())
        outputs = torch.cat(infer(net.module_, patients, "cpu", lambda network, batch: network(batch)))
        expected = objective.loss(outputs[held_out], tuple(one[held_out] for one in target)).item()
        assert net.history[0, "valid_loss"] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("batch_size", [1, 2, 3])
    def test_every_step_moves_the_weights_however_small_it_is(self, cohort, batch_size):
        counter = Counter()
        self.fit(cohort, batch_size=batch_size, callbacks=[counter], lr=1e-6)
        assert len(counter.gradients) > 10
        for gradients in counter.gradients:
            assert gradients["head.weight"].abs().max() > 1e-4

    def test_it_learns_from_full_risk_sets(self, cohort):
        net = self.fit(cohort, batch_size=4, gradient_accumulation=10**6, optimizer="adam", lr=0.02, max_epochs=20)
        losses = net.history[:, "train_loss"]
        assert len(losses) == 20
        assert losses[-1] < losses[0] - 0.2

    @pytest.mark.parametrize("which", ["rows", "validation_rows"])
    def test_patients_who_teach_nothing_are_refused(self, cohort, which):
        censored = np.flatnonzero(~cohort.y["event"])
        params = {"rows": np.arange(30), "validation_rows": np.arange(30), which: censored}
        with pytest.raises(ValueError, match=rf"None of {len(censored)} patients to train or validate on has an event"):
            self.fit(cohort, **params)


class TestEarlyStopping:
    rows, held_out = np.arange(20), np.arange(20, 30)

    def fit(self, cohort, **params):
        params = {"rows": self.rows, "validation_rows": self.held_out, "optimizer": "adam", "lr": 0.05, **params}
        return fit(cohort, **params)

    def test_it_stops_and_restores_the_best_weights(self, cohort):
        net = self.fit(cohort, max_epochs=60, patience=4)
        losses = np.array(net.history[:, "valid_loss"])
        assert 5 <= len(losses) < 60
        best = losses.argmin()
        assert best < len(losses) - 1
        assert losses[-1] > losses[best] * 1.01
        # Improvements of less than 1e-4 do not count.
        assert mean_loss(net, cohort, self.held_out) == pytest.approx(losses[best], rel=2e-4)

    def test_best_weights_are_restored_if_the_last_epoch_comes_first(self, cohort):
        net = self.fit(cohort, max_epochs=25, patience=100)
        losses = np.array(net.history[:, "valid_loss"])
        assert len(losses) == 25
        assert losses[-1] > losses.min() * 1.01
        assert mean_loss(net, cohort, self.held_out) == pytest.approx(losses.min(), rel=2e-4)

    def test_held_out_patients_give_no_gradient_and_no_batch_statistics(self, cohort):
        def weights_with(change):
            X = cohort.X.copy()
            change(X)
            changed = type(cohort)(X=X, y=cohort.y)
            net = self.fit(changed, network=build(dropout=0.3, batch_norm=True), max_epochs=1)
            return weights_of(net), net.history[0, "valid_loss"]

        def change_genes_and_bags(rows):
            def change(X):
                X.iloc[rows, 1:] += 3.0
                X.iloc[rows, 0] = X.iloc[rows, 0].iloc[::-1].array

            return change

        before, loss = weights_with(lambda X: None)
        after, other_loss = weights_with(change_genes_and_bags(self.held_out))
        assert_close(after, before, **EXACT)
        assert other_loss != loss
        after, _ = weights_with(change_genes_and_bags(self.rows))
        assert not torch.equal(after["head.weight"], before["head.weight"])

    def test_validation_draws_no_random_number(self, cohort):
        params = {"max_epochs": 3, "patience": 100}
        nets = [
            self.fit(cohort, network=build(dropout=0.5), **params, **more) for more in ({}, {"validation_rows": None})
        ]
        assert nets[0].history[:, "train_loss"] == nets[1].history[:, "train_loss"]

    def test_valid_loss_is_computed_without_dropout(self, cohort):
        net = self.fit(cohort, network=build(dropout=0.5), max_epochs=1)
        assert net.history[0, "valid_loss"] == pytest.approx(mean_loss(net, cohort, self.held_out), rel=1e-5)


class TestSmallest:
    @pytest.mark.parametrize("batch_norm", [True, False])
    @pytest.mark.parametrize("batch_size", [1, 7])
    def test_bags_of_one_tile(self, cohort, batch_norm, batch_size):
        cohort.X["wsi__tiles"] = type(cohort.X["wsi__tiles"].array)(
            [bag.features[:1] for bag in cohort.X["wsi__tiles"]]
        )
        net = fit(cohort, build(dropout=0.2, batch_norm=batch_norm), batch_size=batch_size)
        assert all(torch.isfinite(value).all() for value in weights_of(net).values())
        assert np.isfinite(net.history[:, "train_loss"]).all()


class TestPrediction:
    def test_it_needs_no_gradient_and_leaves_the_network_in_eval_mode(self, cohort):
        net = fit(cohort, build(dropout=0.5))
        outputs = outputs_of(net, cohort)
        assert not outputs.requires_grad
        assert not net.module_.training
        assert_close(outputs_of(net, cohort), outputs, **EXACT)


class TestTinyNumbers:
    tiny = torch.tensor(torch.finfo(torch.float32).tiny)

    def test_zero_within_and_kept_outside(self):
        assert self.tiny / 2 != 0
        with tiny_numbers_as_zero():
            assert self.tiny / 2 == 0
            with tiny_numbers_as_zero():
                pass
            assert self.tiny / 2 == 0
        assert self.tiny / 2 != 0

    def test_kept_after_training_that_fails(self, cohort):
        class Fails(Callback):
            def on_epoch_end(self, net, **kwargs):
                assert TestTinyNumbers.tiny / 2 == 0
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fit(cohort, callbacks=[Fails()])
        assert self.tiny / 2 != 0
