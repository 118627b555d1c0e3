import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import TransformerMIL
from sksurv_mmf.encoders._transformer_mil import multihead_attention, multihead_weights

EXACT = {"rtol": 0, "atol": 0}


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 5)).astype(np.float32) for n in (1, 7, 3, 1, 40)]


def build(hidden_dim=8, *, dtype=torch.float64, seed=0, n_features=5, embedding_dim=16, **params):
    """A module in eval mode whose biases and normalisations are not those of the start."""
    torch.manual_seed(seed)
    params = {"n_heads": 2, "n_inducing": 3, "n_layers": 2} | params
    module = TransformerMIL(hidden_dim, **params).build(n_features, embedding_dim).to(dtype).eval()
    for name, parameter in module.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return module


class Loops:
    """The equations of the docstring, row by row in numpy."""

    def __init__(self, module):
        self.module = module

    def linear(self, layer, row):
        return layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()

    def norm(self, layer, row):
        scaled = (row - row.mean()) / np.sqrt(row.var() + layer.eps)
        return layer.weight.detach().numpy() * scaled + layer.bias.detach().numpy()

    def attend(self, block, row, context):
        """What a row takes from the context, and the weights of each head."""
        query = self.linear(block.query, self.norm(block.query_norm, row))
        context = [self.norm(block.context_norm, one) for one in context]
        keys = [self.linear(block.key, one) for one in context]
        values = [self.linear(block.value, one) for one in context]
        taken, weights = [], []
        for head in np.split(np.arange(len(row)), block.n_heads):
            scores = np.exp([query[head] @ key[head] / np.sqrt(len(head)) for key in keys])
            weights.append(scores / scores.sum())
            taken.append(sum(w * value[head] for w, value in zip(weights[-1], values)))
        return self.linear(block.out, np.concatenate(taken)), weights

    def block(self, block, rows, context):
        out = []
        for row in rows:
            hidden = row + self.attend(block, row, context)[0]
            first, _, last, _ = block.feed_forward
            inner = np.maximum(self.linear(first, self.norm(block.hidden_norm, hidden)), 0)
            out.append(hidden + self.linear(last, inner))
        return out

    def __call__(self, bag):
        """Vector of the patient and weights of the tiles."""
        module = self.module
        tiles = [np.maximum(self.linear(module.embed[0], tile), 0) for tile in bag]
        for layer in module.layers:
            tiles = self.block(layer.spread, tiles, self.block(layer.gather, layer.inducing.detach().numpy(), tiles))
        seed = module.seed.detach().numpy()
        (pooled,) = self.block(module.pool, seed, tiles)
        vector = np.maximum(self.linear(module.rho[0], self.norm(module.norm, pooled)), 0)
        return vector, np.mean(self.attend(module.pool, seed[0], tiles)[1], axis=0)


@pytest.mark.parametrize(("n_heads", "n_layers"), [(1, 1), (2, 2), (4, 1)])
def test_it_equals_the_formula(pack, bags, n_heads, n_layers):
    module = build(n_heads=n_heads, n_layers=n_layers)
    vectors, weights = zip(*map(Loops(module), bags))
    assert np.any(vectors)
    packed = pack(*bags, dtype=torch.float64)
    assert_close(module(packed), torch.as_tensor(np.stack(vectors)), rtol=1e-10, atol=1e-12)
    assert_close(module.attention(packed), torch.as_tensor(np.concatenate(weights)), rtol=1e-10, atol=1e-12)


def test_attention_equals_that_of_torch():
    torch.manual_seed(0)
    reference = torch.nn.MultiheadAttention(12, 3, dtype=torch.float64)
    rows, context = torch.randn(4, 12, dtype=torch.float64), torch.randn(9, 12, dtype=torch.float64)
    weight, bias = reference.in_proj_weight.chunk(3), reference.in_proj_bias.chunk(3)
    query, key, value = (one @ w.T + b for one, w, b in zip((rows, context, context), weight, bias))
    expected, weights = reference(rows, context, context)
    assert_close(reference.out_proj(multihead_attention(query, key, value, 3)), expected)
    assert_close(multihead_weights(query, key, 3), weights)


