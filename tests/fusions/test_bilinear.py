import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sksurv_mmf.fusions import Bilinear
from sksurv_mmf.fusions._bilinear import kronecker
from sksurv_mmf.objectives._discrete_hazard import bins_as_questions, discrete_hazard_nll

DIMS = {"wsi": 16, "rna": 16}
SIZES = (1, 7, 50)
GATES = [(True, "gp1_go1"), (False, "gp0_go0")]


def porpoise_keys(gate):
    """Where the authors keep what we call by the name on the left."""
    keys = {"product.linear": "encoder1.0", "last": "encoder2.0"}
    for ours, theirs in enumerate((1, 2)):
        keys[f"reduced.{ours}.reduce"] = f"linear_h{theirs}.0"
        keys[f"reduced.{ours}.transform"] = f"linear_o{theirs}.0"
        if gate:
            keys[f"reduced.{ours}.gate"] = f"linear_z{theirs}.0"
    return {f"{ours}.{kind}": f"mm.{theirs}.{kind}" for ours, theirs in keys.items() for kind in ("weight", "bias")}


def build_porpoise(arrays, gate, skip):
    module = Bilinear(gate=gate, skip=skip, hidden_dim=16).build(DIMS).double().eval()
    keys = porpoise_keys(gate).items()
    module.load_state_dict({ours: torch.as_tensor(arrays[f"sd/{theirs}"]) for ours, theirs in keys})
    return module


def porpoise_inputs(arrays, gates, sizes):
    names = ("h_path", "h_omic", "h_mm")
    return [torch.as_tensor(np.concatenate([arrays[f"f64/{gates}/bag{n}/{name}"] for n in sizes])) for name in names]


@pytest.mark.parametrize(("gate", "gates"), GATES)
@pytest.mark.parametrize("skip", [False, True])
def test_fused_vectors_equal_porpoise(reference, gate, gates, skip):
    arrays = reference(f"porpoise_mmf_bilinear_skip{int(skip)}_tiny")
    image, rna, expected = porpoise_inputs(arrays, gates, SIZES)
    fused, weights = build_porpoise(arrays, gate, skip)([image, rna], torch.ones(3, 2, dtype=torch.bool))
    assert_close(fused, expected, rtol=1e-10, atol=1e-12)
    assert weights is None


@pytest.mark.parametrize("skip", [False, True])
def test_gradients_equal_porpoise(reference, skip):
    arrays, prefix = reference(f"porpoise_mmf_bilinear_skip{int(skip)}_tiny"), "grad_gp1_go1_bag7_y2_event/"
    image, rna, _ = porpoise_inputs(arrays, "gp1_go1", (7,))
    module = build_porpoise(arrays, True, skip)
    fused, _ = module([image, rna], torch.ones(1, 2, dtype=torch.bool))
    weight, bias = (torch.as_tensor(arrays[f"sd/classifier_mm.{kind}"]).double() for kind in ("weight", "bias"))
    loss = discrete_hazard_nll(
        fused @ weight.T + bias, *bins_as_questions(torch.tensor([2]), torch.tensor([True]), 4, alpha=0.0)
    ).sum()
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[prefix + "loss"]), rel=1e-10)
    for ours, theirs in porpoise_keys(True).items():
        assert_close(module.get_parameter(ours).grad, torch.as_tensor(arrays[prefix + theirs]), rtol=1e-8, atol=1e-12)


def test_kronecker_product_equals_numpy():
    factors = [torch.rand(1, n, dtype=torch.float64) for n in (2, 3, 4)]
    one, two, three = (factor[0].numpy() for factor in factors)
    np.testing.assert_allclose(kronecker(factors)[0], np.kron(np.kron(one, two), three), rtol=1e-12)


def test_low_rank_is_the_full_product_with_a_tensor_of_that_rank():
    torch.manual_seed(0)
    low = Bilinear(rank=3, hidden_dim=5).build({"a": 16, "b": 24, "c": 8}).product.double()
    factors = [torch.rand(4, n, dtype=torch.float64) for n in (3, 4, 2)]
    nn.init.normal_(low.weights)
    nn.init.normal_(low.bias)
    forms = [form.weight.view(3, 5, -1) for form in low.forms]  # (rank, out_dim, width)
    tensor = torch.einsum("r,roi,roj,rok->oijk", low.weights, *forms)
    assert_close(low(factors), kronecker(factors) @ tensor.flatten(1).T + low.bias)


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_missing_modality_leaves_the_product_of_the_others(rank, n_modalities):
    torch.manual_seed(0)
    module = Bilinear(rank=rank).build({str(m): 16 for m in range(n_modalities)}).eval()
    seen = []
    module.product.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    embeddings = [torch.rand(2, 16) for _ in range(n_modalities)]
    present = torch.ones(2, n_modalities, dtype=torch.bool)
    present[1, -1] = n_modalities == 1  # the second patient lacks the last modality, if she has others
    embeddings = [one * present[:, m, None] for m, one in enumerate(embeddings)]
    assert torch.isfinite(module(embeddings, present)[0]).all()
    last = seen[0][-1][1]
    assert last[-1] == 1
    assert n_modalities == 1 or not last[:-1].any()


def test_an_interaction_is_a_product():
    # With the sign of the effect of one modality given by the other, no sum of one function of each can order patients.
    torch.manual_seed(0)
    a, b = torch.randn(400, 8), torch.randn(400, 8)
    wanted = a[:, 0] * b[:, 0]
    module = Bilinear(scale=1, hidden_dim=32, dropout=0.0).build({"a": 8, "b": 8})
    head = nn.Linear(32, 1)
    optimizer = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=0.01)
    present = torch.ones(400, 2, dtype=torch.bool)
    for _ in range(150):
        loss = (head(module([a, b], present)[0]).squeeze(1) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * wanted.var()


def test_a_product_too_large_is_refused():
    with pytest.raises(ValueError, match=r"17, 17, 17, 17, 17 elements has 1,419,857.*rank=16"):
        Bilinear().build({str(m): 128 for m in range(5)})
    assert Bilinear(rank=16).build({str(m): 128 for m in range(5)}).out_dim == 256
