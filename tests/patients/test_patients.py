import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.bags import Bag, BagArray
from sksurv_mmf.patients._columns import BagColumn, VectorColumn, all_finite, as_tensor
from sksurv_mmf.patients._patients import Patients
from sksurv_mmf.patients._reading import prediction_batches, prefetched
from sksurv_mmf.training._batches import TrainingBatches, TrainingSteps

EXACT = {"rtol": 0, "atol": 0}
N = 10


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 3)).astype(np.float32) for n in (2, 1, 5, 3, 1, 4, 2, 2, 7, 1)]


def patients_of(bags, lacking=()):
    """The vector of patient i is (i, i); those in `lacking` have no bag."""
    bags = [pd.NA if i in lacking else bag for i, bag in enumerate(bags)]
    columns = [
        BagColumn("wsi", BagArray(bags), [f"P{i}" for i in range(len(bags))]),
        VectorColumn(np.repeat(np.arange(len(bags), dtype=np.float32), 2).reshape(-1, 2)),
    ]
    present = np.ones((len(bags), 2), dtype=bool)
    present[list(lacking), 0] = False
    return Patients(columns, present)


VIEWS = [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a.T, lambda a: a[::2], np.asfortranarray]
STEPS = [(1, 1), (3, 1), (1, 4), (2, 3), (100, 1), (4, 100), (3, 2)]


def rows_of(batches):
    """Patients in the order in which they come, by their vectors."""
    return [int(row) for batch, _ in batches for row in batch.inputs[1][:, 0]]


class TestBatch:
    def test_it_holds_the_patients_asked_for_in_that_order(self, bags):
        batch = patients_of(bags).batch(np.array([8, 0, 3]))
        assert batch.inputs[0].lengths == (7, 2, 3)
        assert_close(batch.inputs[0].values, torch.as_tensor(np.concatenate([bags[8], bags[0], bags[3]])), **EXACT)
        assert batch.inputs[1].tolist() == [[8, 8], [0, 0], [3, 3]]
        assert batch.rows == (None, None)
        assert batch.present.all()

    def test_patients_without_a_bag_are_left_out_and_their_places_told(self, bags):
        batch = patients_of(bags, lacking=(0, 8)).batch(np.array([8, 3, 0, 1]))
        assert batch.inputs[0].lengths == (3, 1)
        assert batch.rows[0].tolist() == [1, 3]
        assert batch.rows[1] is None
        assert batch.present[:, 0].tolist() == [False, True, False, True]

    def test_nobody_has_a_bag(self, bags):
        batch = patients_of(bags, lacking=(0, 8)).batch(np.array([8, 0]))
        assert batch.inputs[0] is None
        assert batch.rows[0].tolist() == []


def batches_of(bags, rows=range(N), *args, kind=TrainingBatches, **kwargs):
    """Batches of some patients, whose targets are their numbers."""
    rows = np.array(rows)
    return kind(patients_of(bags).select(rows), (torch.from_numpy(rows),), *args, **kwargs)


def steps_of(bags, informs, *args, **kwargs):
    """Steps of all patients, of which `informs` tells whether they teach anything."""
    return batches_of(bags, range(N), *args, kind=partial(TrainingSteps, informs), **kwargs)


