"""Encoders of numeric modalities: SNN, MLP and Identity."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import MLP, SNN, Identity
from sksurv_mmf.objectives._discrete_hazard import bins_as_questions, discrete_hazard_nll

TOLERANCE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}


def porpoise_snn(arrays, prefix="sd/", n_layers=4, dtype=torch.float64):
    """Our SNN with the authors' weights; its layers are linear, activation, dropout, linear, ..."""
    module = SNN(16, n_layers=n_layers).build(n_features=9, embedding_dim=16).to(dtype)
    module.load_state_dict(weights_of(arrays, prefix, n_layers))
    return module.eval()


def weights_of(arrays, prefix, n_layers):
    return {
        f"{3 * block}.{kind}": torch.as_tensor(arrays[f"{prefix}fc_omic.{block}.0.{kind}"])
        for block in range(n_layers)
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(("precision", "dtype"), [("f64", torch.float64), ("f32", torch.float32)])
def test_snn_equals_porpoise(reference, precision, dtype):
    arrays = reference("porpoise_snn_tiny")
    module = porpoise_snn(arrays, dtype=dtype)
    for patients in ("omic1", "omic7", "omic50", "omicbatch"):
        embedding = module(torch.as_tensor(arrays[f"in/{patients}"]).to(dtype))
        assert_close(embedding, torch.as_tensor(arrays[f"{precision}/{patients}/embedding"]), **TOLERANCE[dtype])


def test_gradients_of_snn_equal_porpoise(reference):
    arrays = reference("porpoise_snn_tiny")
    module, prefix = porpoise_snn(arrays), "grad_batch_a0.15/"
    weight, bias = (torch.as_tensor(arrays[f"sd/classifier.{kind}"]).double() for kind in ("weight", "bias"))
    logits = module(torch.as_tensor(arrays["in/omicbatch"]).double()) @ weight.T + bias
    bin_index = torch.as_tensor(arrays[f"{prefix}y"]).long().flatten()
    event = torch.as_tensor(arrays[f"{prefix}c"]).flatten() == 0
    assert 0 < event.sum() < len(event)
    loss = discrete_hazard_nll(logits, *bins_as_questions(bin_index, event, 4, alpha=0.15)).mean()
    loss.backward()
    assert_close(loss.item(), arrays[f"{prefix}loss"].item(), rtol=1e-10, atol=0)
    for name, expected in weights_of(arrays, prefix, n_layers=4).items():
        assert_close(module.get_parameter(name).grad, expected, rtol=1e-8, atol=1e-12)


def test_snn_of_two_blocks_equals_that_of_porpoise_mmf(reference):
    arrays = reference("porpoise_mmf_concat_tiny")
    module = porpoise_snn(arrays, n_layers=2)
    for n in (1, 7, 50):
        embedding = module(torch.as_tensor(arrays[f"in/omic{n}"]).double())
        assert_close(embedding, torch.as_tensor(arrays[f"f64/concat/bag{n}/h_omic"]), rtol=1e-10, atol=1e-12)


def test_weights_of_snn_have_variance_one_over_fan_in():
    torch.manual_seed(0)
    module = SNN(300, n_layers=2).build(n_features=1000, embedding_dim=200)
    for linear, fan_in in [(module[0], 1000), (module[3], 300)]:
        assert linear.weight.var().item() * fan_in == pytest.approx(1, rel=0.02)
        assert not linear.bias.any()


def test_selu_keeps_mean_and_variance_through_many_layers():
    # What self-normalising means; alpha dropout must not break it.
    torch.manual_seed(0)
    module = SNN(500, n_layers=6, activation="selu", dropout=0.1).build(n_features=500, embedding_dim=500)
    embedding = module(torch.randn(2000, 500)).detach()
    assert embedding.mean().item() == pytest.approx(0, abs=0.1)
    assert embedding.var().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("name", "negative_limit"), [("elu", -1.0), ("selu", -1.7580993)])
def test_activation_of_snn(name, negative_limit):
    module = SNN(n_layers=1, activation=name).build(n_features=1, embedding_dim=1).eval()
    with torch.no_grad():
        module[0].weight.fill_(1)
        assert module(torch.tensor([[-100.0]])).item() == pytest.approx(negative_limit, abs=1e-6)


def test_mlp_equals_the_formula_in_numpy():
    torch.manual_seed(0)
    module = MLP(8, n_layers=3).build(n_features=4, embedding_dim=5).double().eval()
    rows = np.random.default_rng(0).normal(size=(6, 4))
    expected = rows
    for i in (0, 3, 6):
        weight, bias = (getattr(module[i], kind).detach().numpy() for kind in ("weight", "bias"))
        expected = np.maximum(expected @ weight.T + bias, 0)
    assert expected.any()
    assert_close(module(torch.as_tensor(rows)), torch.as_tensor(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("encoder", [SNN(8, dropout=0.5), MLP(8, dropout=0.5)])
def test_dropout_acts_in_training_only(encoder):
    torch.manual_seed(0)
    module = encoder.build(n_features=4, embedding_dim=16)
    rows = torch.randn(5, 4)
    assert not torch.equal(module(rows), module(rows))
    module.eval()
    assert torch.equal(module(rows), module(rows))


def test_identity_passes_features_on_and_says_how_many():
    module = Identity().build(n_features=3, embedding_dim=16)
    rows = torch.randn(2, 3)
    assert module(rows) is rows
    assert module.out_dim == 3
    assert not list(module.parameters())
