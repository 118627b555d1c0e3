import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.fusions import CrossModalAttention

EXACT = {"rtol": 0, "atol": 0}
N_PATIENTS, DIM = 6, 5


def build(n_modalities, seed=0, heads="shared", **params):
    torch.manual_seed(seed)
    module = CrossModalAttention(hidden_dim=7, heads=heads, **params).build({f"m{i}": DIM for i in range(n_modalities)})
    return module.double()


def embeddings(n_modalities, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.as_tensor(3 * rng.normal(size=(N_PATIENTS, DIM))) for _ in range(n_modalities)]


def all_present(n_modalities):
    return torch.ones(N_PATIENTS, n_modalities, dtype=torch.bool)


def by_formula(module, vectors, present, activation, normalize):
    """Equations 1 and 2 of the paper, patient by patient in numpy."""
    phi = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[activation]
    weights = np.zeros(present.shape)
    fused = np.zeros((N_PATIENTS, DIM))
    for patient in range(N_PATIENTS):
        mine = np.flatnonzero(present[patient])
        scores = []
        for m in mine:
            scorer = module.scorers[m if len(module.scorers) > 1 else 0]
            V, v = scorer.hidden.weight.detach().numpy(), scorer.hidden.bias.detach().numpy()
            w, b = scorer.score.weight.detach().numpy()[0], scorer.score.bias.item()
            scores.append(w @ phi(V @ vectors[m][patient].numpy() + v) + b)
        scores = np.array(scores)
        weights[patient, mine] = np.exp(scores) / np.exp(scores).sum() if normalize else scores
        fused[patient] = sum(weights[patient, m] * vectors[m][patient].numpy() for m in mine)
    return torch.as_tensor(fused), torch.as_tensor(weights)


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_equals_the_formula(n_modalities, shared, activation, normalize):
    module = build(n_modalities, shared=shared, activation=activation, normalize=normalize)
    present = np.random.default_rng(1).random((N_PATIENTS, n_modalities)) < 0.6
    present[:, 0] |= ~present.any(axis=1)
    assert n_modalities == 1 or not present.all()
    vectors = embeddings(n_modalities)
    ours = module(
        [one * torch.as_tensor(has)[:, None] for one, has in zip(vectors, present.T)], torch.as_tensor(present)
    )
    assert_close(ours, by_formula(module, vectors, present, activation, normalize), rtol=1e-12, atol=1e-12)


def test_sharing_means_one_scoring_network():
    n_weights = {shared: sum(p.numel() for p in build(3, shared=shared).parameters()) for shared in (True, False)}
    assert n_weights[False] == 3 * n_weights[True]
    same = embeddings(1) * 2
    halves = torch.full((N_PATIENTS, 2), 0.5, dtype=torch.float64)
    assert_close(build(2, shared=True)(same, all_present(2))[1], halves)
    assert (build(2, shared=False)(same, all_present(2))[1] - halves).abs().min() > 1e-3


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_missing_modality_weighs_nothing_whatever_it_holds(shared, normalize):
    module, vectors = build(3, shared=shared, normalize=normalize), embeddings(3)
    present = all_present(3)
    present[::2, 1] = False
    fused, weights = module(vectors, present)
    assert (weights[::2, 1] == 0).all()
    changed = [vectors[0], torch.where(present[:, 1:2], vectors[1], 1e6), vectors[2]]
    assert_close(module(changed, present), (fused, weights), **EXACT)


@pytest.mark.parametrize("shared", [True, False])
def test_without_a_modality_it_is_the_fusion_of_the_others(shared):
    module, vectors = build(3, shared=shared), embeddings(3)
    present = all_present(3)
    present[:, 1] = False
    others = build(2, shared=shared)
    if shared:
        others.scorers = module.scorers
    else:
        others.scorers = torch.nn.ModuleList([module.scorers[0], module.scorers[2]])
    fused, weights = others([vectors[0], vectors[2]], all_present(2))
    assert_close(module(vectors, present)[0], fused)
    assert_close(module(vectors, present)[1][:, [0, 2]], weights)


def test_order_of_modalities_does_not_matter_if_shared():
    module, vectors = build(3), embeddings(3)
    present = all_present(3)
    present[0, 2] = present[1, 0] = False
    order = [2, 0, 1]
    fused, weights = module(vectors, present)
    permuted = module([vectors[m] for m in order], present[:, order])
    assert_close(permuted, (fused, weights[:, order]))


@pytest.mark.parametrize("shared", [True, False])
def test_a_single_modality_passes_through(shared):
    vectors = embeddings(1)
    fused, weights = build(1, shared=shared)(vectors, all_present(1))
    assert_close(weights, torch.ones_like(weights), **EXACT)
    assert_close(fused, vectors[0], **EXACT)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_with_missing_modalities(shared, normalize):
    module, vectors = build(3, shared=shared, normalize=normalize), embeddings(3)
    present = all_present(3)
    present[0, :2] = False
    present[1, 2] = False
    vectors = [(one * has[:, None]).requires_grad_() for one, has in zip(vectors, present.T)]
    assert torch.autograd.gradcheck(lambda *vectors: module(list(vectors), present), vectors)
    fused, weights = module(vectors, present)
    (fused.square().sum() + weights.square().sum()).backward()
    assert all(torch.isfinite(one.grad).all() for one in [*vectors, *module.parameters()])
    assert not vectors[0].grad[0].any()
    assert vectors[2].grad[0].any()


def test_weights_are_finite_at_extreme_scores():
    module, vectors = build(3, activation="relu"), embeddings(3)
    present = all_present(3)
    present[0, 0] = False
    weights = module([1e200 * one for one in vectors], present)[1]
    assert_close(weights.sum(1), torch.ones(N_PATIENTS, dtype=torch.float64))


def test_embeddings_of_unequal_width_are_refused_by_name():
    with pytest.raises(ValueError, match=r"CrossModalAttention needs .* 'wsi' has 16, 'rna' has 154.*Concat"):
        CrossModalAttention().build({"wsi": 16, "rna": 154})
