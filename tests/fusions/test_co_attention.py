from itertools import product

import pytest
import torch
from token_batches import all_present, check_hidden_is_left_out, fuse, has_tokens, patient, random_tokens
from torch import nn
from torch.testing import assert_close

from sksurv_mmf.bags import PackedBags
from sksurv_mmf.fusions import CoAttention
from sksurv_mmf.fusions._co_attention import _GatedPooling
from sksurv_mmf.fusions._tokens import map_layouts

DIMS = {"wsi": 16, "rna": 16}
TINY = {"n_layers": 1, "feedforward_dim": 8, "hidden_dim": 8}


def layer_state(arrays, prefix, module):
    return {name: torch.as_tensor(arrays[f"{prefix}.{name}"]) for name in module.state_dict()}


def load_gated_pooling(pool, arrays, prefix):
    """The authors' two hidden layers are one of ours."""
    state = {}
    for kind in ("weight", "bias"):
        hidden = [torch.as_tensor(arrays[f"{prefix}attention_{one}.0.{kind}"]) for one in "ab"]
        state[f"score.hidden.{kind}"] = torch.cat(hidden)
        state[f"score.score.{kind}"] = torch.as_tensor(arrays[f"{prefix}attention_c.{kind}"])
    pool.load_state_dict(state)


def build_mcat(arrays):
    module = CoAttention(feedforward_dim=24, hidden_dim=16).build(DIMS, ["wsi"])
    for branch, name in zip(module.branches, ("path", "omic")):
        branch.transformer.load_state_dict(layer_state(arrays, f"concat/sd/{name}_transformer", branch.transformer))
        branch.rho.load_state_dict(layer_state(arrays, f"concat/sd/{name}_rho", branch.rho))
        load_gated_pooling(branch.pool, arrays, f"concat/sd/{name}_attention_head.")
    coattention = module.branches[0].coattention
    coattention.load_state_dict(layer_state(arrays, "concat/sd/coattn", coattention))
    for ours, theirs in ((0, 0), (3, 2)):
        module.last[ours].load_state_dict(layer_state(arrays, f"concat/sd/mm.{theirs}", module.last[ours]))
    return module.double().eval()


def mcat_tokens(arrays, n_tiles):
    """What the authors' encoders make of a bag and of six gene sets."""

    def linear(inputs, name):
        weight, bias = (torch.as_tensor(arrays[f"concat/sd/{name}.{kind}"]).double() for kind in ("weight", "bias"))
        return torch.as_tensor(inputs).double() @ weight.T + bias

    tiles = torch.relu(linear(arrays[f"in/bag{n_tiles}"], "wsi_net.0"))
    gene_sets = []
    for i in range(6):
        hidden = nn.functional.elu(linear(arrays[f"in/omic{i + 1}"], f"sig_networks.{i}.0.0"))
        gene_sets.append(nn.functional.elu(linear(hidden, f"sig_networks.{i}.1.0")))
    return PackedBags(tiles, (n_tiles,)), PackedBags(torch.stack(gene_sets), (6,))


def build(dims=DIMS, bags=("wsi",), **params):
    torch.manual_seed(0)
    return CoAttention(**(TINY | params)).build(dims, bags).double().eval()


