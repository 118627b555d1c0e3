import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import pairwise_distances_argmin
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN, DeepAttnMISL
from sksurv_mmf.encoders._deep_attn_misl import averaging_matrix, draw_tiles, nearest_center
from sksurv_mmf.fusions import CrossModalAttention

EXACT = {"rtol": 0, "atol": 0}
N_FEATURES = 5


@pytest.fixture
def bags():
    """Bags of the first and second phenotype, of the first alone, of one tile, and of all three phenotypes."""
    rng = np.random.default_rng(0)
    centers = 4 * np.eye(3, N_FEATURES)
    of = [[0] * 4 + [1] * 2, [0] * 5, [2], [0] * 9 + [1] * 3 + [2] * 8]
    return [(centers[labels] + 0.3 * rng.normal(size=(len(labels), N_FEATURES))).astype(np.float32) for labels in of]


def fit(bags, n_clusters=3, seed=0, **params):
    torch.manual_seed(seed)
    return DeepAttnMISL(n_clusters, hidden_dim=8, attention_dim=4, **params).fit(list(map(torch.tensor, bags)), [])


def build(bags, dtype=torch.float64, **params):
    module = fit(bags, **params).build(N_FEATURES, 16).to(dtype).eval()
    torch.nn.init.normal_(module.embed[0].bias)
    return module


def with_centers(module, centers):
    module.centers = centers
    return module


