import numpy as np
import torch
from scipy.special import expit, softmax

from sksurv_mmf.fusions import GatedAttention


def test_weights_and_sum_equal_the_formula():
    torch.manual_seed(0)
    module = GatedAttention(hidden_dim=5).build({"a": 4, "b": 4, "c": 4}).double().eval()
    embeddings = [torch.randn(6, 4, dtype=torch.float64) for _ in range(3)]
    fused, weights = module(embeddings, torch.ones(6, 3, dtype=torch.bool))
    W, c = module.score.hidden.weight.detach().numpy(), module.score.hidden.bias.detach().numpy()
    w, b = module.score.score.weight.detach().numpy()[0], module.score.score.bias.item()
    stacked = np.stack([one.numpy() for one in embeddings], axis=1)
    value, gate = np.split(stacked @ W.T + c, 2, axis=2)
    expected = softmax((np.tanh(value) * expit(gate)) @ w + b, axis=1)
    np.testing.assert_allclose(weights.detach(), expected, rtol=1e-12)
    np.testing.assert_allclose(fused.detach(), (expected[:, :, None] * stacked).sum(axis=1), rtol=1e-12)


def test_missing_modality_has_no_weight_and_no_gradient():
    torch.manual_seed(0)
    module = GatedAttention().build({"a": 4, "b": 4})
    a, b = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    present = torch.tensor([[True, True], [True, False], [False, True]])
    fused, weights = module([a, b], present)
    assert weights[1].tolist() == [1, 0]
    assert weights[2].tolist() == [0, 1]
    fused.square().sum().backward()
    assert not b.grad[1].any()
    assert not a.grad[2].any()
    assert a.grad[0].any()
    assert torch.isfinite(a.grad).all()
