import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.cohort._reading import read_patients
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL, MeanMIL
from sksurv_mmf.fusions import Concat, Mean
from sksurv_mmf.fusions._mean import dissimilarity
from sksurv_mmf.networks._network import FusionNetwork
from sksurv_mmf.objectives._discrete_hazard import bins_as_questions, discrete_hazard_nll
from sksurv_mmf.patients._batch import Batch

TOLERANCE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}


def porpoise_keys():
    """Where the authors keep what we call by the name on the left."""
    keys = {
        "encoders.0.0.embed.0": ["attention_net.0"],
        "encoders.0.0.score.hidden": ["attention_net.3.attention_a.0", "attention_net.3.attention_b.0"],
        "encoders.0.0.score.score": ["attention_net.3.attention_c"],
        "encoders.0.0.rho.0": ["rho.0"],
        "encoders.1.0.0": ["fc_omic.0.0"],
        "encoders.1.0.3": ["fc_omic.1.0"],
        "fusion.layers.0": ["mm.0"],
        "fusion.layers.3": ["mm.2"],
        "head": ["classifier_mm"],
    }
    return {
        f"{ours}.{kind}": [f"{one}.{kind}" for one in theirs]
        for ours, theirs in keys.items()
        for kind in ("weight", "bias")
    }


def porpoise_weights(arrays, prefix):
    return {
        ours: torch.as_tensor(np.concatenate([arrays[prefix + one] for one in theirs]))
        for ours, theirs in porpoise_keys().items()
    }


@pytest.fixture
def network(reference):
    """PORPOISE's multimodal network of image and RNA, built from our parts, with the authors' weights."""
    encoders = [
        AttentionMIL(24, 16, dropout=0.0).build(n_features=20, embedding_dim=16),
        SNN(16, n_layers=2, dropout=0.0).build(n_features=9, embedding_dim=16),
    ]
    network = FusionNetwork(
        [torch.nn.Sequential(one) for one in encoders],
        Concat(16).build({"wsi": 16, "rna": 16}),
        n_outputs=4,
        input_noise=[0.0, 0.0],
        normalization=None,
        modality_dropout=0.0,
    )
    network.load_state_dict(porpoise_weights(reference("porpoise_mmf_concat_tiny"), "sd/"))
    return network


def porpoise_batch(pack, arrays, sizes, dtype):
    bags = pack(*[arrays[f"in/bag{n}"] for n in sizes], dtype=dtype)
    genes = torch.as_tensor(np.concatenate([arrays[f"in/omic{n}"] for n in sizes])).to(dtype)
    return Batch((bags, genes), (None, None), torch.ones(len(sizes), 2, dtype=torch.bool))


@pytest.mark.parametrize(("precision", "dtype"), [("f64", torch.float64), ("f32", torch.float32)])
def test_whole_network_equals_porpoise(reference, pack, network, precision, dtype):
    arrays, sizes = reference("porpoise_mmf_concat_tiny"), (1, 7, 50)
    network = network.to(dtype).eval()
    batch = porpoise_batch(pack, arrays, sizes, dtype)
    for name, ours in [("h_mm", network.fuse(batch)[0]), ("logits", network(batch))]:
        theirs = np.concatenate([arrays[f"{precision}/concat/bag{n}/{name}"] for n in sizes])
        assert_close(ours, torch.as_tensor(theirs), **TOLERANCE[dtype])


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_gradients_of_the_whole_network_equal_porpoise(reference, pack, network, training):
    arrays, prefix = reference("porpoise_mmf_concat_tiny"), "grad_concat_bag7_y2_event/"
    network = network.double().train(training)
    outputs = network(porpoise_batch(pack, arrays, (7,), torch.float64))
    loss = discrete_hazard_nll(outputs, *bins_as_questions(torch.tensor([2]), torch.tensor([True]), 4, alpha=0.0)).sum()
    loss.backward()
    assert_close(loss.item(), arrays[f"{prefix}loss"].item(), rtol=1e-10, atol=0)
    for name, expected in porpoise_weights(arrays, prefix).items():
        assert_close(network.get_parameter(name).grad, expected, rtol=1e-8, atol=1e-12)


def test_concat_takes_embeddings_of_any_width():
    module = Concat(8, n_layers=1).build({"wsi": 3, "rna": 2, "clinical": 1}).double()
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(5, width)) for width in (3, 2, 1)]
    weight, bias = (getattr(module.layers[0], kind).detach().numpy() for kind in ("weight", "bias"))
    expected = np.maximum(np.hstack(vectors) @ weight.T + bias, 0)
    fused, weights = module([torch.as_tensor(one) for one in vectors], torch.ones(5, 3, dtype=torch.bool))
    assert_close(fused, torch.as_tensor(expected), rtol=1e-12, atol=1e-12)
    assert weights is None