def test_order_of_tiles_does_not_matter(pack, bags):
    module, bag = build(), bags[-1]
    order = np.random.default_rng(1).permutation(len(bag))
    once, shuffled = (pack(one, dtype=torch.float64) for one in (bag, bag[order]))
    assert_close(module(shuffled), module(once))
    assert_close(module.attention(shuffled), module.attention(once)[order])


def test_tiles_that_all_come_twice_share_their_weight(pack, bags):
    # Every sum over tiles in the whole network is a mean weighted by a softmax.
    module, bag = build(), bags[-1]
    once, twice = (pack(one, dtype=torch.float64) for one in (bag, bag.repeat(2, axis=0)))
    assert_close(module(twice), module(once))
    assert_close(module.attention(twice), module.attention(once).repeat_interleave(2) / 2)


def test_tiles_see_each_other(pack, bags):
    # The ratio of two weights would not depend on a third tile if each tile were scored alone.
    module, bag = build(), bags[1]
    changed = bag.copy()
    changed[-1] += 3
    one, other = (module.attention(pack(tiles, dtype=torch.float64)) for tiles in (bag, changed))
    assert abs(one[0] / one[1] - other[0] / other[1]) > 1e-4


def test_weights_of_each_bag_sum_to_one_and_a_single_tile_has_all(pack, bags):
    weights = build().attention(pack(*bags, dtype=torch.float64)).split([len(bag) for bag in bags])
    assert_close(torch.stack([one.sum() for one in weights]), torch.ones(len(bags), dtype=torch.float64))
    assert [weights[i].tolist() for i in (0, 3)] == [[1.0], [1.0]]
    assert weights[-1].std() > 1e-4  # not the mean in disguise


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_a_bag_does_not_notice_the_others_in_its_batch(pack, bags, training):
    module = build(dtype=torch.float32, dropout=0.0).train(training)
    together = module(pack(*bags))
    assert_close(torch.cat([module(pack(bag)) for bag in bags]), together, rtol=1e-5, atol=1e-6)
    changed = module(pack(*[bag + 1 for bag in bags[:-1]], bags[-1]))
    assert_close(changed[-1], together[-1], **EXACT)
    assert_close(module.attention(pack(*bags))[-40:], module.attention(pack(bags[-1])), **EXACT)


def test_gradients_are_those_of_the_function(pack, bags):
    module = build(4, n_inducing=2, n_layers=1, embedding_dim=3, n_features=2)
    packed = pack(bags[0][:, :2], bags[1][:, :2], dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]
    inputs = [one.detach().requires_grad_() for one in (packed.values, *module.parameters())]

    def function(tiles, *weights):
        return torch.func.functional_call(module, dict(zip(names, weights)), (packed.with_values(tiles),))

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_all_weights_are_trained(pack, bags):
    module = build()
    module(pack(*bags, dtype=torch.float64)).square().sum().backward()
    # A softmax does not change if all scores shift, so the bias of the keys is the one that has no say.
    idle = {name for name, parameter in module.named_parameters() if not parameter.grad.abs().max() > 1e-12}
    assert idle == {name for name, _ in module.named_parameters() if name.endswith("key.bias")}


def test_dropout_acts_in_training_only(pack, bags):
    module, packed = build(dropout=0.5), pack(*bags, dtype=torch.float64)
    module.train()
    torch.manual_seed(0)
    assert not torch.equal(module(packed), module(packed))
    module.eval()
    assert_close(module(packed), module(packed), **EXACT)
    without = build(dropout=0.0)
    assert_close(module(packed), without(packed), **EXACT)


def test_same_seed_same_bits_of_output_and_gradient(pack, bags):
    results = []
    for _ in range(2):
        module = build(dtype=torch.float32).train()
        torch.manual_seed(1)
        output = module(pack(*bags))
        output.square().sum().backward()
        results.append((output, [one.grad for one in module.parameters()]))
    assert_close(*results, **EXACT)


def test_extreme_tiles_stay_finite(pack, bags):
    module = build(dtype=torch.float32)
    packed = pack(1e6 * bags[-1], np.zeros((3, 5)))
    assert torch.isfinite(module(packed)).all()
    assert_close(module.attention(packed)[40:], torch.full((3,), 1 / 3))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"hidden_dim=10 among n_heads=4.*multiple of n_heads"):
        TransformerMIL(10, n_heads=4).build(n_features=5, embedding_dim=16)
