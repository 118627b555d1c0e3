import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.encoders import MaxMIL, MeanMIL

ENCODERS = pytest.mark.parametrize(("Encoder", "pool"), [(MeanMIL, np.mean), (MaxMIL, np.max)])


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 5)) for n in (1, 6, 2)]


def build(Encoder, **params):
    torch.manual_seed(0)
    return Encoder(8, **params).build(n_features=5, embedding_dim=16).double()


def linear(layer, rows):
    return rows @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


@ENCODERS
def test_it_equals_the_formula_in_numpy(pack, bags, Encoder, pool):
    module = build(Encoder).eval()
    expected = []
    for bag in bags:
        embedded = np.maximum(linear(module.embed[0], bag), 0)
        expected.append(np.maximum(linear(module.rho[0], pool(embedded, axis=0)), 0))
    assert np.any(expected)
    assert_close(module(pack(*bags, dtype=torch.float64)), torch.as_tensor(np.stack(expected)), rtol=1e-12, atol=1e-12)


@ENCODERS
def test_order_and_repetition_of_tiles_do_not_matter(pack, bags, Encoder, pool):
    module = build(Encoder).eval()
    bag = bags[1]
    same = module(pack(bag, bag[::-1].copy(), bag.repeat(3, axis=0), dtype=torch.float64))
    assert_close(same, same[:1].expand_as(same))


@ENCODERS
def test_a_bag_does_not_notice_the_others_in_its_batch(pack, bags, Encoder, pool):
    module = build(Encoder).eval()
    alone = torch.cat([module(pack(bag, dtype=torch.float64)) for bag in bags])
    assert_close(module(pack(*bags, dtype=torch.float64)), alone)


@ENCODERS
def test_dropout_acts_in_training_only(pack, bags, Encoder, pool):
    module = build(Encoder, dropout=0.5)
    bag = pack(*bags, dtype=torch.float64)
    assert not torch.equal(module(bag), module(bag))
    module.eval()
    assert torch.equal(module(bag), module(bag))


@ENCODERS
def test_it_weighs_no_tiles(Encoder, pool):
    assert not hasattr(build(Encoder), "attention")
