"""An encoder is one class: once there is one, messages and lists have it."""

import gc
import importlib.util

import pytest

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN, AttentionMIL, MaxMIL
from sksurv_mmf.encoders._base import encoders_that
from sksurv_mmf.fusions import Concat

SOURCE = """
import torch
from torch import nn

from sksurv_mmf.encoders import Encoder


class FirstTile(Encoder):
    reads = "bag"
    has_attention = True

    def build(self, n_features, embedding_dim):
        return FirstTileModule(n_features, embedding_dim)


class Doubled(Encoder):
    reads = "vector"

    def build(self, n_features, embedding_dim):
        module = nn.Linear(n_features, 2 * embedding_dim)
        module.out_dim = 2 * embedding_dim
        return module


class _Draft(FirstTile):
    pass


class Unfinished(Encoder):
    reads = "bag"
    has_attention = True


class FirstTileModule(nn.Module):
    def __init__(self, n_features, embedding_dim):
        super().__init__()
        self.linear, self.out_dim = nn.Linear(n_features, embedding_dim), embedding_dim

    def forward(self, bags):
        return self.linear(torch.stack([tiles[0] for tiles in bags.values.split(bags.lengths)]))

    def attention(self, bags):
        return torch.cat([torch.eye(1, n)[0] for n in bags.lengths])
"""


@pytest.fixture
def added(tmp_path):
    """A module with encoders, which are forgotten after the test."""
    before = encoders_that()
    path = tmp_path / "added.py"
    path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("added", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    vars(module).clear()
    gc.collect()
    assert encoders_that() == before


def fit(cohort, wsi, rna):
    model = FusionSurvivalAnalysis(
        [("wsi", wsi), ("rna", rna)], Concat(4), n_estimators=1, max_epochs=1, random_state=0, device="cpu"
    )
    return model.fit(cohort.X, cohort.y)


def test_lists_have_it(added):
    assert {"FirstTile", "AttentionMIL", "MaxMIL"} <= set(encoders_that(reads="bag"))
    assert {"Doubled", "SNN", "Identity"} <= set(encoders_that(reads="vector"))
    assert {"FirstTile", "AttentionMIL"} <= set(encoders_that(has_attention=True)) - {"MaxMIL", "Doubled", "SNN"}
    assert not {"FirstTile", "AttentionMIL"} & set(encoders_that(reads="vector"))
    assert not {"MaxMIL", "Doubled"} & set(encoders_that(has_attention=True))
    assert not {"_Draft", "Unfinished", "Encoder"} & set(encoders_that())
    assert encoders_that(reads="bag") == sorted(encoders_that(reads="bag"))


def test_messages_offer_it(added, cohort):
    with pytest.raises(ValueError, match=r"'wsi' is a bag column, but SNN reads numeric.*\bFirstTile\b"):
        fit(cohort, SNN(4), SNN(4))
    with pytest.raises(ValueError, match=r"'rna' is numeric columns, but FirstTile reads a bag.*\bDoubled\b"):
        fit(cohort, MaxMIL(4), added.FirstTile())
    with pytest.raises(ValueError, match=r"MaxMIL \('wsi'\).*Encoders that do are .*\bFirstTile\b.*: none\."):
        fit(cohort, MaxMIL(4), SNN(4)).tile_attention(cohort.X)


def test_it_works_beside_those_of_the_package(added, cohort):
    model = fit(cohort, added.FirstTile(), added.Doubled())
    assert [one.out_dim for one in model.net_.module_.encoders] == [32, 64]
    attention = model.tile_attention(cohort.X)["attention"]
    assert (attention == (attention.index.get_level_values("tile") == 0)).all()
    model = fit(cohort, AttentionMIL(4, 4), added.Doubled())
    with pytest.raises(ValueError, match=r"Doubled \('rna'\) does not weigh tiles.* weights of tiles: 'wsi'\."):
        model.tile_attention(cohort.X, "rna")
