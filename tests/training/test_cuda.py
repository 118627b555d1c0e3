"""The same model on a GPU. These tests need one; everything else runs without."""

import numpy as np
import pytest
import torch

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.layers._packed_bags import PackedBags
from sksurv_mmf.patients import _transfer

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def cohort():
    return make_multimodal_survival(n_patients=40, n_genes=10, n_tiles=(3, 9), missing=0.2, random_state=0)


def small_model(device, dropout):
    encoders = [("wsi", AttentionMIL(16, 8, dropout=dropout)), ("rna", SNN(8, dropout=dropout))]
    return FusionSurvivalAnalysis(
        encoders, n_estimators=1, max_epochs=3, embedding_dim=8, device=device, random_state=0
    )


def test_without_dropout_a_gpu_trains_the_model_of_the_cpu(cohort):
    # Initial weights and the order of patients come from the CPU's generator on both devices.
    on_cpu, on_gpu = (small_model(device, 0.0).fit(cohort.X, cohort.y) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu.predict(cohort.X), on_cpu.predict(cohort.X), rtol=1e-3)
    np.testing.assert_allclose(
        on_gpu.modality_attention(cohort.X), on_cpu.modality_attention(cohort.X), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(on_gpu.tile_attention(cohort.X), on_cpu.tile_attention(cohort.X), rtol=1e-3, atol=1e-4)


def test_global_state_of_the_gpu_is_left_alone(cohort):
    torch.cuda.manual_seed(123)
    before = torch.cuda.get_rng_state()
    small_model("cuda", 0.25).fit(cohort.X, cohort.y)
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_auto_takes_the_gpu(cohort):
    assert small_model("auto", 0.0).fit(cohort.X, cohort.y).net_.device == "cuda"


def test_the_gradient_that_is_written_by_hand_on_the_cpu_is_that_of_the_gpu():
    torch.manual_seed(0)
    module = AttentionMIL(8, 4, dropout=0.0).build(5, 8).double().train()
    bags = PackedBags(torch.randn(40, 5, dtype=torch.float64), (7, 1, 32))
    found = []
    for device in ("cpu", "cuda"):
        module.to(device).zero_grad()
        module(PackedBags(bags.values.to(device), bags.lengths)).square().sum().backward()
        found.append({name: one.grad.cpu() for name, one in module.named_parameters()})
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_what_is_sent_ahead_is_what_is_kept_there(cohort, monkeypatch, n_estimators):
    risks = []
    for share in (1.0, 0.0):
        monkeypatch.setattr(_transfer, "SHARE", share)
        model = small_model("cuda", 0.25).set_params(n_estimators=n_estimators)
        risks.append(model.fit(cohort.X, cohort.y).predict(cohort.X))
    np.testing.assert_array_equal(*risks)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_rounded_products_train_a_similar_model(cohort, n_estimators):
    def risk(precision):
        model = small_model("cuda", 0.25).set_params(n_estimators=n_estimators, precision=precision)
        return model.fit(cohort.X, cohort.y).predict(cohort.X)

    rounded, usual = risk("bfloat16"), risk("float32")
    assert not np.array_equal(rounded, usual)
    np.testing.assert_allclose(rounded, usual, rtol=0.05, atol=0.05)