def test_dropout_of_concat_acts_in_training_only():
    torch.manual_seed(0)
    module = Concat(32, dropout=0.5).build({"rna": 4})
    vectors, present = [torch.randn(3, 4)], torch.ones(3, 1, dtype=torch.bool)
    assert not torch.equal(module(vectors, present)[0], module(vectors, present)[0])
    module.eval()
    assert torch.equal(module(vectors, present)[0], module(vectors, present)[0])


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_mean_is_over_the_modalities_that_a_patient_has(n_modalities):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n_modalities, 6, 4))
    present = rng.random((6, n_modalities)) < 0.6
    present[:, 0] |= ~present.any(axis=1)
    expected = np.stack([vectors[present[i], i].mean(axis=0) for i in range(6)])
    module = Mean().build({f"m{i}": 4 for i in range(n_modalities)})
    mask = torch.as_tensor(present)
    fused, weights = module([torch.as_tensor(one) for one in vectors], mask)
    assert_close(fused, torch.as_tensor(expected), rtol=1e-12, atol=1e-12)
    assert weights is None
    garbage = [torch.where(mask[:, m, None], torch.as_tensor(one), 1e6) for m, one in enumerate(vectors)]
    assert torch.equal(module(garbage, mask)[0], fused)


def test_gradients_of_mean_with_missing_modalities():
    present = torch.tensor([[True, True], [True, False], [False, True]])
    vectors = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    module = Mean().build({"wsi": 2, "rna": 2})
    assert torch.autograd.gradcheck(lambda *vectors: module(list(vectors), present)[0], vectors)


def test_mean_refuses_embeddings_of_unequal_width():
    with pytest.raises(ValueError, match=r"Mean needs .* 'wsi' has 16, 'rna' has 154.*Identity"):
        Mean().build({"wsi": 16, "rna": 154})


class TestSimilarity:
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    vectors = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 3, 5)))

    def penalty(self, vectors, present, similarity=0.3):
        module = Mean(similarity).build({"wsi": 5, "rna": 5, "clinical": 5})
        return module.penalty(list(vectors.unbind(1)), present)

    def test_it_is_the_ratio_of_the_variance_between_modalities_to_all_variance(self):
        ratios = []
        for vectors, has_it in zip(self.vectors.numpy(), self.present.numpy()):
            own = vectors[has_it]
            ratios.append(((own - own.mean(axis=0)) ** 2).sum() / ((own - own.mean()) ** 2).sum())
        ours = dissimilarity(self.vectors, self.present)
        assert_close(ours, torch.tensor(ratios, dtype=torch.float64), rtol=1e-12, atol=1e-14)
        assert 0.02 < ours[:2].min()
        expected = 0.3 * (ratios[0] + ratios[1] + 0.02) / 3  # a single modality has no variance: the lower bound
        assert self.penalty(self.vectors, self.present).item() == pytest.approx(expected, rel=1e-12)

    def test_equal_vectors_cost_least_and_opposite_ones_most(self):
        all_present = torch.ones(1, 3, dtype=torch.bool)
        equal = self.vectors[:1, :1].expand(1, 3, 5)
        assert self.penalty(equal, all_present).item() == pytest.approx(0.3 * 0.02)
        opposite = torch.stack([self.vectors[0, 0], -self.vectors[0, 0]])[None]
        ratio = dissimilarity(opposite, torch.ones(1, 2, dtype=torch.bool))
        assert_close(ratio, torch.ones(1).double())

    def test_shift_and_scale_of_all_vectors_do_not_matter(self):
        moved = dissimilarity(3 * self.vectors - 7, self.present)
        assert_close(moved, dissimilarity(self.vectors, self.present))

    def test_gradient_with_missing_modalities_and_constant_vectors(self):
        vectors = self.vectors[:2].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda one: self.penalty(one, self.present[:2]), vectors)
        constant = torch.ones(1, 3, 5, requires_grad=True)
        self.penalty(constant, self.present[:1]).backward()
        assert_close(constant.grad, torch.zeros(1, 3, 5), rtol=0, atol=0)

    def test_it_makes_the_modalities_of_a_patient_alike(self):
        cohort = make_multimodal_survival(n_patients=40, n_genes=10, n_tiles=(3, 8), random_state=0)

        def between(similarity):
            model = FusionSurvivalAnalysis(
                [("wsi", MeanMIL(8, dropout=0.0)), ("rna", SNN(8, dropout=0.0))],
                Mean(similarity),
                embedding_dim=8,
                n_estimators=1,
                max_epochs=15,
                lr=0.02,
                modality_dropout=0.0,
                random_state=0,
            ).fit(cohort.X, cohort.y)
            patients = read_patients(cohort.X, model.modalities_)
            with torch.no_grad():
                embeddings, present = model.net_.module_.embed(patients.batch(np.arange(40)))
            return dissimilarity(torch.stack(embeddings, 1), present).mean().item()

        assert between(10.0) < 0.5 * between(0.0)
