import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import AttentionMIL, _attention_mil
from sksurv_mmf.layers._packed_bags import PackedBags
from sksurv_mmf.layers._products import rounds_products
from sksurv_mmf.objectives._discrete_hazard import bins_as_questions, discrete_hazard_nll

TOLERANCE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}
PRECISIONS = pytest.mark.parametrize(("precision", "dtype"), [("f64", torch.float64), ("f32", torch.float32)])
EXACT = {"rtol": 0, "atol": 0}


def porpoise_weights(arrays):
    """Weights of the authors' attention network under our names."""
    net = "sd/attention_net."
    weights = {}
    for kind in ("weight", "bias"):
        weights[f"embed.0.{kind}"] = arrays[f"{net}0.{kind}"]
        weights[f"score.hidden.{kind}"] = np.concatenate(
            [arrays[f"{net}3.attention_a.0.{kind}"], arrays[f"{net}3.attention_b.0.{kind}"]]
        )
        weights[f"score.score.{kind}"] = arrays[f"{net}3.attention_c.{kind}"]
        if f"sd/rho.0.{kind}" in arrays:
            weights[f"rho.0.{kind}"] = arrays[f"sd/rho.0.{kind}"]
    return {name: torch.as_tensor(values) for name, values in weights.items()}


def porpoise_module(arrays, dtype, **params):
    module = AttentionMIL(24, 16, **params).build(n_features=20, embedding_dim=16).to(dtype)
    loaded = module.load_state_dict(porpoise_weights(arrays), strict=False)
    assert not loaded.unexpected_keys
    assert all(name.startswith("rho.") for name in loaded.missing_keys)
    return module


def random_module(seed=0, **params):
    torch.manual_seed(seed)
    return AttentionMIL(8, 4, **params).build(n_features=5, embedding_dim=16)


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 5)).astype(np.float32) for n in (1, 7, 3, 1, 40)]


@PRECISIONS
@pytest.mark.parametrize("n_tiles", [1, 7, 50])
def test_attention_and_pooled_vector_equal_porpoise_amil(reference, pack, precision, dtype, n_tiles):
    arrays = reference("porpoise_amil_tiny")
    module = porpoise_module(arrays, dtype).eval()
    # The unimodal network has no rho: an identity in its place shows the pooled vector.
    module.rho = torch.nn.Identity()
    bag = pack(arrays[f"in/bag{n_tiles}"], dtype=dtype)
    expected = {
        name: torch.as_tensor(arrays[f"{precision}/bag{n_tiles}/{name}"]) for name in ("att_softmax", "embedding")
    }
    assert_close(module.attention(bag)[None], expected["att_softmax"], **TOLERANCE[dtype])
    assert_close(module(bag), expected["embedding"], **TOLERANCE[dtype])


@PRECISIONS
def test_patient_vector_equals_porpoise_mmf(reference, pack, precision, dtype):
    arrays = reference("porpoise_mmf_concat_tiny")
    module = porpoise_module(arrays, dtype).eval()
    sizes = (1, 7, 50)
    vectors = module(pack(*[arrays[f"in/bag{n}"] for n in sizes], dtype=dtype))
    expected = np.concatenate([arrays[f"{precision}/concat/bag{n}/h_path"] for n in sizes])
    assert_close(vectors, torch.as_tensor(expected), **TOLERANCE[dtype])


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_gradients_equal_porpoise_amil(reference, pack, training):
    arrays = reference("porpoise_amil_tiny")
    module = porpoise_module(arrays, torch.float64, dropout=0.0).train(training)
    module.rho = torch.nn.Linear(24, 4, dtype=torch.float64)
    for kind in ("weight", "bias"):
        getattr(module.rho, kind).data.copy_(torch.as_tensor(arrays[f"sd/classifier.{kind}"]))
    outputs = module(pack(arrays["in/bag7"], dtype=torch.float64))
    loss = discrete_hazard_nll(outputs, *bins_as_questions(torch.tensor([1]), torch.tensor([True]), 4, alpha=0.0)).sum()
    loss.backward()
    prefix = "grad_bag7_y1_event/"
    assert_close(loss.item(), arrays[f"{prefix}loss"].item(), rtol=1e-10, atol=0)
    under_sd = {key.replace(prefix, "sd/"): values for key, values in arrays.items() if key.startswith(prefix)}
    for name, expected in porpoise_weights(under_sd).items():
        assert_close(module.get_parameter(name).grad, expected, rtol=1e-8, atol=1e-12)
    assert_close(module.rho.weight.grad, torch.as_tensor(under_sd["sd/classifier.weight"]), rtol=1e-8, atol=1e-12)


