import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import MLP, MeanMIL
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.layers._normalization import layer_normalize, minmax_normalize
from sksurv_mmf.networks._embeddings import as_tokens, as_vectors, drop_modalities, hide, spread
from sksurv_mmf.networks._modality_encoder import ModalityEncoder, Standardize, add_noise
from sksurv_mmf.networks._network import FusionNetwork
from sksurv_mmf.patients._batch import Batch

EXACT = {"rtol": 0, "atol": 0}
FUSIONS = pytest.mark.parametrize(
    "fusion", [Concat(8), CrossModalAttention(hidden_dim=4), Mean()], ids=["concat", "attention", "mean"]
)


def random_vectors(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


class TestNormalizations:
    def test_minmax_of_each_vector_is_its_own(self):
        vectors = random_vectors(5, 7)
        ours = minmax_normalize(vectors)
        values = vectors.numpy()
        low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
        assert_close(ours, torch.as_tensor((values - low) / (high - low)), rtol=1e-14, atol=0)
        assert_close(ours.amin(1), torch.zeros(5).double(), **EXACT)
        assert_close(ours.amax(1), torch.ones(5).double(), **EXACT)

    def test_minmax_ignores_shift_and_scale_of_a_vector(self):
        vectors = random_vectors(5, 7)
        assert_close(minmax_normalize(3 * vectors - 100), minmax_normalize(vectors))

    @pytest.mark.parametrize("value", [0.0, -3.5, 1e30])
    def test_minmax_of_a_constant_vector_is_zero_with_a_finite_gradient(self, value):
        vectors = torch.full((2, 4), value).requires_grad_()
        ours = minmax_normalize(vectors)
        assert_close(ours, torch.zeros(2, 4), **EXACT)
        (ours * torch.arange(4)).sum().backward()
        assert torch.isfinite(vectors.grad).all()

    def test_layer_normalisation_gives_mean_zero_and_variance_one(self):
        ours = layer_normalize(10 * random_vectors(5, 7) + 3)
        assert_close(ours.mean(1), torch.zeros(5).double(), rtol=0, atol=1e-12)
        assert_close(ours.var(1, correction=0), torch.ones(5).double(), rtol=1e-5, atol=0)

    @pytest.mark.parametrize("function", [minmax_normalize, layer_normalize])
    def test_gradcheck(self, function):
        assert torch.autograd.gradcheck(function, random_vectors(3, 5).requires_grad_())


class TestStandardize:
    def test_training_features_get_mean_zero_and_variance_one(self):
        values = 7 * random_vectors(20, 3) + 5
        ours = Standardize(values)(values)
        assert_close(ours.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)
        assert_close(ours.var(0, correction=0), torch.ones(3).double())

    @pytest.mark.parametrize("value", [0.0, 0.1, 1234.567, 1e-30])
    def test_a_constant_feature_does_not_blow_up_for_others(self, value):
        # The float32 mean of 37 times 0.1 is not 0.1: a deviation of 1e-8 to divide by.
        standardize = Standardize(torch.full((37, 1), value))
        assert abs(standardize(torch.tensor([[value]])).item()) < 1e-3
        assert standardize(torch.tensor([[value + 1]])).item() == pytest.approx(1, rel=1e-3)

    def test_a_feature_too_small_for_float32_variance_is_finite(self):
        values = torch.tensor([[1e-30], [2e-30]])
        assert torch.isfinite(Standardize(values)(values)).all()


class TestNoise:
    def test_it_has_the_asked_standard_deviation(self, pack):
        torch.manual_seed(0)
        vectors, bags = torch.ones(400, 50), pack(np.ones((1, 50)), np.ones((399, 50)))
        noisy = add_noise(bags, 0.5)
        assert noisy.lengths == bags.lengths
        for after, before in [(add_noise(vectors, 0.5), vectors), (noisy.values, bags.values)]:
            noise = after - before
            assert noise.mean().item() == pytest.approx(0, abs=0.01)
            assert noise.std().item() == pytest.approx(0.5, rel=0.02)
            assert noise.unique().numel() > 0.9 * noise.numel()


class TestModalityDropout:
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])

    def test_it_never_hides_all_and_never_shows_what_is_missing(self):
        torch.manual_seed(0)
        many = self.present.repeat(5000, 1)
        kept = drop_modalities(many, 0.9)
        assert kept.any(dim=1).all()
        assert not (kept & ~many).any()
        assert_close(kept[2::3], many[2::3], **EXACT)  # the only modality of a patient stays

    def test_modalities_are_hidden_with_the_probability_given_that_one_is_left(self):
        torch.manual_seed(0)
        p = 0.4
        kept = drop_modalities(self.present[:2].repeat(20_000, 1), p)
        # Where all are drawn to be hidden, none is.
        assert kept[0::2].double().mean().item() == pytest.approx(1 - p + p**3, abs=0.01)
        assert kept[1::2, [0, 2]].double().mean().item() == pytest.approx(1 - p + p**2, abs=0.01)

    def test_probability_zero_hides_nothing(self):
        assert_close(drop_modalities(self.present, 0.0), self.present, **EXACT)