@pytest.mark.parametrize("n_tiles", [1, 7, 50])
def test_gated_pooling_equals_the_authors(reference, n_tiles):
    arrays = reference("mcat_gated_attention")
    pool = _GatedPooling(24, 16, dropout=0.25)
    load_gated_pooling(pool, arrays, "att1/sd/")
    pooled = pool.double().eval()(torch.as_tensor(arrays[f"in/bag{n_tiles}"]).double()[None])
    assert_close(pooled, torch.as_tensor(arrays[f"f64/att1/bag{n_tiles}/pooled"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_tiles", [1, 7, 50])
def test_model_equals_the_authors(reference, n_tiles):
    arrays = reference("mcat_model_tiny")
    module, tokens, out = build_mcat(arrays), mcat_tokens(arrays, n_tiles), {}
    path, omic = module.branches
    for name, part in {
        "coattn_out": path.coattention,
        "path_transformer_out": path.transformer,
        "omic_transformer_out": omic.transformer,
        "h_path": path.rho,
        "h_omic": omic.rho,
    }.items():
        part.register_forward_hook(lambda _, inputs, output, name=name: out.update({name: output}))
    out["h_mm"] = fuse(module, *tokens)[0]
    out["coattn_out"] = out["coattn_out"][0].transpose(0, 1)  # (n_queries, 1, dim)
    weight, bias = (torch.as_tensor(arrays[f"concat/sd/classifier.{kind}"]).double() for kind in ("weight", "bias"))
    out["logits"] = out["h_mm"][None] @ weight.T + bias
    for name, value in out.items():
        expected = torch.as_tensor(arrays[f"f64/concat/bag{n_tiles}/{name}"])
        assert_close(value, expected, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def test_tiles_are_queried_by_the_tokens_of_all_query_modalities():
    module = build({"rna": 16, "wsi": 16, "clinical": 16})
    rna, wsi, clinical = (torch.randn(1, n, 16, dtype=torch.float64) for n in (3, 5, 1))
    seen = []
    module.branches[1].coattention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    for tokens in ([rna, wsi, clinical], [rna[:, :0], wsi, clinical], [rna[:, :0], wsi, clinical[:, :0]]):
        module._vectors(tokens, all_present(*tokens))
    for (queries, keys, values), expected in zip(
        seen, (torch.cat([rna, clinical], 1), clinical, module.stand_in[None, None])
    ):
        assert torch.equal(queries, expected)
        assert torch.equal(keys, wsi)
        assert torch.equal(values, wsi)


@pytest.mark.parametrize(
    ("queries", "bags", "expected"),
    [
        (None, ["b"], ["a", "c"]),
        (None, ["a", "b"], ["c"]),
        (None, [], ["c"]),
        (None, ["a", "b", "c"], ["c"]),
        (["b"], ["b"], ["b"]),
    ],
)
def test_which_modalities_are_queries(queries, bags, expected):
    module = build(dict.fromkeys("abc", 16), bags, queries=queries)
    assert [name for name, branch in zip("abc", module.branches) if branch.coattention is None] == expected


@pytest.mark.parametrize("bags", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_any_modality_may_be_missing(bags):
    module = build(dict.fromkeys("abc", 16), bags)
    has = [one for one in product([0, 1, 3], repeat=3) if any(one)]
    batch = [random_tokens(*lengths) for lengths in zip(*has)]
    for one in batch:
        one.values.requires_grad_()
    vectors = map_layouts(module._vectors, batch, has_tokens(batch)).unflatten(1, (3, -1))
    missing = torch.tensor(has) == 0
    assert (vectors[missing] == 0).all()
    assert (vectors[~missing].abs().amax(1) > 0).all()
    fuse(module, *batch).square().sum().backward()
    grads = [one.values.grad for one in batch] + [p.grad for p in module.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    for i, one in enumerate(has):  # whatever a patient lacks, each modality that is left matters
        for m in range(3):
            other = patient(batch, i)
            other[m] = random_tokens(one[m])
            change = (map_layouts(module._vectors, other, has_tokens(other)) - vectors[i].flatten()).abs().max()
            assert (change > 1e-6) if one[m] else (change < 1e-12)


@pytest.mark.parametrize("bags", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_hidden_tokens_are_as_if_they_were_not_there(bags):
    check_hidden_is_left_out(build(dict.fromkeys("abc", 16), bags))


def test_patients_are_independent():
    module = build()
    wsi, rna = random_tokens(5, 4, 5, 1, 0, 5), random_tokens(2, 0, 2, 1, 2, 3)
    together = fuse(module, wsi, rna)
    for i in range(6):
        assert_close(together[i : i + 1], fuse(module, *patient([wsi, rna], i)), rtol=1e-10, atol=1e-12)


def test_values_of_a_modality_have_no_influence_on_who_lacks_it():
    module, rna = build(), random_tokens(2, 2, 3)
    first, second = (fuse(module, random_tokens(4, 0, 0), rna) for _ in range(2))
    assert torch.equal(first[1:], second[1:])
    assert (first[0] - second[0]).abs().max() > 0


def test_order_of_tokens_does_not_matter():
    module, wsi, rna = build(), random_tokens(9), random_tokens(4)
    shuffled = [one.with_values(one.values[torch.randperm(one.lengths[0])]) for one in (wsi, rna)]
    assert_close(fuse(module, *shuffled), fuse(module, wsi, rna), rtol=1e-10, atol=1e-12)


def test_a_prediction_has_the_same_bits_with_and_without_gradient():
    module, wsi, rna = build().float(), random_tokens(5, 3), random_tokens(3, 3)
    wsi, rna = (one.with_values(one.values.float()) for one in (wsi, rna))
    with torch.no_grad():
        without = fuse(module, wsi, rna)
    assert torch.equal(fuse(module, wsi, rna), without)


def test_gradients_equal_finite_differences():
    module = build({"wsi": 4, "rna": 4}, n_heads=2, feedforward_dim=3, hidden_dim=4)
    names = [name for name, _ in module.named_parameters()]
    lengths = (3, 2, 0), (2, 0, 1)

    def vectors(wsi, rna, *parameters):
        packed = [PackedBags(values, one) for values, one in zip((wsi, rna), lengths)]
        present = torch.tensor(lengths).T > 0
        return torch.func.functional_call(module, dict(zip(names, parameters)), (packed, present))[0]

    tokens = [random_tokens(*one, dim=4).values.requires_grad_() for one in lengths]
    torch.autograd.gradcheck(vectors, (*tokens, *module.parameters()), fast_mode=True)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match=r"n_heads=8.*embedding_dim=12.*n_heads=\[1, 2, 3, 4, 6, 12\].*multiple of 8"):
        CoAttention().build({"wsi": 12, "rna": 12}, ["wsi"])


@pytest.mark.parametrize("queries", [[], ["dna"], ["wsi", "rna"]])
def test_queries_that_make_no_sense_are_refused(queries):
    with pytest.raises(ValueError, match=r"queries=\[.*'wsi', 'rna'"):
        CoAttention(queries).build(DIMS, ["wsi"])
