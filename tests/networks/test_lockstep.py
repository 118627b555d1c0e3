"""Networks that compute at once compute what each would compute alone."""

import numpy as np
import pytest
import torch
from members import DESIGNS, ENCODERS, OBJECTIVES, Own, assert_same_weights, name_of, network, opened
from sklearn.base import clone
from torch import nn
from torch.testing import assert_close

from sksurv_mmf.encoders import SNN, AttentionMIL, MeanMIL, TransformerMIL
from sksurv_mmf.fusions import CoAttention, CrossModalAttention, Mean, SurvPath
from sksurv_mmf.layers._lockstep import Randomness
from sksurv_mmf.networks._lockstep import Lockstep, knows_lockstep, shape_of_network
from sksurv_mmf.networks._recipe import fit_network
from sksurv_mmf.training._lockstep import Targets

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
NOISY = {"modality_dropout": 0.3, "input_noise": 0.2}
NORMALIZED = {"minmax": {"normalization": "minmax"}, "layer": {"normalization": "layer"}, "none": {}}


def networks_of(fit, n_members=3):
    """Networks with weights of their own, everywhere."""
    made = []
    for k in range(n_members):
        torch.manual_seed(k)
        objective = clone(fit.recipe.objective).fit(*fit.outcome)
        made.append((fit_network(fit.recipe, objective, fit.patients)[0], objective))
        for weight in made[-1][0].parameters():
            nn.init.normal_(weight, std=0.3)
    return zip(*made)


def gradients(networks, objectives, samples, fit, generators):
    """Outputs of networks in lockstep, and the gradients of the sum of their losses."""
    members, rows = Lockstep(list(networks)), np.arange(len(fit.patients))
    outputs = members.outputs(fit.patients.batch(rows), Randomness(generators))
    Targets(list(objectives), samples, fit.outcome).loss(outputs, rows, rows).sum().backward()
    return outputs.detach(), {name: one.grad for name, one in members.parameters_by_name().items()}


def generator(k):
    return torch.Generator().manual_seed(k)


@pytest.mark.parametrize("design", DESIGNS, ids=name_of)
def test_members_at_once_are_members_alone(make_cohort, design):
    cohort = make_cohort(n_patients=24)
    samples = np.random.default_rng(0).random((2, 24)) < 0.8
    for objective in OBJECTIVES:
        fit = opened(network(*design, objective, **NOISY), cohort, missing=True)
        networks, objectives = networks_of(fit, 2)
        if not knows_lockstep(networks[0]):
            return
        together, slopes = gradients(networks, objectives, samples, fit, [generator(k) for k in range(2)])
        assert not torch.allclose(together[0], together[1], rtol=0.01)
        for k in range(2):
            alone, slope = gradients(
                networks[k : k + 1], objectives[k : k + 1], samples[k : k + 1], fit, [generator(k)]
            )
            assert_close(together[k], alone[0], **CLOSE)
            assert_same_weights(
                {name: one[k] for name, one in slopes.items()}, {n: s[0] for n, s in slope.items()}, **CLOSE
            )


@pytest.mark.parametrize("design", DESIGNS, ids=name_of)
def test_outside_training_members_are_the_networks(cohort, design):
    fit = opened(network(*design, **NOISY), cohort, missing=True)
    networks, _ = networks_of(fit)
    if not knows_lockstep(networks[0]):
        return
    batch = fit.patients.batch(np.arange(30))
    with torch.no_grad():
        outputs = Lockstep(list(networks)).outputs(batch)
        for one, network_ in zip(outputs, networks):
            assert_close(one, network_.eval()(batch), **CLOSE)


@pytest.mark.parametrize("settings", NORMALIZED.values(), ids=NORMALIZED)
def test_normalisations(cohort, settings):
    fit = opened(network(AttentionMIL(6, 4), **settings, **NOISY), cohort, missing=True)
    networks, objectives = networks_of(fit)
    samples = np.ones((3, 30), dtype=bool)
    together, slopes = gradients(networks, objectives, samples, fit, [generator(k) for k in range(3)])
    for k in range(3):
        alone, slope = gradients(networks[k : k + 1], objectives[k : k + 1], samples[:1], fit, [generator(k)])
        assert_close(together[k], alone[0], **CLOSE)
        assert_same_weights({n: s[k] for n, s in slopes.items()}, {n: s[0] for n, s in slope.items()}, **CLOSE)