class TestReference:
    """CS-MIL: DeepAttnMISL with each cluster seen at three scales, joined by cross-scale attention."""

    N_CLUSTERS, N_SCALES = 4, 3

    def module(self, arrays):
        encoder = DeepAttnMISL(self.N_CLUSTERS)
        encoder.cluster_centers_ = np.zeros((self.N_CLUSTERS, 12), np.float32)
        module = encoder.build(n_features=12, embedding_dim=32).eval()
        names = {
            "embed.0": "embedding_net.0",
            "score.hidden": "attention.0",
            "score.score": "attention.2",
            "rho.0": "fc6.0",
        }
        for ours, theirs in names.items():
            for kind in ("weight", "bias"):
                parameter = module.get_parameter(f"{ours}.{kind}")
                parameter.data.copy_(torch.as_tensor(arrays[f"sd/{theirs}.{kind}"]).reshape(parameter.shape))
        return module

    def cluster_means(self, arrays, module):
        """Means of the embedded tiles: for each scale (n_clusters, hidden_dim)."""
        clusters = [torch.as_tensor(arrays[f"in/cluster{k}"])[0].permute(1, 2, 0) for k in range(self.N_CLUSTERS)]
        labels = torch.arange(self.N_CLUSTERS).repeat_interleave(torch.tensor([one.shape[1] for one in clusters]))
        scales = torch.cat(clusters, dim=1)  # (n_scales, n_tiles, n_features)
        return [averaging_matrix(labels, len(module.centers), scales.dtype) @ module.embed(tiles) for tiles in scales]

    def test_clusters_joined_across_scales_equal_cs_mil(self, reference):
        arrays = reference("csmil_tiny")
        module = self.module(arrays)
        across = CrossModalAttention(activation="relu", hidden_dim=32, normalize=False, heads="shared")
        across = across.build({f"scale{s}": 64 for s in range(self.N_SCALES)})
        for ours, theirs in {"hidden": "res_attention.0", "score": "res_attention.2"}.items():
            for kind in ("weight", "bias"):
                parameter = across.get_parameter(f"scorers.0.{ours}.{kind}")
                parameter.data.copy_(torch.as_tensor(arrays[f"sd/{theirs}.{kind}"]).reshape(parameter.shape))
        present = torch.ones(self.N_CLUSTERS, self.N_SCALES, dtype=torch.bool)
        joined, _ = across(self.cluster_means(arrays, module), present)
        assert_close(joined, torch.as_tensor(arrays["f32/all/h"]), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("which", ["all", "masked"])
    def test_attention_over_clusters_and_prediction_equal_cs_mil(self, reference, which):
        arrays = reference("csmil_tiny")
        module = self.module(arrays)
        expected = {
            name: torch.as_tensor(arrays[f"f32/{which}/{name}"]) for name in ("att_softmax", "embedding", "pred")
        }
        has = torch.as_tensor(arrays["in/mask"][0]).bool() | (which == "all")
        means = torch.as_tensor(arrays[f"f32/{which}/h"])[has]  # a cluster that is masked there is not there here
        weights = module.score(means).softmax(0)
        assert_close(weights, expected["att_softmax"][0, has], rtol=1e-5, atol=1e-7)
        assert not expected["att_softmax"][0, ~has].any()
        assert_close((weights @ means)[None], expected["embedding"], rtol=1e-5, atol=1e-6)
        last = [torch.as_tensor(arrays[f"sd/fc6.3.{kind}"]) for kind in ("weight", "bias")]
        output = torch.nn.functional.linear(module.rho((weights @ means)[None]), *last)
        # The difference that is intended: the authors' sigmoid belongs to their loss, here the objective has it.
        assert_close(output.sigmoid(), expected["pred"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gated", [False, True])
def test_it_equals_the_formula_in_numpy(pack, bags, gated):
    module = build(bags, gated=gated)
    embed, hidden, score, rho = (
        lambda x, layer=layer: x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        for layer in (module.embed[0], module.score.hidden, module.score.score, module.rho[0])
    )
    vectors, tile_weights = [], []
    for bag in bags:
        labels = ((bag[:, None] - module.centers.numpy()) ** 2).sum(2).argmin(1)
        present = sorted(set(labels))
        means = np.stack([np.maximum(embed(bag[labels == k]), 0).mean(0) for k in present])
        if gated:
            value, gate = np.split(hidden(means), 2, axis=1)
            weights = np.exp(score(np.tanh(value) / (1 + np.exp(-gate)))[:, 0])
        else:
            weights = np.exp(score(np.tanh(hidden(means)))[:, 0])
        weights /= weights.sum()
        vectors.append(np.maximum(rho(weights @ means), 0))
        tile_weights += [weights[present.index(k)] / (labels == k).sum() for k in labels]
    assert np.any(vectors)
    packed = pack(*bags, dtype=torch.float64)
    assert_close(module(packed), torch.as_tensor(np.stack(vectors)), rtol=1e-12, atol=1e-12)
    assert_close(module.attention(packed), torch.as_tensor(np.array(tile_weights)), rtol=1e-12, atol=1e-12)


def test_order_and_repetition_of_tiles_do_not_matter(pack, bags):
    module, bag = build(bags), bags[-1]
    order = np.random.default_rng(1).permutation(len(bag))
    once, shuffled, twice = (pack(one, dtype=torch.float64) for one in (bag, bag[order], bag.repeat(2, axis=0)))
    assert_close(module(shuffled), module(once))
    assert_close(module.attention(shuffled), module.attention(once)[order])
    assert_close(module(twice), module(once))
    assert_close(module.attention(twice), module.attention(once).repeat_interleave(2) / 2)


def test_more_tiles_of_one_phenotype_do_not_dilute_another(pack, bags):
    module, (_, first, third, _) = build(bags), bags
    few, many = (pack(third, *[first] * n, dtype=torch.float64) for n in (1, 50))
    few, many = (type(one)(one.values, (len(one.values),)) for one in (few, many))
    assert_close(module(many), module(few))
    assert_close(module.attention(many)[0], module.attention(few)[0])


def test_numbering_of_clusters_does_not_matter(pack, bags):
    module, packed = build(bags), pack(*bags, dtype=torch.float64)
    vectors, weights = module(packed), module.attention(packed)
    renumbered = with_centers(module, module.centers[[2, 0, 1]])
    assert_close(renumbered(packed), vectors)
    assert_close(renumbered.attention(packed), weights)


def test_a_cluster_that_no_tile_belongs_to_is_not_there(pack, bags):
    module, packed = build(bags), pack(*bags, dtype=torch.float64)
    vectors, weights = module(packed), module.attention(packed)
    more = with_centers(module, torch.cat([module.centers, torch.full((1, N_FEATURES), -50.0, dtype=torch.float64)]))
    assert_close(more(packed), vectors, **EXACT)
    assert_close(more.attention(packed), weights, **EXACT)


def test_a_cluster_gives_no_gradient_to_patients_who_lack_it(pack, bags):
    module = build(bags)
    tiles = torch.as_tensor(bags[-1]).double().requires_grad_()
    labels = nearest_center(tiles, module.centers)
    packed = type(pack(bags[0]))(tiles, (len(tiles),))
    lacking, having = (type(packed)(tiles[mask], (int(mask.sum()),)) for mask in (labels != 1, labels == 1))
    for bag, has_it in [(lacking, False), (having, True)]:
        (gradient,) = torch.autograd.grad(module(bag).sum(), tiles)
        assert gradient[labels == 1].any() == has_it
        assert gradient[labels != 1].any() != has_it


def test_weights_of_each_bag_sum_to_one_and_a_single_tile_has_all(pack, bags):
    weights = build(bags).attention(pack(*bags, dtype=torch.float64)).split([len(bag) for bag in bags])
    assert_close(torch.stack([one.sum() for one in weights]), torch.ones(len(bags), dtype=torch.float64))
    assert weights[2].tolist() == [1.0]
    assert_close(weights[1], torch.full_like(weights[1], 1 / 5))  # one phenotype alone: the mean of its tiles


def test_a_bag_does_not_notice_the_others_in_its_batch(pack, bags):
    module = build(bags, dtype=torch.float32)
    together = module(pack(*bags))
    assert_close(torch.cat([module(pack(bag)) for bag in bags]), together, rtol=1e-5, atol=1e-6)
    assert_close(module.attention(pack(*bags))[-20:], module.attention(pack(bags[-1])), **EXACT)
    changed = module(pack(*[bag + 1 for bag in bags[:-1]], bags[-1]))
    assert_close(changed[-1], together[-1], **EXACT)


def test_dropout_acts_in_training_only(pack, bags):
    module, packed = build(bags), pack(*bags, dtype=torch.float64)
    module.train()
    torch.manual_seed(0)
    assert not torch.equal(module(packed), module(packed))
    module.eval()
    assert_close(module(packed), module(packed), **EXACT)


def test_gradients_are_those_of_the_function(pack, bags):
    module, packed = build(bags), pack(*bags, dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]
    weights = [one.detach().requires_grad_() for one in module.parameters()]

    def function(*weights):
        return torch.func.functional_call(module, dict(zip(names, weights)), (packed,))

    assert torch.autograd.gradcheck(function, weights)


@pytest.mark.parametrize("shift", [0, 1000])
def test_nearest_center_equals_sklearn_also_far_from_zero(shift):
    rng = np.random.default_rng(0)
    tiles, centers = (shift + rng.normal(size=(n, 6)).astype(np.float32) for n in (500, 7))
    distances = np.sort(((tiles[:, None].astype(float) - centers) ** 2).sum(2), axis=1)
    clear = distances[:, 1] - distances[:, 0] > 0.01  # no more can be asked of float32
    assert clear.mean() > 0.95
    labels = nearest_center(torch.as_tensor(tiles), torch.as_tensor(centers)).numpy()
    expected = pairwise_distances_argmin(tiles.astype(float), centers.astype(float))
    np.testing.assert_array_equal(labels[clear], expected[clear])


class TestFit:
    def test_centers_are_those_of_the_phenotypes(self, bags):
        centers = fit(bags).cluster_centers_
        distances = np.linalg.norm(centers[:, None] - 4 * np.eye(3, N_FEATURES), axis=2)
        assert sorted(distances.argmin(1)) == [0, 1, 2]
        assert distances.min(1).max() < 0.8

    def test_same_seed_same_bits(self, bags):
        one, same, other = (fit(bags, seed=seed, max_tiles=12).cluster_centers_ for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_random_numbers_come_from_torch_alone(self, bags, global_random_state):
        before = global_random_state()
        fit(bags, seed=12345)
        changed = [was != is_now for was, is_now in zip(before, global_random_state())]
        assert changed == [False] * 5 + [True, False]  # numpy's five, torch's, Python's

    def test_half_precision_is_read_as_it_is(self, bags):
        halves = [bag.astype(np.float16) for bag in bags]
        expected = fit([bag.astype(np.float32) for bag in halves]).cluster_centers_
        np.testing.assert_array_equal(fit(halves).cluster_centers_, expected)
        assert expected.dtype == np.float32

    def test_every_patient_gives_the_same_share_of_tiles(self):
        bags = [torch.full((n, 2), float(i)) for i, n in enumerate((100, 3, 50))]
        drawn = draw_tiles(bags, max_tiles=30)
        assert [int((drawn[:, 0] == i).sum()) for i in range(3)] == [10, 3, 10]
        assert len(draw_tiles(bags, max_tiles=2)) == 3

    def test_drawn_tiles_are_distinct_and_random(self):
        bag = torch.arange(200.0).unsqueeze(1)
        torch.manual_seed(0)
        drawn = draw_tiles([bag], max_tiles=100).flatten()
        assert len(drawn.unique()) == 100
        assert abs(drawn.mean() - 99.5) < 12  # 3 standard errors of a mean of 100 out of 200

    def test_bags_are_read_once_and_one_at_a_time(self, bags):
        read = []

        class OnDisk:
            def __len__(self):
                return len(bags)

            def __iter__(self):
                for i, bag in enumerate(bags):
                    read.append(i)
                    yield torch.as_tensor(bag)

        DeepAttnMISL(3).fit(OnDisk(), [])
        assert read == [0, 1, 2, 3]

    def test_fewer_tiles_than_clusters_is_an_error(self, bags):
        with pytest.raises(ValueError, match=r"n_clusters=8, but only 7 tiles of 2 training patients.*fewer clusters"):
            fit([bags[0], bags[2]], n_clusters=8)

    def test_fewer_distinct_tiles_than_clusters_are_no_error(self, pack):
        bag = np.ones((6, N_FEATURES), np.float32)
        vectors = build([bag])(pack(bag, bag[:1], dtype=torch.float64))
        assert torch.isfinite(vectors).all()
        assert_close(vectors[0], vectors[1])

    def test_build_before_fit_is_refused(self):
        with pytest.raises(NotFittedError, match="DeepAttnMISL is not fitted: call fit with the bags of training"):
            DeepAttnMISL().build(N_FEATURES, 16)


class TestInTheEstimator:
    def model(self):
        modalities = [("wsi", DeepAttnMISL(3, hidden_dim=8)), ("rna", SNN(8))]
        return FusionSurvivalAnalysis(
            modalities, embedding_dim=8, n_estimators=1, max_epochs=2, device="cpu", random_state=0
        )

    def centers(self, model):
        return model.modalities_[0][1].cluster_centers_

    def test_clusters_come_from_training_tiles_only(self, cohort, make_cohort):
        train, test = slice(0, 20), slice(20, 30)
        model = self.model().fit(cohort.X[train], cohort.y[train])
        before = self.centers(model).copy()
        model.predict(make_cohort(seed=1).X[test])
        np.testing.assert_array_equal(self.centers(model), before)
        module = model.net_.module_.encoders[0].encoder
        np.testing.assert_array_equal(module.centers.cpu().numpy(), before)
        more = self.model().fit(cohort.X, cohort.y)
        assert not np.array_equal(self.centers(more), before)

    def test_same_seed_same_bits_and_the_encoder_passed_stays_unfitted(self, cohort):
        model = self.model()
        one, two = (model.fit(cohort.X, cohort.y).predict(cohort.X) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert not hasattr(model.modalities[0][1], "cluster_centers_")
        weights = model.tile_attention(cohort.X)["attention"]
        assert weights.groupby("patient").sum().to_numpy() == pytest.approx(1, abs=1e-6)
