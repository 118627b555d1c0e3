from itertools import product

import pytest
import torch
from token_batches import all_present, check_hidden_is_left_out, fuse, has_tokens, patient, random_tokens
from torch.testing import assert_close

from sksurv_mmf.bags import PackedBags
from sksurv_mmf.fusions import SurvPath
from sksurv_mmf.fusions._tokens import map_layouts

DIMS = {"rna": 16, "wsi": 16}

# Where the authors keep what we call by the name on the left: in the whole model, and in the block alone.
MODEL = {
    "attention.norm": "cross_attender.norm",
    "attention.to_qkv": "cross_attender.attn.to_qkv",
    "feed_forward.0": "feed_forward.norm",
    "feed_forward.1": "feed_forward.net.0",
    "feed_forward.4": "feed_forward.net.3",
    "norm": "layer_norm",
    "last": "to_logits.0",
}
BLOCK = {
    "attention.norm": "attn.norm",
    "attention.to_qkv": "attn.attn.to_qkv",
    "feed_forward.0": "ff.norm",
    "feed_forward.1": "ff.net.0",
    "feed_forward.4": "ff.net.3",
    "norm": "ln",
}


def load(module, arrays, prefix, keys):
    for ours, theirs in keys.items():
        layer = module.get_submodule(ours)
        layer.load_state_dict(
            {kind: torch.as_tensor(arrays[f"{prefix}{theirs}.{kind}"]) for kind in layer.state_dict()}
        )
    return module.double().eval()


def build(dims=DIMS, bags=("wsi",), **params):
    torch.manual_seed(0)
    return SurvPath(**params).build(dims, bags).double().eval()


def attend(module, tokens, n_omics):
    """The attention of tokens none of which is hidden."""
    return module.attention(tokens, n_omics, torch.ones(tokens.shape[:2], dtype=torch.bool))


def means(module, tokens):
    """The means of dense tokens none of which is hidden."""
    return module._means(tokens, all_present(*tokens))