def build(fusion, normalization="minmax", **params):
    torch.manual_seed(0)
    encoders = [MeanMIL(6, dropout=0.0).build(5, 8), MLP(6, dropout=0.0).build(3, 8)]
    return FusionNetwork(
        [ModalityEncoder(None, one) for one in encoders],
        fusion.build({"wsi": 8, "rna": 8}),
        n_outputs=4,
        normalization=normalization,
        **{"input_noise": [0.0, 0.0], "modality_dropout": 0.0, **params},
    )


def bag(n_tiles, seed):
    return np.random.default_rng(seed).normal(size=(n_tiles, 5))


def complete_batch(pack):
    vectors = random_vectors(3, 3).float()
    return Batch((pack(bag(2, 0), bag(1, 1), bag(4, 2)), vectors), (None, None), torch.ones(3, 2, dtype=torch.bool))


def partial_batch(pack):
    """The same patients, of whom the second lacks the bag and the third the vector."""
    complete = complete_batch(pack)
    present = torch.tensor([[True, True], [False, True], [True, False]])
    inputs = pack(bag(2, 0), bag(4, 2)), complete.inputs[1][:2]
    return Batch(inputs, (torch.tensor([0, 2]), torch.tensor([0, 1])), present)


class TestFusionNetwork:
    @FUSIONS
    @pytest.mark.parametrize("normalization", ["minmax", "layer", None])
    def test_missing_modalities_change_their_patients_only(self, pack, fusion, normalization):
        network = build(fusion, normalization).eval()
        complete, partial = complete_batch(pack), partial_batch(pack)
        assert_close(network(partial)[0], network(complete)[0])
        assert not torch.allclose(network(partial)[1:], network(complete)[1:])
        for m, patient in [(0, 1), (1, 2)]:
            vector = network.embed(partial)[0][m][patient]
            assert_close(vector, torch.zeros(8), **EXACT)

    @FUSIONS
    def test_nobody_has_a_modality(self, pack, fusion):
        network = build(fusion)
        vectors = random_vectors(3, 3).float()
        nobody = Batch((None, vectors), (torch.empty(0, dtype=int), None), torch.tensor([[False, True]] * 3))
        network(nobody).square().sum().backward()
        assert all(weight.grad is None for weight in network.encoders[0].parameters())
        assert all(torch.isfinite(weight.grad).all() for weight in network.head.parameters())

    @FUSIONS
    def test_gradients_are_finite_with_missing_modalities(self, pack, fusion):
        network = build(fusion, modality_dropout=0.5)
        network(partial_batch(pack)).square().sum().backward()
        assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)
        assert any(w.grad.any() for w in network.encoders.parameters())

    @pytest.mark.parametrize(
        "params", [{"input_noise": [0.5, 0.0]}, {"input_noise": [0.0, 0.5]}, {"modality_dropout": 0.5}]
    )
    def test_noise_and_modality_dropout_act_in_training_only(self, pack, params):
        batch, network = complete_batch(pack), build(Concat(8), **params)
        torch.manual_seed(0)
        training = [network(batch) for _ in range(4)]
        assert not all(torch.equal(one, training[0]) for one in training)
        without = build(Concat(8)).eval()
        network.eval()
        assert_close(network(batch), without(batch), **EXACT)

    def test_noise_goes_to_the_named_modality(self, pack):
        clean = build(Concat(8)).embed(complete_batch(pack))[0]
        for m in (0, 1):
            noisy = build(Concat(8), input_noise=[0.5 * (m == 0), 0.5 * (m == 1)]).embed(complete_batch(pack))[0]
            assert torch.equal(noisy[1 - m], clean[1 - m])
            assert not torch.equal(noisy[m], clean[m])

    @FUSIONS
    def test_a_hidden_modality_is_like_a_missing_one(self, pack, fusion, monkeypatch):
        network, partial = build(fusion, modality_dropout=0.5), partial_batch(pack)
        monkeypatch.setattr("sksurv_mmf.networks._network.drop_modalities", lambda present, _: partial.present)
        hidden = network(complete_batch(pack))
        assert_close(hidden, network.eval()(partial))

    @FUSIONS
    def test_values_of_a_hidden_modality_have_no_influence(self, pack, fusion, monkeypatch):
        network, present = build(fusion, modality_dropout=0.5), partial_batch(pack).present
        monkeypatch.setattr("sksurv_mmf.networks._network.drop_modalities", lambda *args: present)
        batch = complete_batch(pack)
        vectors = batch.inputs[1].clone()
        vectors[2] = 1e30
        changed = Batch((pack(bag(2, 0), bag(1, 9), bag(4, 2)), vectors), batch.rows, batch.present)
        assert torch.equal(network(batch), network(changed))

    def test_outputs_start_where_they_are_told(self, pack):
        network = build(Concat(8), initial_outputs=np.array([1.0, 2.0, -3.0, 0.5]))
        network.head.weight.data.zero_()
        assert_close(network(complete_batch(pack)), torch.tensor([[1.0, 2.0, -3.0, 0.5]]).expand(3, 4), **EXACT)

    def test_penalty_is_that_of_what_the_fusion_is_given(self, pack):
        network, batch = build(Mean(similarity=0.3)), complete_batch(pack)
        outputs, penalty = network.outputs_and_penalty(batch)
        assert torch.equal(outputs, network(batch))
        assert torch.equal(penalty, network.fusion.penalty(*network.embed(batch)))
        assert build(Mean()).outputs_and_penalty(batch)[1] is None