def test_many_tiles_take_the_pooling_with_its_own_gradient(make_cohort, monkeypatch):
    """Few tiles are pooled by one matrix, many by a gradient that is written by hand."""
    monkeypatch.setattr("sksurv_mmf.encoders._attention_mil.CHUNK", 10)
    cohort = make_cohort(n_patients=24)
    fit = opened(network(AttentionMIL(6, 4, dropout=0.0), modality_dropout=0.0), cohort)
    networks, objectives = networks_of(fit)
    samples = np.ones((3, 24), dtype=bool)
    by_hand = gradients(networks, objectives, samples, fit, [generator(k) for k in range(3)])
    monkeypatch.setattr("sksurv_mmf.encoders._attention_mil.CHUNK", 10**6)
    by_torch = gradients(networks, objectives, samples, fit, [generator(k) for k in range(3)])
    assert_close(by_hand[0], by_torch[0], **CLOSE)
    assert_same_weights(by_hand[1], by_torch[1], rtol=1e-4, atol=1e-6)
    noisy = opened(network(AttentionMIL(6, 4, dropout=0.4, input_dropout=0.2), **NOISY), cohort)
    networks, objectives = networks_of(noisy)
    monkeypatch.setattr("sksurv_mmf.encoders._attention_mil.CHUNK", 10)
    together, _ = gradients(networks, objectives, samples, noisy, [generator(k) for k in range(3)])
    for k in range(3):
        alone, _ = gradients(networks[k : k + 1], objectives[k : k + 1], samples[:1], noisy, [generator(k)])
        assert_close(together[k], alone[0], **CLOSE)


def test_a_snapshot_is_a_copy_that_a_network_loads(cohort):
    fit = opened(network(AttentionMIL(6, 4)), cohort)
    networks, _ = networks_of(fit)
    members = Lockstep(list(networks))
    kept = members.snapshot()
    with torch.no_grad():
        for weight in members.parameters_by_name().values():
            weight.add_(1)
    for one, network_ in zip(kept, networks, strict=True):
        assert_same_weights(one, network_.state_dict(), rtol=0, atol=0)
        network_.load_state_dict(one)
    for one, network_ in zip(members.snapshot(), networks):
        moved = {name for name, weight in network_.named_parameters() if torch.equal(weight + 1, one[name])}
        assert moved == {name for name, _ in network_.named_parameters()}


def test_the_networks_of_one_group_have_one_shape(cohort):
    shapes = []
    for objective in (OBJECTIVES[0], OBJECTIVES[0], OBJECTIVES[3]):
        networks, _ = networks_of(opened(network(objective=objective), cohort), 1)
        shapes.append(shape_of_network(networks[0]))
    assert shapes[0] == shapes[1]
    assert shapes[0] != shapes[2]


KNOW = {
    "default": (AttentionMIL(6, 4), SNN(6), CrossModalAttention(hidden_dim=4), True),
    "transformer of tokens": (MeanMIL(6), SNN(6), SurvPath(n_heads=2, hidden_dim=6), True),
    "transformer of tiles": (TransformerMIL(8, n_heads=2), SNN(6), Mean(), False),
    "batch normalisation": (AttentionMIL(6, 4, batch_norm=True), SNN(6), Mean(), False),
    "torch's attention": (MeanMIL(6), SNN(6), CoAttention(n_heads=2, n_layers=1, hidden_dim=6), False),
    "a penalty": (MeanMIL(6), SNN(6), Mean(similarity=0.3), False),
    "a module of the user's": (MeanMIL(6), Own(), Mean(), False),
}


@pytest.mark.parametrize("name", KNOW)
def test_who_knows(cohort, name):
    *design, knows = KNOW[name]
    networks, _ = networks_of(opened(network(*design), cohort), 1)
    assert knows_lockstep(networks[0]) == knows


def test_most_designs_know(cohort):
    knowing = [knows_lockstep(next(networks_of(opened(network(*one), cohort), 1))[0]) for one in ENCODERS]
    assert sum(knowing) == len(ENCODERS) - 2  # all but batch normalisation and TransformerMIL
