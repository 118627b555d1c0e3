import numpy as np
import pandas as pd
import pytest
import torch
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.bags import Bag, open_bags, pack_bags
from sksurv_mmf.encoders import AttentionMIL, MeanMIL
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.patients._columns import BagColumn
from sksurv_mmf.patients._patients import Patients
from sksurv_mmf.patients._tile_sample import TileSample

N_PATIENTS, N_TILES, MOST = 12, 40, 5


def bags():
    """Tiles whose only feature tells which tile of which patient they are; the first patient has few."""
    sizes = [3, *[N_TILES] * (N_PATIENTS - 1)]
    tiles = [np.arange(n, dtype=np.float32)[:, None] + 100 * i for i, n in enumerate(sizes)]
    return pd.Series(tiles, index=[f"P{i}" for i in range(N_PATIENTS)], dtype="bag")


def patients():
    return Patients([BagColumn("wsi", bags().array, range(N_PATIENTS))], np.ones((N_PATIENTS, 1), dtype=bool))


def drawn(epoch, rows, seed=0):
    """Features of the tiles that patients have in an epoch, by patient."""
    packed = patients().sampled(TileSample(MOST, seed, epoch)).batch(np.array(rows)).inputs[0]
    return dict(zip(rows, (one.squeeze(1).tolist() for one in packed.values.split(packed.lengths))))


def test_tiles_are_the_patients_own_and_each_is_there_once():
    for row, tiles in drawn(1, range(N_PATIENTS)).items():
        assert len(set(tiles)) == len(tiles) == (3 if row == 0 else MOST)
        assert tiles == sorted(tiles)
        assert 100 * row <= tiles[0] <= tiles[-1] < 100 * row + N_TILES


def test_what_is_drawn_depends_on_seed_epoch_and_patient_and_not_on_the_batch():
    together = drawn(1, range(N_PATIENTS))
    assert drawn(1, [7, 2]) == {row: together[row] for row in (7, 2)}
    assert [tile - 700 for tile in together[7]] != [tile - 200 for tile in together[2]]
    assert drawn(2, [7]) != drawn(1, [7]) != drawn(1, [7], seed=1)


def test_all_tiles_are_drawn_equally_often():
    counts = np.zeros(N_TILES)
    for epoch in range(800):
        counts[TileSample(MOST, 0, epoch).of(1, N_TILES)] += 1
    expected = 800 * MOST / N_TILES
    assert ((counts - expected) ** 2 / expected).sum() < 72  # chi-squared of 39 degrees of freedom, p = 0.001


class Seen(MeanMIL):
    """Mean pooling that keeps what it is given in training and in prediction."""

    training, predicting = [], []

    def build(self, n_features, embedding_dim):
        module, forward = super().build(n_features, embedding_dim), type(super().build(1, 1)).forward

        class Module(type(module)):
            def forward(self, one):
                (Seen.training if self.training else Seen.predicting).append(one.values.squeeze(-1).tolist())
                return forward(self, one)

        module.__class__ = Module
        return module


@pytest.mark.parametrize("objective", [None, CoxPH()])
def test_each_epoch_sees_other_tiles_and_a_prediction_all(objective, device):
    Seen.training, Seen.predicting = [], []
    X = join_modalities({"wsi": bags()})
    y = Surv.from_arrays(np.arange(N_PATIENTS) % 2 == 0, np.arange(1.0, N_PATIENTS + 1))
    model = FusionSurvivalAnalysis(
        [("wsi", Seen())],
        n_estimators=1,
        objective=objective,
        max_epochs=2,
        max_tiles=MOST,
        device=device,
        random_state=0,
    ).fit(X, y)
    epochs = [sorted(one) for one in Seen.training]
    assert {len(one) for one in epochs} == {3 + MOST * (N_PATIENTS - 1)}
    # A loss that compares patients reads its batches twice, and must find the same tiles.
    assert len({tuple(one) for one in epochs}) == 2
    Seen.predicting = []
    model.predict(X)
    assert len(Seen.predicting[0]) == 3 + N_TILES * (N_PATIENTS - 1)


def fit(X, y, **params):
    model = FusionSurvivalAnalysis([("wsi", AttentionMIL(4, 2))], max_epochs=2, random_state=0, lr=0.01, **params)
    return model.fit(X, y)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_one_seed_one_model_in_memory_and_on_disk(tmp_path, n_estimators, device):
    # On a GPU the cohort in memory stays there, and the one on disk is sent batch by batch.
    X = join_modalities({"wsi": bags()})
    y = Surv.from_arrays(np.arange(N_PATIENTS) % 2 == 0, np.arange(1.0, N_PATIENTS + 1))
    pack_bags(bags(), tmp_path / "store")
    stored = join_modalities({"wsi": open_bags(tmp_path / "store")})
    params = {"n_estimators": n_estimators, "device": device}
    risk = fit(X, y, max_tiles=MOST, **params).predict(X)
    np.testing.assert_array_equal(fit(stored, y, max_tiles=MOST, **params).predict(X), risk)
    all_tiles = fit(X, y, **params).predict(X)
    assert not np.array_equal(all_tiles, risk)
    np.testing.assert_array_equal(fit(X, y, max_tiles=N_TILES, **params).predict(X), all_tiles)


def test_a_tile_that_is_unusable_is_named_by_its_place_in_the_bag(tmp_path):
    broken = bags()
    tiles = broken.iloc[4].features.copy()
    tiles[9:] = np.nan
    broken.iloc[4] = Bag(tiles)
    with pytest.warns(UserWarning, match="have NaN in their tiles"):
        pack_bags(broken, tmp_path / "store")
    column = BagColumn("wsi", open_bags(tmp_path / "store").array, [f"P{i}" for i in range(N_PATIENTS)])
    with pytest.raises(ValueError, match="patient 'P4' in modality 'wsi' has NaN in tile features, first in tile 9"):
        column.sampled(TileSample(MOST, 0, 1)).read(4)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "all", True])
def test_wrong_numbers_are_refused(wrong):
    X = join_modalities({"wsi": bags()})
    y = Surv.from_arrays(np.arange(N_PATIENTS) % 2 == 0, np.arange(1.0, N_PATIENTS + 1))
    with pytest.raises(ValueError, match="max_tiles"):
        fit(X, y, max_tiles=wrong)


def test_precision_is_that_of_training(monkeypatch):
    X = join_modalities({"wsi": bags()})
    X.iloc[:, 0] = X.iloc[:, 0].map(
        lambda bag: bag.map(lambda tiles: np.sin(tiles * np.arange(1, 65)).astype("float32"), 64)
    )
    y = Surv.from_arrays(np.arange(N_PATIENTS) % 2 == 0, np.arange(1.0, N_PATIENTS + 1))
    rounded, usual = (fit(X, y, n_estimators=1, precision=one) for one in ("bfloat16", "float32"))
    assert not np.array_equal(rounded.predict(X), usual.predict(X))
    np.testing.assert_allclose(rounded.predict(X), usual.predict(X), rtol=0.05, atol=0.05)
    # What is learnt is float32, and so is what is predicted of it.
    assert {one.dtype for one in rounded.net_.module_.parameters()} == {torch.float32}
    usual.net_.module_.load_state_dict(rounded.net_.module_.state_dict())
    np.testing.assert_array_equal(usual.predict(X), rounded.predict(X))
    with pytest.raises(ValueError, match="precision"):
        fit(X, y, precision="float16")
