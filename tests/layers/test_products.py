import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.layers import _products
from sksurv_mmf.layers._attention_pooling import CHUNK, AttentionPooling
from sksurv_mmf.layers._products import PART, is_onednn_quicker, library, products

VARIABLE = "SKSURV_MMF_PRODUCTS"
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
BATCH = (PART + 7, CHUNK, PART - 9)  # bags that do not end where chunks do, and a rest


def problem(width=320, n_features=64, dim=16, members=(), seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = [(width, n_features), (width,), (2 * dim, width), (2 * dim,), (dim,), (1,)]
    tiles = torch.randn(sum(BATCH), n_features, generator=draw)
    return tiles, [torch.randn(*members, *shape, generator=draw).mul_(0.1).requires_grad_() for shape in shapes]


def pooled_and_gradients(x, weights, dropout=0.0, generators=(None,), precision="float32"):
    pooled = AttentionPooling.apply(x, BATCH, *weights, 0.0, dropout, True, precision, generators)
    # No score depends on what is added to all of them: of the last gradient there is rounding alone.
    return [pooled.detach(), *torch.autograd.grad(pooled.square().sum(), weights[:-1])]


def largest_difference(ours, theirs):
    """Relative to the largest value of each tensor; gradients of scores are sums that cancel to a hundredth."""
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(ours, theirs))


@needs_onednn
def test_both_libraries_compute_the_same(monkeypatch):
    x, weights = problem()
    monkeypatch.setenv(VARIABLE, "mkl")
    by_mkl = pooled_and_gradients(x, weights)
    monkeypatch.setenv(VARIABLE, "onednn")
    seen, by_onednn = [], _products.by_onednn
    monkeypatch.setattr(_products, "by_onednn", lambda x, *args: (seen.append(x.shape), by_onednn(x, *args))[1])
    ours = pooled_and_gradients(x, weights)
    assert largest_difference(ours, by_mkl) < 1e-4
    assert all(torch.equal(*pair) for pair in zip(ours, pooled_and_gradients(x, weights)))
    # A kernel is compiled for each shape: none that was asked for depends on the number of tiles.
    assert seen
    assert {n for shape in seen for n in shape} <= {PART, 320, 64, 32}


@needs_onednn
@pytest.mark.parametrize("columns", [False, True])
def test_onednn_multiplies_columns_of_a_wider_matrix(columns):
    x, W = torch.randn(8, 6), torch.randn(5, 12)[:, ::2] if columns else torch.randn(5, 6)
    assert_close(_products.by_onednn(x, W), x @ W.T)


def test_members_together_are_what_each_is_alone():
    x, weights = problem(width=32, members=(10,))

    def generators():
        return [torch.Generator().manual_seed(k) for k in range(10)]

    together = pooled_and_gradients(x, weights, 0.25, generators())
    each = zip(generators(), *(one.detach() for one in weights))
    alone = [
        pooled_and_gradients(x, [one.requires_grad_() for one in own], 0.25, [generator]) for generator, *own in each
    ]
    assert largest_difference(together, list(map(torch.stack, zip(*alone)))) < 1e-4
    assert not torch.equal(together[0][0], together[0][1])


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv(VARIABLE, "mkl")
    assert library() == "mkl"
    monkeypatch.setenv(VARIABLE, "openblas")
    with pytest.raises(ValueError, match="SKSURV_MMF_PRODUCTS must be mkl or onednn, got 'openblas'"):
        library()
    monkeypatch.setenv(VARIABLE, "onednn")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="has no oneDNN"):
        library()


@pytest.mark.parametrize("wrong", [None, "oneDNN", "MKL", "maker", "family", "width"])
def test_onednn_is_for_zen_5_where_torch_has_both(monkeypatch, tmp_path, wrong):
    monkeypatch.delenv(VARIABLE, raising=False)
    maker = "GenuineIntel" if wrong == "maker" else "AuthenticAMD"
    family = 25 if wrong == "family" else 26
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nvendor_id : {maker}\ncpu family\t: {family}\n\nprocessor : 1\n")
    monkeypatch.setattr(_products, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: wrong != "oneDNN")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: wrong != "MKL")
    capability = "AVX2" if wrong == "width" else "AVX512"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    _products.amd_family.cache_clear()
    try:
        assert is_onednn_quicker() == (wrong is None)
        assert library() == ("mkl" if wrong else "onednn")
    finally:
        monkeypatch.undo()
        _products.amd_family.cache_clear()


@pytest.mark.parametrize(("processor", "family"), [("AMD64 Family 26 Model 2, AuthenticAMD", 26), ("", 0)])
def test_without_cpuinfo_the_platform_tells_the_family(monkeypatch, tmp_path, processor, family):
    monkeypatch.setattr(_products, "CPU_INFO", tmp_path / "nowhere")
    monkeypatch.setattr(_products.platform, "processor", lambda: processor)
    assert _products.amd_family.__wrapped__() == family


def test_float64_is_left_to_torch(monkeypatch):
    monkeypatch.setenv(VARIABLE, "onednn" if torch.backends.mkldnn.is_available() else "mkl")
    assert type(products(torch.float64)) is _products.Products


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_rounds_factors_and_nothing_else(monkeypatch, fast):
    monkeypatch.setattr(_products, "multiplies_bfloat16", lambda: fast)
    x, weights = problem()
    exact = pooled_and_gradients(x, weights)
    ours = pooled_and_gradients(x, weights, precision="bfloat16")
    assert all(one.dtype == torch.float32 for one in ours)
    cosines = [torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) for one, other in zip(ours, exact)]
    assert min(cosines) > 0.99
    assert 1e-4 < largest_difference(ours[:2], exact[:2]) < 0.05
    by, draw = products(torch.float32, "bfloat16"), torch.Generator().manual_seed(0)
    few_bits = torch.randint(-8, 8, (300, 40), generator=draw).float()
    # Sums beyond 256 have more bits than a bfloat16.
    total = torch.full((40, 40), 1e4)
    assert_close(by.add(total.clone(), few_bits.T, few_bits), total + few_bits.T @ few_bits, rtol=0.005, atol=0)


def test_bfloat16_is_that_of_torch_where_it_is_quick():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_products.rounded(x).float(), x.bfloat16().float())
    assert type(products(torch.float64, "bfloat16")) is _products.Products