class TestTokens:
    """Several vectors of a patient, which are packed as tiles are."""

    def tokens(self, pack):
        return pack(bag(2, 0), bag(1, 1), bag(4, 2))

    def test_a_vector_is_one_token_and_tokens_have_a_mean(self, pack):
        vectors, tokens = random_vectors(3, 5), self.tokens(pack)
        assert as_vectors(vectors) is vectors
        assert as_tokens(tokens) is tokens
        assert torch.equal(as_vectors(as_tokens(vectors)), vectors)
        expected = [one.mean(0) for one in tokens.values.split(tokens.lengths)]
        assert_close(as_vectors(tokens), torch.stack(expected))

    def test_missing_patients_have_zeros_or_no_tokens(self, pack):
        rows, tokens, vectors = torch.tensor([1, 2, 4]), self.tokens(pack), random_vectors(3, 5)
        spread_tokens = spread(tokens, rows, 5)
        assert spread_tokens.lengths == (0, 2, 1, 0, 4)
        assert torch.equal(spread_tokens.values, tokens.values)
        spread_vectors = spread(vectors, rows, 5)
        assert torch.equal(spread_vectors[rows], vectors)
        assert not spread_vectors[[0, 3]].any()

    def test_hidden_patients_have_zeros_whatever_they_had(self, pack):
        kept, tokens, vectors = torch.tensor([True, False, True]), self.tokens(pack), random_vectors(3, 5)
        expected = tokens.values.clone()
        expected[2] = 0
        tokens.values[2] = vectors[1] = torch.inf
        hidden = hide(tokens, kept)
        assert hidden.lengths == tokens.lengths
        assert torch.equal(hidden.values, expected)
        assert torch.equal(hide(vectors, kept), torch.stack([vectors[0], torch.zeros(5).double(), vectors[2]]))
