import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import TileTokens


def build(*args, **params):
    torch.manual_seed(0)
    return TileTokens(*args, **params).build(n_features=5, embedding_dim=16).double()


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 5)) for n in (1, 6, 2)]


@pytest.mark.parametrize("n_tiles", [1, 7, 50])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, {"rtol": 1e-10, "atol": 1e-12}), (torch.float32, {"rtol": 1e-5, "atol": 1e-6})],
)
def test_tokens_equal_survpath(reference, pack, n_tiles, dtype, tolerance):
    arrays = reference("survpath_model_tiny")
    module = TileTokens().build(n_features=20, embedding_dim=16)
    names = ("weight", "bias")
    module.load_state_dict({f"0.{kind}": torch.as_tensor(arrays[f"sd/wsi_projection_net.0.{kind}"]) for kind in names})
    tokens = module.to(dtype)(pack(arrays[f"in/wsi{n_tiles}"][0], dtype=dtype))
    expected = torch.as_tensor(arrays[f"f64/wsi{n_tiles}/tokens"])[0, 3:]  # three pathways come first
    assert tokens.lengths == (n_tiles,)
    assert_close(tokens.values, expected.to(dtype), **tolerance)


def test_relu_cuts_the_linear_tokens_off(pack, bags):
    bag = pack(*bags, dtype=torch.float64)
    linear, cut = build()(bag), build("relu").eval()(bag)
    assert (linear.values < 0).any()
    assert_close(cut.values, linear.values.clamp(min=0), rtol=0, atol=0)


def test_each_tile_makes_its_own_token(pack, bags):
    module = build("relu").eval()
    together = module(pack(*bags, dtype=torch.float64))
    assert together.lengths == (1, 6, 2)
    alone = torch.cat([module(pack(tile[None], dtype=torch.float64)).values for bag in bags for tile in bag])
    assert_close(together.values, alone, rtol=1e-12, atol=1e-12)


def test_dropout_acts_in_training_only(pack, bags):
    module = build(dropout=0.5)
    bag = pack(*bags, dtype=torch.float64)
    dropped, kept = module(bag).values, module.eval()(bag).values
    ratio = dropped / kept
    assert_close(ratio, torch.where(dropped == 0, 0, 2.0).double(), rtol=1e-12, atol=0)
    assert 0 < (dropped == 0).sum() < dropped.numel()
    assert_close(kept, build()(bag).values, rtol=0, atol=0)


def test_weights_start_xavier_normal_and_biases_at_zero():
    torch.manual_seed(0)
    linear = TileTokens().build(n_features=500, embedding_dim=300)[0]
    assert linear.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.02)
    assert not linear.bias.any()
