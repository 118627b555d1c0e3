"""Encoders, fusions and callbacks of the user's own that cannot work are named."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import PackedBags
from sksurv_mmf.encoders import SNN, AttentionMIL, Encoder
from sksurv_mmf.fusions import Fusion, Mean
from sksurv_mmf.objectives import DiscreteHazard

WIDTH = 4


class Module(nn.Module):
    def __init__(self, layer, function, out_dim):
        super().__init__()
        self.layer, self.function = layer, function
        if out_dim is not None:
            self.out_dim = out_dim

    def forward(self, *inputs):
        return self.function(*map(self.layer, inputs)) if len(inputs) == 1 else self.function(*inputs)


class OwnEncoder(Encoder):
    reads = "vector"

    def __init__(self, function=None, out_dim=WIDTH):
        self.function = function
        self.out_dim = out_dim

    def build(self, n_features, embedding_dim):
        return Module(nn.Linear(n_features, embedding_dim), self.function, self.out_dim)


class OwnFusion(Fusion):
    def __init__(self, function=None, out_dim=WIDTH):
        self.function = function
        self.out_dim = out_dim

    def build(self, dims, bags=()):
        return Module(None, self.function, self.out_dim)


class WithoutReads(OwnEncoder):
    reads = None


def fit(cohort, encoder=None, **params):
    modalities = [("wsi", AttentionMIL(4, 4)), ("rna", encoder or SNN(4))]
    settings = {"n_estimators": 1, "embedding_dim": WIDTH, "max_epochs": 1, "batch_size": 8, "device": "cpu"}
    return FusionSurvivalAnalysis(modalities, random_state=0, **(settings | params)).fit(cohort.X, cohort.y)


def as_it_is(vectors):
    return vectors


def tokens(vectors):
    return PackedBags(vectors, (1,) * len(vectors))


@pytest.mark.parametrize("function", [as_it_is, tokens])
@pytest.mark.parametrize("width", [WIDTH, np.int64(WIDTH)])
def test_parts_that_keep_their_promise_are_taken(function, width, cohort):
    fit(cohort, OwnEncoder(function, width), fusion=OwnFusion(lambda vectors, present: [sum(vectors), None], width))


@pytest.mark.parametrize("width", [None, "4", 4.0, True, 0, torch.tensor(4)])
def test_a_module_must_say_its_width(width, cohort):
    message = r"Module has (no )?out_dim.*set module\.out_dim to a whole number"
    with pytest.raises(ValueError, match=message):
        fit(cohort, OwnEncoder(as_it_is, width))
    with pytest.raises(ValueError, match=message):
        fit(cohort, fusion=OwnFusion(None, width))


@pytest.mark.parametrize("fusion", [None, Mean()])
@pytest.mark.parametrize(
    ("function", "returned"),
    [
        (lambda vectors: vectors[:, :1], r"a tensor of shape \(8, 1\)"),
        (lambda vectors: vectors[:, 0], r"a tensor of shape \(8,\)"),
        (lambda vectors: vectors.mean(0, keepdim=True), r"a tensor of shape \(1, 4\)"),
        (lambda vectors: (vectors, None), "a tuple"),
        (lambda vectors: vectors.detach().numpy(), "a ndarray"),
        (lambda vectors: PackedBags(vectors, (len(vectors),)), r"a tensor of shape \(8, 4\) for 1 patients"),
        (lambda vectors: PackedBags(vectors[:, :2], (1,) * len(vectors)), r"a tensor of shape \(8, 2\) for 8 patients"),
    ],
)
def test_an_encoder_must_return_a_vector_of_its_width_for_each_patient(function, returned, fusion, cohort):
    with pytest.raises(ValueError, match=rf"module Module was given 8 patients and returned {returned}\. Expected"):
        fit(cohort, OwnEncoder(function), fusion=fusion)


@pytest.mark.parametrize(
    ("function", "returned"),
    [
        (lambda vectors, present: sum(vectors), r"a tensor of shape \(8, 4\)"),
        (lambda vectors, present: (sum(vectors)[:, :1], None), r"a tensor of shape \(8, 1\) first"),
        (lambda vectors, present: (None, sum(vectors)), "a NoneType first"),
        (lambda vectors, present: (sum(vectors),), "a tuple"),
    ],
)
def test_a_fusion_must_return_a_vector_of_its_width_and_weights(function, returned, cohort):
    with pytest.raises(ValueError, match=rf"fusion's module Module was given 8 patients and returned {returned}\. Exp"):
        fit(cohort, fusion=OwnFusion(function))


def test_an_encoder_that_does_not_say_what_it_reads(cohort):
    with pytest.raises(ValueError, match=r"WithoutReads\.reads must be 'bag' or 'vector', got None"):
        fit(cohort, WithoutReads(as_it_is))


CALLBACKS = [EarlyStopping(), ("stop", EarlyStopping(patience=2)), Checkpoint(), LRScheduler(monitor="valid_loss")]


@pytest.mark.parametrize("callback", CALLBACKS, ids=lambda one: type(one).__name__)
def test_a_callback_that_monitors_validation_needs_validation_patients(callback, cohort, tmp_path):
    name = type(callback[1] if isinstance(callback, tuple) else callback).__name__
    with pytest.raises(
        ValueError, match=rf"{name} monitors 'valid_loss.*early_stopping=True.*{name}\(monitor='train_loss"
    ):
        fit(cohort, callbacks=[callback])


class RecordsOwnScore(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("valid_auc", 0.5)


def test_callbacks_that_can_work_do(cohort):
    silent = {"sink": lambda text: None}
    fit(cohort, callbacks=[RecordsOwnScore(), EarlyStopping("valid_auc", **silent)])
    assert "valid_loss" in fit(cohort, callbacks=[EarlyStopping(**silent)], early_stopping=True).history_
    fit(cohort, callbacks=[EarlyStopping("train_loss", **silent)])


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(monitor="train_acc"),
        Checkpoint(monitor="train_acc_best"),
        LRScheduler("ReduceLROnPlateau", monitor="train_acc"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_callback_that_monitors_what_nobody_records(callback, cohort):
    score = EpochScoring(lambda net, X, y: 1.0, name="train_acc", on_train=True, use_caching=False)
    for callbacks in ([callback], [callback, score]):
        with pytest.raises(
            ValueError, match=f"{type(callback).__name__} monitors 'train_acc.* are 'epoch'.*'train_loss'"
        ):
            FusionSurvivalAnalysis(callbacks=callbacks, embedding_dim=4, n_estimators=1, max_epochs=1).fit(
                cohort.X, cohort.y
            )


def test_a_callback_may_monitor_what_another_one_records(cohort):
    score = EpochScoring(lambda net, X, y: 1.0, name="train_acc", on_train=True, use_caching=False)
    callbacks = [score, EarlyStopping(monitor="train_acc", patience=2)]
    model = FusionSurvivalAnalysis(callbacks=callbacks, embedding_dim=4, n_estimators=1, max_epochs=9).fit(
        cohort.X, cohort.y
    )
    assert len(model.history_) == 3


class WithAttention(AttentionMIL):
    """An encoder whose module says how much tiles weigh by `attend`, or does not say it."""

    def __init__(self, attend=None):
        super().__init__(4, 4)
        self.attend = attend

    def build(self, n_features, embedding_dim):
        module = super().build(n_features, embedding_dim)
        module.attention = self.attend
        return module


@pytest.mark.parametrize(
    ("attend", "found"),
    [
        (None, "has no method `attention`"),
        (lambda bags: torch.ones(len(bags)), r"returned a tensor of shape \(30,\) from `attention`"),
        (lambda bags: None, "returned a NoneType from `attention`"),
    ],
)
def test_an_encoder_that_has_attention_must_say_the_weight_of_each_tile(attend, found, cohort):
    modalities = [("wsi", WithAttention(attend)), ("rna", SNN(4))]
    model = FusionSurvivalAnalysis(modalities, embedding_dim=WIDTH, n_estimators=1, max_epochs=1, device="cpu").fit(
        cohort.X, cohort.y
    )
    with pytest.raises(ValueError, match=rf"{found}\. .* one weight per tile"):
        model.tile_attention(cohort.X)


class WeighsNothing(OwnFusion):
    has_attention = True


@pytest.mark.parametrize("weights", [None, torch.ones(30)])
def test_a_fusion_that_has_attention_must_say_the_weight_of_each_modality(weights, cohort):
    model = fit(cohort, fusion=WeighsNothing(lambda vectors, present: (sum(vectors), weights)))
    with pytest.raises(ValueError, match=r"module Module returned a .* for weights.*shape \(30, 2\)"):
        model.modality_attention(cohort.X)


class ReadsToken(OwnFusion):
    reads = "token"


def test_what_a_fusion_reads_is_one_of_two(cohort):
    with pytest.raises(ValueError, match=r"ReadsToken\.reads must be 'vectors' or 'tokens', got 'token'"):
        fit(cohort, fusion=ReadsToken())


class LossOfEach(DiscreteHazard):
    def loss(self, outputs, target):
        return super().loss(outputs, target).expand(len(outputs))


def test_a_loss_is_one_number(cohort):
    with pytest.raises(ValueError, match=r"LossOfEach.loss must return one number.*shape \(8,\)"):
        fit(cohort, objective=LossOfEach())