@PRECISIONS
@pytest.mark.parametrize("n_tiles", [1, 7])
def test_plain_attention_equals_ilse(reference, precision, dtype, n_tiles):
    arrays = reference("ilse_attention")
    score = AttentionMIL(500, 128, gated=False).build(n_features=2, embedding_dim=2).score.to(dtype).eval()
    names = {"hidden": "attention.0", "score": "attention.2"}
    state = {
        f"{ours}.{kind}": torch.as_tensor(arrays[f"sd/{theirs}.{kind}"])
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }
    score.load_state_dict(state)
    tiles = torch.as_tensor(arrays[f"in/H{n_tiles}"]).to(dtype)
    weights = score(tiles).softmax(0)
    assert_close(weights[None], torch.as_tensor(arrays[f"{precision}/bag{n_tiles}/att_softmax"]), **TOLERANCE[dtype])
    embedding = torch.as_tensor(arrays[f"{precision}/bag{n_tiles}/embedding"])
    assert_close(weights[None] @ tiles, embedding, **TOLERANCE[dtype])


@pytest.mark.parametrize("gated", [True, False])
def test_order_of_tiles_does_not_matter(pack, bags, gated):
    module = random_module(gated=gated).eval()
    order = np.random.default_rng(1).permutation(40)
    bag, shuffled = pack(bags[-1]), pack(bags[-1][order])
    assert_close(module(shuffled), module(bag))
    assert_close(module.attention(shuffled), module.attention(bag)[order])


def test_tiles_that_all_come_twice_share_their_weight(pack, bags):
    module = random_module().eval()
    once, twice = pack(bags[1]), pack(bags[1].repeat(2, axis=0))
    assert_close(module(twice), module(once))
    assert_close(module.attention(twice), module.attention(once).repeat_interleave(2) / 2)


def test_weights_of_each_bag_sum_to_one_and_a_single_tile_has_all(pack, bags):
    weights = random_module().eval().attention(pack(*bags)).split([len(bag) for bag in bags])
    assert_close(torch.stack([one.sum() for one in weights]), torch.ones(len(bags)))
    assert [weights[i].tolist() for i in (0, 3)] == [[1.0], [1.0]]
    assert weights[-1].std() > 1e-4  # not the mean in disguise


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_a_bag_does_not_notice_the_others_in_its_batch(pack, bags, gated, training):
    module = random_module(gated=gated, dropout=0.0).train(training)
    together = module(pack(*bags))
    alone = torch.cat([module(pack(bag)) for bag in bags])
    assert_close(together, alone, rtol=1e-5, atol=1e-6)
    changed = module(pack(*[bag + 1 for bag in bags[:-1]], bags[-1]))
    assert_close(changed[-1], together[-1], **EXACT)


def test_dropout_acts_in_training_only(pack, bags):
    module = random_module(dropout=0.5, input_dropout=0.5)
    bag = pack(bags[-1])
    torch.manual_seed(0)
    assert not torch.equal(module(bag), module(bag))
    module.eval()
    assert_close(module(bag), module(bag), **EXACT)
    without = random_module(dropout=0.0)
    without.load_state_dict({name.replace("embed.1", "embed.0"): value for name, value in module.state_dict().items()})
    assert_close(module(bag), without.eval()(bag), **EXACT)