@pytest.mark.parametrize(
    ("variant", "n_tiles", "params"),
    [("h1", 1, {}), ("h1", 7, {}), ("h1", 50, {}), ("h2", 7, {"n_heads": 2, "head_dim": 6})],
)
def test_block_equals_the_authors(reference, variant, n_tiles, params):
    arrays = reference("survpath_block")
    module = load(build(**params), arrays, f"{variant}/sd/", BLOCK)
    tokens = torch.as_tensor(arrays[f"{variant}/in/tokens_{n_tiles}tiles"]).double()
    expected = {
        name: torch.as_tensor(arrays[f"f64/{variant}/tiles{n_tiles}/{name}"])
        for name in ("attn_out", "ln_out", "pooled")
    }
    n_pathways = tokens.shape[1] - n_tiles
    out = attend(module, tokens, n_pathways)
    assert_close(out, expected["attn_out"], rtol=1e-10, atol=1e-12)
    assert_close(module.norm(module.feed_forward(out)), expected["ln_out"], rtol=1e-10, atol=1e-12)
    pooled = means(module, [tokens[:, :n_pathways], tokens[:, n_pathways:]])
    assert_close(pooled, expected["pooled"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_heads", [1, 2])
def test_scores_of_the_authors_give_their_attention(reference, n_heads):
    # Pathway queries: one softmax over pathways and tiles together. Tile queries: a softmax over the pathways alone.
    arrays, variant = reference("survpath_block"), f"h{n_heads}"
    tokens = torch.as_tensor(arrays[f"{variant}/in/tokens_7tiles"]).double()
    module = load(build(n_heads=n_heads, head_dim=8 if n_heads == 1 else 6), arrays, f"{variant}/sd/", BLOCK)
    n = tokens.shape[1] - 7
    scores = {
        name: torch.as_tensor(arrays[f"f64/{variant}/tiles7/presoftmax_{name}"]).reshape(n_heads, *shape)
        for name, shape in {"path_path": (n, n), "path_tile": (n, 7), "tile_path": (7, n)}.items()
    }
    value = module.attention.to_qkv(module.attention.norm(tokens))[0].chunk(3, dim=1)[2]
    value = value.unflatten(1, (n_heads, -1)).transpose(0, 1)
    of_pathways = torch.cat([scores["path_path"], scores["path_tile"]], dim=2).softmax(2) @ value
    of_tiles = scores["tile_path"].softmax(2) @ value[:, :n]
    expected = torch.cat([of_pathways, of_tiles], dim=1).transpose(0, 1).flatten(1)
    assert_close(attend(module, tokens, n)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_tiles", [1, 7, 50])
def test_model_equals_the_authors(reference, n_tiles):
    arrays = reference("survpath_model_tiny")
    module = load(build(), arrays, "sd/", MODEL)
    tokens = torch.as_tensor(arrays[f"f64/wsi{n_tiles}/tokens"])[0]
    assert_close(
        means(module, [tokens[None, :3], tokens[None, 3:]]),
        torch.as_tensor(arrays[f"f64/wsi{n_tiles}/embedding"]),
        rtol=1e-10,
        atol=1e-12,
    )
    fused = fuse(module, PackedBags(tokens[:3], (3,)), PackedBags(tokens[3:], (n_tiles,)))
    weight, bias = (torch.as_tensor(arrays[f"sd/to_logits.2.{kind}"]).double() for kind in ("weight", "bias"))
    logits = fused @ weight.T + bias
    assert_close(logits, torch.as_tensor(arrays[f"f64/wsi{n_tiles}/logits"]), rtol=1e-10, atol=1e-12)


def test_absent_tokens_are_left_out_where_the_authors_keep_zeros(reference):
    # Their masked tokens have a key and a value of zero and still take part in the softmax, with the score zero.
    arrays = reference("survpath_block")
    module = load(build(), arrays, "h1/sd/", BLOCK)
    tokens = torch.as_tensor(arrays["h1/in/tokens_7tiles"]).double()
    keep = torch.as_tensor(arrays["h1/in/mask_7tiles"])[0]
    theirs = torch.as_tensor(arrays["f64/h1/tiles7/attn_out_masked"])[0]
    query, key, value = module.attention.to_qkv(module.attention.norm(tokens[0])).chunk(3, dim=1)
    weights = (query @ key.T / 8**0.5).masked_fill(~keep, 0).softmax(1).masked_fill(~keep, 0)
    pathways = keep & (torch.arange(12) < 5)
    assert_close((weights @ value)[pathways], theirs[pathways], rtol=1e-10, atol=1e-12)
    n_pathways = int(pathways.sum())
    ours = attend(module, tokens[:, keep], n_pathways)[0]
    renormalized = (weights / weights.sum(1, keepdim=True)) @ value
    assert not keep.all()
    assert_close(ours[:n_pathways], renormalized[pathways], rtol=1e-10, atol=1e-12)
    assert (ours[:n_pathways] - theirs[pathways]).abs().max() > 1e-3


@pytest.mark.parametrize("n_omics", [0, 1, 3])
def test_a_tile_does_not_see_other_tiles(n_omics):
    module, tokens = build(), torch.randn(1, n_omics + 5, 16, dtype=torch.float64)
    changed = tokens.clone()
    changed[:, -1] = torch.randn(16)
    before, after = (attend(module, one, n_omics)[0] for one in (tokens, changed))
    assert_close(after[n_omics:-1], before[n_omics:-1], rtol=1e-12, atol=1e-14)
    if n_omics:
        assert ((after[:n_omics] - before[:n_omics]).abs().amax(1) > 1e-6).all()


def test_without_omics_a_tile_attends_to_the_stand_in_and_itself():
    module, tiles = build(), torch.randn(2, 4, 16, dtype=torch.float64)
    attention = module.attention
    query, key, value = attention.to_qkv(attention.norm(tiles)).chunk(3, dim=2)
    _, other_key, other_value = attention.to_qkv(attention.norm(attention.stand_in)).chunk(3)
    weight = torch.sigmoid((query * (key - other_key)).sum(2, keepdim=True) / 8**0.5)
    assert_close(attend(module, tiles, 0), weight * value + (1 - weight) * other_value, rtol=1e-10, atol=1e-12)


def test_without_bags_every_token_attends_to_all():
    module, tokens = build({"a": 16, "b": 16}, bags=()), torch.randn(1, 6, 16, dtype=torch.float64)
    query, key, value = module.attention.to_qkv(module.attention.norm(tokens[0])).chunk(3, dim=1)
    out = module.norm(module.feed_forward((query @ key.T / 8**0.5).softmax(1) @ value))
    expected = torch.cat([out[:2].mean(0), out[2:].mean(0)])
    assert_close(means(module, [tokens[:, :2], tokens[:, 2:]])[0], expected, rtol=1e-10, atol=1e-12)


def test_means_are_in_the_order_of_the_modalities():
    swapped = build({"wsi": 16, "rna": 16})
    rna, wsi = random_tokens(2, 3), random_tokens(4, 5)
    one, other = map_layouts(build()._means, [rna, wsi], has_tokens([rna, wsi])).chunk(2, dim=1)
    assert_close(map_layouts(swapped._means, [wsi, rna], has_tokens([wsi, rna])), torch.cat([other, one], dim=1))


@pytest.mark.parametrize("bags", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_any_modality_may_be_missing(bags):
    module = build(dict.fromkeys("abc", 16), bags)
    has = [one for one in product([0, 1, 3], repeat=3) if any(one)]
    batch = [random_tokens(*lengths) for lengths in zip(*has)]
    for one in batch:
        one.values.requires_grad_()
    means = map_layouts(module._means, batch, has_tokens(batch)).unflatten(1, (3, -1))
    missing = torch.tensor(has) == 0
    assert (means[missing] == 0).all()
    assert (means[~missing].abs().amax(1) > 0).all()
    fuse(module, *batch).square().sum().backward()
    grads = [one.values.grad for one in batch] + [p.grad for p in module.parameters() if p.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    for i, one in enumerate(has):  # whatever a patient lacks, and with one modality alone, its tokens matter
        values = [torch.randn_like(single.values) for single in patient(batch, i)]
        other = [PackedBags(value, (n,)) for value, n in zip(values, one)]
        assert (map_layouts(module._means, other, has_tokens(other)) - means[i].flatten()).abs().max() > 1e-6


@pytest.mark.parametrize("bags", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_hidden_tokens_are_as_if_they_were_not_there(bags):
    check_hidden_is_left_out(build(dict.fromkeys("abc", 16), bags))


def test_patients_are_independent():
    module = build()
    rna, wsi = random_tokens(2, 0, 2, 1, 2, 3), random_tokens(5, 4, 5, 1, 0, 5)
    together = fuse(module, rna, wsi)
    for i in range(6):
        assert_close(together[i : i + 1], fuse(module, *patient([rna, wsi], i)), rtol=1e-10, atol=1e-12)


def test_values_of_a_modality_have_no_influence_on_who_lacks_it():
    module, rna = build(), random_tokens(2, 2, 3)
    first, second = (fuse(module, rna, random_tokens(4, 0, 0)) for _ in range(2))
    assert torch.equal(first[1:], second[1:])
    assert (first[0] - second[0]).abs().max() > 0


def test_order_of_tokens_does_not_matter():
    module, rna, wsi = build(n_heads=2), random_tokens(4), random_tokens(9)
    shuffled = [one.with_values(one.values[torch.randperm(one.lengths[0])]) for one in (rna, wsi)]
    assert_close(fuse(module, *shuffled), fuse(module, rna, wsi), rtol=1e-10, atol=1e-12)


def test_gradients_equal_finite_differences():
    module = build({"rna": 4, "wsi": 4}, n_heads=2)
    names = [name for name, _ in module.named_parameters()]
    lengths = (2, 0, 1), (3, 2, 0)

    def means(rna, wsi, *parameters):
        packed = [PackedBags(values, one) for values, one in zip((rna, wsi), lengths)]
        present = torch.tensor(lengths).T > 0
        return torch.func.functional_call(module, dict(zip(names, parameters)), (packed, present))[0]

    tokens = [random_tokens(*one, dim=4).values.requires_grad_() for one in lengths]
    torch.autograd.gradcheck(means, (*tokens, *module.parameters()))


def test_default_widths_are_those_of_the_authors():
    module = SurvPath().build({"rna": 256, "wsi": 256}, bags=["wsi"])
    assert module.norm.normalized_shape == (128,)
    assert module.out_dim == 64
