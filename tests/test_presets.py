import numpy as np
import pytest
from sklearn.base import clone

from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL, Identity
from sksurv_mmf.fusions import CrossModalAttention
from sksurv_mmf.presets import paper_protocol, table1, table2


@pytest.fixture(scope="module")
def cohort():
    return make_multimodal_survival(
        n_patients=24, n_genes=6, n_informative_genes=3, n_tiles=(3, 6), n_tile_features=5, random_state=0
    )


def test_every_row_follows_the_protocol_of_the_paper():
    stated = {"lr": 0.01, "batch_size": 1, "max_epochs": 55, "optimizer": "adam"}
    for model in [*table1(**paper_protocol()).values(), *table2(**paper_protocol()).values()]:
        assert stated.items() <= model[-1].get_params(deep=False).items()
        n_modalities = len(model[-1].modalities)
        assert model[-1].normalization == ("minmax" if n_modalities == 2 else None)


def test_rows_differ_in_the_stated_part_only():
    models = {name: model[-1] for name, model in table1().items()}
    assert [name for name, _ in models.pop("AMIL, image only").modalities] == ["wsi"]
    assert models.pop("Custom-AMIL, image only").modalities[0][1].batch_norm
    assert models.pop("SNN, RNA only").modalities[0][1].n_layers == 4
    assert isinstance(models.pop("Raw concatenation").modalities[1][1], Identity)
    assert len(models) == 6
    assert len({type(model.fusion) for model in models.values()}) == 6
    for model in models.values():
        assert [type(encoder) for _, encoder in model.modalities] == [AttentionMIL, SNN]
    variants = [(model[-1].fusion.shared, model[-1].fusion.activation) for model in table2().values()]
    assert variants == [(False, "relu"), (True, "relu"), (False, "tanh"), (True, "tanh")]
    assert isinstance(models["CM-MMF"].fusion, CrossModalAttention)


@pytest.mark.parametrize("table", [table1, table2])
def test_every_row_learns_from_the_same_cohort_and_rows_share_nothing(cohort, table):
    tiny = {"embedding_dim": 8, "max_epochs": 2, "device": "cpu", "random_state": 0}
    models = table(**tiny)
    before = {name: clone(model).fit(cohort.X, cohort.y).predict(cohort.X) for name, model in models.items()}
    assert len({risk.tobytes() for risk in before.values()}) == len(models)
    first = next(iter(models))
    models[first].set_params(fuse__wsi__hidden_dim=3)
    for name, model in models.items():
        again = model.fit(cohort.X, cohort.y).predict(cohort.X)
        assert np.array_equal(again, before[name]) == (name != first)


def test_modalities_may_have_other_names(cohort):
    X = cohort.X.rename(columns=lambda name: name.replace("wsi__", "slide__").replace("rna__", "genes__"))
    model = table1("slide", "genes", max_epochs=1, random_state=0)["Concatenation"].fit(X, cohort.y)
    assert [name for name, *_ in model[-1].modalities_] == ["slide", "genes"]