def test_input_dropout_keeps_the_mean_of_the_features(pack):
    module = random_module(dropout=0.0, input_dropout=0.5)
    ones = pack(np.ones((200_000, 5)))
    torch.manual_seed(0)
    dropped = module.embed[0](ones.values)
    assert sorted(dropped.unique().tolist()) == [0.0, 2.0]
    assert abs(dropped.mean().item() - 1) < 0.01


def test_weights_start_xavier_normal_and_biases_at_zero():
    torch.manual_seed(0)
    module = AttentionMIL(400, 300).build(n_features=500, embedding_dim=200)
    value, gate = module.score.hidden.weight.chunk(2)
    for weight, fans in [(module.embed[0].weight, 900), (value, 700), (gate, 700), (module.rho[0].weight, 600)]:
        assert weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.02)
        assert abs(weight.mean().item()) < 3 * (2 / fans / weight.numel()) ** 0.5
    assert all(not values.any() for name, values in module.named_parameters() if name.endswith("bias"))


class TestBatchNorm:
    def test_it_normalises_over_all_tiles_of_a_step(self, pack, bags):
        module = random_module(batch_norm=True, dropout=0.0)
        linear, norm, *_ = module.embed
        before = linear(pack(*bags).values)
        expected = (before - before.mean(0)) / (before.var(0, correction=0) + norm.eps).sqrt()
        assert_close(module.embed(pack(*bags).values), expected.relu())

    def test_one_tile_uses_running_statistics_and_leaves_them(self, pack, bags):
        module = random_module(batch_norm=True, dropout=0.0)
        module(pack(*bags))
        before = {name: value.clone() for name, value in module.named_buffers()}
        one = pack(bags[0])
        trained = module(one)
        trained.sum().backward()
        assert all(torch.equal(value, before[name]) for name, value in module.named_buffers())
        assert_close(trained, module.eval()(one))
        assert all(torch.isfinite(weight.grad).all() for weight in module.parameters())

    def test_prediction_for_a_bag_does_not_depend_on_the_others(self, pack, bags):
        module = random_module(batch_norm=True)
        module(pack(*bags))
        module.eval()
        assert_close(module(pack(*bags))[1], module(pack(bags[1]))[0], rtol=1e-5, atol=1e-6)


def gradients_in(precision, device, bags, members):
    """Pooled bags and gradients of several networks at once, which multiply in `precision`; all else is the same."""
    torch.manual_seed(0)
    module = AttentionMIL(8, 4, dropout=0.0).build(5, 8).to(device).train()
    module.multiply_in(precision)
    weights = {name: torch.stack([one * k for k in range(1, members + 1)]) for name, one in module.state_dict().items()}
    weights = {name: one.requires_grad_() for name, one in weights.items()}
    pooled = torch.func.vmap(lambda own: torch.func.functional_call(module, own, (bags.to(device),)))(weights)
    return [pooled.detach(), *torch.autograd.grad(pooled.square().sum(), list(weights.values()))]


def test_a_gpu_rounds_products_and_nothing_else(monkeypatch, device):
    if device == "cpu":  # its own products are tested elsewhere; here it stands for a GPU
        monkeypatch.setattr(_attention_mil._AttentionMILModule, "_trains_on_cpu", lambda *_: False)
        monkeypatch.setattr(
            _attention_mil,
            "rounds_products",
            lambda _, precision: torch.autocast("cpu", torch.bfloat16, precision == "bfloat16", cache_enabled=False),
        )
    values = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    bags = PackedBags(values, (7, 1, 32))
    rounded, usual = (gradients_in(one, device, bags, members=2) for one in ("bfloat16", "float32"))
    # The gradient of the bias in front of the softmax is zero but for rounding, so that others must set the scale.
    largest = max(float(one.abs().max()) for one in usual)
    for one, other in zip(rounded, usual):
        assert one.dtype == torch.float32
        assert_close(one, other, rtol=0.02, atol=0.02 * largest)
    assert not torch.equal(rounded[0], usual[0])


def test_a_cpu_and_float32_have_no_other_products():
    for kind, precision in (("cpu", "bfloat16"), ("cuda", "float32")):
        with rounds_products(torch.device(kind), precision):
            assert not torch.is_autocast_enabled(kind)