class TestTrainingBatches:
    @pytest.mark.parametrize(("batch_size", "accumulation"), STEPS)
    def test_every_patient_counts_the_same_in_its_step(self, bags, batch_size, accumulation):
        batches = batches_of(bags, range(N), batch_size, accumulation)
        steps, step = [], []
        for batch, _ in batches:
            step.append(batch)
            if batch.ends_step:
                steps.append(step)
                step = []
        assert not step  # the last step of the epoch is taken, however few batches it has
        per_step = min(N, batch_size * accumulation)
        sizes = [sum(len(batch) for batch in one) for one in steps]
        assert sizes == [per_step] * (N // per_step) + [N % per_step] * (N % per_step > 0)
        for one, size in zip(steps, sizes):
            assert sum(batch.share for batch in one) == pytest.approx(1, abs=1e-12)
            for batch in one:
                assert batch.share / len(batch) == pytest.approx(1 / size, abs=1e-12)

    def test_an_epoch_is_a_permutation_of_the_rows_and_the_next_another(self, bags):
        rows = np.array([1, 3, 4, 8, 9])
        batches = batches_of(bags, rows, batch_size=2)
        torch.manual_seed(0)
        first, second = (rows_of(batches) for _ in range(2))
        assert sorted(first) == sorted(second) == rows.tolist()
        assert first != second
        torch.manual_seed(0)
        assert rows_of(batches) == first
        assert len(batches) == 3

    def test_targets_belong_to_the_patients(self, bags):
        for batch, (target,) in batches_of(bags, range(N), batch_size=3):
            assert target.tolist() == batch.inputs[1][:, 0].tolist()

    def test_without_shuffling_rows_come_in_their_order_and_no_random_number_is_drawn(self, bags):
        batches = batches_of(bags, [4, 2, 7], batch_size=2, shuffle=False)
        before = torch.get_rng_state()
        assert rows_of(batches) == [4, 2, 7]
        assert torch.equal(torch.get_rng_state(), before)

    def test_weights_are_those_of_the_draw(self, bags):
        rows = np.array([9, 0, 5])
        batches = batches_of(bags, rows, batch_size=3, weights=np.array([1.0, 0.0, 3.0]))
        torch.manual_seed(0)
        drawn = np.concatenate([rows_of(batches) for _ in range(1000)])
        assert set(drawn) == {9, 5}
        assert (drawn == 5).mean() == pytest.approx(0.75, abs=0.03)
        assert len(drawn) == 3000

    def test_file_backed_bags_give_the_same_batches_in_the_same_order(self, bags, tmp_path):
        files = []
        for i, bag in enumerate(bags):
            np.save(tmp_path / f"{i}.npy", bag)
            files.append(Bag.from_file(tmp_path / f"{i}.npy"))
        results = []
        for one in (bags, files):
            torch.manual_seed(0)
            results.append(list(batches_of(one, batch_size=3)))
        assert patients_of(files).on_disk
        for (ours, _), (theirs, _) in zip(*results, strict=True):
            assert_close(ours.inputs[0].values, theirs.inputs[0].values, **EXACT)
            assert_close(ours.inputs[1], theirs.inputs[1], **EXACT)


class TestTrainingSteps:
    def steps(self, bags, informs, *args, **kwargs):
        """Patients of each step of one epoch, and the sizes of its batches."""
        steps = list(steps_of(bags, lambda target: informs(target[0].tolist()), *args, **kwargs))
        for step, target in steps:
            assert target[0].tolist() == step.rows.tolist() == rows_of((batch, None) for batch in step)
            assert len(step) == len(step.rows)
        return [step.rows.tolist() for step, _ in steps], [[len(batch) for batch in step] for step, _ in steps]

    def test_each_holds_as_many_patients_as_its_batches_together(self, bags):
        steps, sizes = self.steps(bags, lambda patients: True, 2, 2, shuffle=False)
        assert steps == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert sizes == [[2, 2], [2, 2], [2]]

    @pytest.mark.parametrize(
        ("needed", "expected"),
        [
            ({0}, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
            ({9}, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
            ({4}, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
            ({1, 6}, [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]),
            ({5, 6, 9}, [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9]]),
        ],
    )
    def test_one_that_teaches_nothing_joins_the_next_and_the_last_the_one_before(self, bags, needed, expected):
        steps, _ = self.steps(bags, lambda patients: bool(needed & set(patients)), 3, shuffle=False)
        assert steps == expected

    def test_every_patient_comes_once_in_a_new_order_each_epoch(self, bags):
        steps = steps_of(bags, lambda target: True, 2, 2)
        torch.manual_seed(0)
        epochs = [np.concatenate([step.rows for step, _ in steps]).tolist() for _ in range(2)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(N))
        assert epochs[0] != epochs[1]

    def test_a_patient_drawn_twice_does_not_make_two(self, bags):
        asked = []
        weights = np.eye(N)[0] + 1e-9
        torch.manual_seed(0)
        with pytest.raises(ValueError, match="None of 10 patients to train or validate on"):
            self.steps(bags, lambda patients: asked.append(patients), 5, weights=weights)
        assert asked == [[0], [0]]

    def test_bags_on_disk_are_read_anew_in_each_pass(self, bags, tmp_path):
        files = []
        for i, bag in enumerate(bags):
            np.save(tmp_path / f"{i}.npy", bag)
            files.append(Bag.from_file(tmp_path / f"{i}.npy"))
        ((step, _),) = steps_of(files, lambda target: True, 3, 100)
        first, second = ([batch.inputs[0] for batch in step] for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert_close(one.values, other.values, **EXACT)
            assert one.values is not other.values
        expected = np.concatenate([bags[row] for row in step.rows])
        assert_close(torch.cat([one.values for one in first]), torch.as_tensor(expected), **EXACT)


class TestSelect:
    def test_some_patients_in_another_order_without_a_copy(self, bags):
        everyone, rows = patients_of(bags, lacking=(3,)), np.array([7, 3, 0])
        some = everyone.select(rows)
        one, other = some.batch(np.arange(3)), everyone.batch(rows)
        assert torch.equal(one.inputs[0].values, other.inputs[0].values)
        assert torch.equal(one.inputs[1], other.inputs[1])
        assert torch.equal(one.present, other.present)
        assert [some.names[i] for i in range(3)] == [7, 3, 0]
        assert some.columns[1].values is everyone.columns[1].values
        assert some.columns[0].read(0) is everyone.columns[0].read(7)

    def test_of_a_selection(self, bags):
        twice = patients_of(bags).select(np.array([5, 2, 8])).select(np.array([2, 0]))
        assert twice.batch(np.arange(2)).inputs[1].tolist() == [[8, 8], [5, 5]]
        assert twice.n_tiles.tolist() == [7, 4]

    def test_messages_name_the_patients_that_were_selected(self, bags, tmp_path):
        np.save(tmp_path / "bad.npy", np.full((2, 3), np.inf, dtype=np.float32))
        some = patients_of([*bags[:9], Bag.from_file(tmp_path / "bad.npy")]).select(np.array([9]))
        with pytest.raises(ValueError, match="patient 'P9'"):
            some.batch(np.arange(1))


class TestPrefetch:
    def test_it_is_a_map_in_order(self):
        assert list(prefetched(lambda x: x * x, range(7))) == [x * x for x in range(7)]
        assert list(prefetched(lambda x: x, [])) == []

    def test_the_next_result_is_read_while_this_one_is_used(self):
        read = [threading.Event() for _ in range(3)]

        def reader(i):
            read[i].set()
            return i

        results = prefetched(reader, range(3))
        assert next(results) == 0
        assert read[1].wait(timeout=10)
        assert not read[2].is_set()
        assert list(results) == [1, 2]

    def test_an_error_of_the_reader_reaches_the_user(self):
        def reader(i):
            if i == 1:
                raise ValueError("patient P1")
            return i

        results = prefetched(reader, range(3))
        assert next(results) == 0
        with pytest.raises(ValueError, match="patient P1"):
            next(results)


class TestPredictionBatches:
    @pytest.mark.parametrize(("max_tiles", "max_patients"), [(1, 100), (5, 100), (6, 2), (1000, 100), (1000, 3)])
    def test_all_patients_come_once_in_order_and_no_batch_is_too_large(self, bags, max_tiles, max_patients):
        batches = list(prediction_batches(patients_of(bags), max_tiles, max_patients))
        assert [int(row) for batch in batches for row in batch.inputs[1][:, 0]] == list(range(N))
        for batch in batches:
            assert len(batch) <= max_patients
            assert len(batch) == 1 or sum(batch.inputs[0].lengths) <= max_tiles

    def test_patients_without_tiles_cost_none(self, bags):
        batches = list(prediction_batches(patients_of(bags, lacking=range(9)), max_tiles=1))
        assert [len(batch) for batch in batches] == [10]


class TestTiles:
    @pytest.mark.parametrize(
        ("value", "said"),
        [(np.nan, "NaN.*SimpleImputer"), (np.inf, "tile features that are infinite"), (-np.inf, "tile .*infinite")],
    )
    @pytest.mark.parametrize("on_disk", [False, True])
    def test_tiles_that_are_not_finite_are_refused_by_patient_and_modality(self, bags, tmp_path, value, said, on_disk):
        bags[3][1, 2] = value
        if on_disk:
            np.save(tmp_path / "bag.npy", bags[3])
            bags[3] = Bag.from_file(tmp_path / "bag.npy")
        with pytest.raises(ValueError, match=f"patient 'P3' in modality 'wsi' has {said}"):
            patients_of(bags).batch(np.arange(N))

    def test_large_finite_values_are_fine(self):
        assert all_finite(torch.full((1000, 1000), 3e38))
        assert not all_finite(torch.tensor([3e38, torch.inf]))
        assert not all_finite(torch.tensor([torch.inf, -torch.inf, 0]))
        assert all_finite(torch.full((10, 10), 65504, dtype=torch.float16))

    @pytest.mark.parametrize("change", VIEWS)
    @pytest.mark.parametrize("writeable", [True, False])
    def test_any_view_of_an_array_will_do(self, change, writeable):
        array = np.arange(24, dtype=np.float32).reshape(4, 6)
        array.flags.writeable = writeable
        view = change(array)
        assert_close(as_tensor(view), torch.tensor(view.tolist()), **EXACT)

    def test_it_shares_the_memory_where_it_can(self):
        array = np.zeros((4, 6), dtype=np.float32)
        view = array.view()
        view.flags.writeable = False
        assert as_tensor(array).data_ptr() == as_tensor(view).data_ptr() == array.ctypes.data
