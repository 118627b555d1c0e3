"""How patients get to a GPU. What of it needs none is tested here; the rest is marked "cuda"."""

from threading import Event

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import BagArray
from sksurv_mmf.layers._packed_bags import PackedBags
from sksurv_mmf.patients import _transfer
from sksurv_mmf.patients._columns import BagColumn, VectorColumn
from sksurv_mmf.patients._patients import Patients
from sksurv_mmf.patients._reading import read_all
from sksurv_mmf.patients._tile_sample import TileSample
from sksurv_mmf.patients._transfer import bring, resident, sent_ahead, way_to

ROWS = [np.array([4, 1]), np.array([0, 3, 2])]


def some_patients(dtype=np.float16):
    rng = np.random.default_rng(0)
    bags = BagArray([rng.normal(size=(n, 3)).astype(dtype) for n in (2, 9, 1, 4)] + [pd.NA])
    columns = [VectorColumn(rng.normal(size=(5, 2)).astype(np.float32)), BagColumn("wsi", bags, range(5))]
    return Patients(columns, np.column_stack([np.ones(5, dtype=bool), ~bags.isna()]))


@pytest.mark.parametrize(
    ("device", "n_bytes", "n_free", "way"),
    [
        ("cpu", 10, 0, "none"),
        ("cuda", 10, 20, "once"),
        ("cuda", 11, 20, "ahead"),
        ("cuda", np.inf, 10**12, "ahead"),
    ],
)
def test_patients_stay_on_a_gpu_if_they_take_half_of_its_memory_at_most(device, n_bytes, n_free, way):
    assert way_to(device, n_bytes, n_free) == way


def test_on_a_cpu_nothing_is_copied():
    patients = some_patients()
    assert bring(patients, "cpu") is patients


def test_bytes_are_those_of_the_stored_type():
    assert [column.n_bytes for column in some_patients(np.float16).columns] == [5 * 2 * 4, 16 * 3 * 2]
    assert some_patients(np.float32).columns[1].n_bytes == 16 * 3 * 4


@pytest.mark.parametrize("sample", [None, TileSample(3, 0, 1)], ids=["all tiles", "some tiles"])
def test_resident_patients_are_gathered_on_the_device_in_their_type(sample):
    # The device "meta" has no values, so that a number that came from elsewhere could not get there.
    there = resident(some_patients(), torch.device("meta")).sampled(sample)
    here = some_patients().sampled(sample)
    for rows in ROWS:
        for moved, plain in zip(there.batch(rows).inputs, here.batch(rows).inputs):
            if isinstance(moved, PackedBags):
                assert moved.lengths == plain.lengths
                moved, plain = moved.values, plain.values
                assert moved.dtype == torch.float16
            assert moved.is_meta
            assert moved.shape == plain.shape


def assert_same_bits(one, other):
    pairs = zip((*one.inputs, *one.rows, one.present), (*other.inputs, *other.rows, other.present), strict=True)
    for ours, theirs in pairs:
        if isinstance(ours, PackedBags):
            assert ours.lengths == theirs.lengths
            ours, theirs = ours.values, theirs.values
        if theirs is None:
            assert ours is None
        else:
            assert_close(ours, theirs, rtol=0, atol=0)
    assert (one.share, one.ends_step) == (other.share, other.ends_step)


@pytest.mark.parametrize("way", [lambda one: resident(one, torch.device("cpu")), lambda one: sent_ahead(one, Loan())])
def test_batches_have_the_bits_of_plain_ones(way):
    for rows in ROWS:
        one, other = (them.batch(rows, share=0.5, ends_step=False) for them in (way(some_patients()), some_patients()))
        assert_same_bits(one.to("cpu"), other.to("cpu"))


class Loan:
    """Stands for the stream of a GPU: hands batches on as copies, and remembers that."""

    def __init__(self):
        self.sent = []
        self.second = Event()

    def __call__(self, batch):
        self.sent.append(batch)
        if len(self.sent) == 2:
            self.second.set()
        return batch.map(torch.Tensor.clone)


@pytest.mark.parametrize(
    "change",
    [lambda them: them, lambda them: them.select(np.arange(5)), lambda them: them.sampled(TileSample(3, 0, 1))],
    ids=["as they are", "selected", "sampled"],
)
def test_the_next_batch_is_sent_while_one_is_used(change):
    loan = Loan()
    patients = change(sent_ahead(some_patients(), loan))
    batches = read_all(patients, patients.batch, ROWS)
    assert len(next(batches)) == 2
    assert loan.second.wait(30)
    assert [len(batch) for batch in batches] == [3]


def test_a_fit_has_the_bits_of_plain_patients(make_cohort, monkeypatch):
    cohort, used = make_cohort(16), []

    def risks(way, n_estimators):
        for part in ("_fit", "_ensemble"):
            monkeypatch.setattr(f"sksurv_mmf.training.{part}.bring", lambda them, _: used.append(way) or way(them))
        model = FusionSurvivalAnalysis(
            n_estimators=n_estimators, max_epochs=2, embedding_dim=8, batch_size=8, max_tiles=3, random_state=0
        )
        return model.fit(cohort.X, cohort.y).predict(cohort.X)

    ways = (lambda them: them, lambda them: resident(them, torch.device("cpu")), lambda them: sent_ahead(them, Loan()))
    for n_estimators in (1, 2):
        plain, *others = (risks(way, n_estimators) for way in ways)
        for other in others:
            np.testing.assert_array_equal(other, plain)
    assert len(used) == 6


@pytest.mark.cuda
@pytest.mark.parametrize("share", [_transfer.SHARE, 0], ids=["once", "ahead"])
def test_on_a_gpu_batches_have_the_bits_of_those_in_memory(monkeypatch, share):
    monkeypatch.setattr(_transfer, "SHARE", share)
    patients = bring(some_patients(), "cuda")
    for rows, batch in zip(ROWS, read_all(patients, patients.batch, ROWS)):
        there = batch.to("cuda")
        assert there.present.is_cuda
        assert_same_bits(there.map(torch.Tensor.cpu), some_patients().batch(rows).to("cpu"))
