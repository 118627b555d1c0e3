"""One store for the bags of a cohort."""

import json
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sksurv_mmf.bags import Bag, BagArray, open_bags, pack_bags
from sksurv_mmf.bags import _store as store_module

RNG = np.random.default_rng(0)


def make_bags():
    """One bag with two slides and coordinates, one with coordinates, one missing, one with neither."""
    tiles = [RNG.normal(size=(n, 3)).astype(np.float32) for n in (5, 2, 4)]
    return pd.Series(
        {
            "P3": Bag(tiles[0], coords=np.arange(10).reshape(5, 2), slides={"b": 2, "a": 3}),
            "P1": Bag(tiles[1], coords=np.array([[0.5, 1], [2, 3]])),
            "P2": None,
            "Jürgen": Bag(tiles[2]),
        },
        dtype="bag",
    )


@pytest.fixture
def bags():
    return make_bags()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cohort.bags"


def assert_same(packed, bags, dtype=np.float32):
    assert list(packed.index) == list(bags.index)
    assert packed.index.name == "patient"
    for one, other in zip(packed, bags):
        if other is pd.NA:
            assert one is pd.NA
            continue
        assert one.is_file_backed
        assert one.features.dtype == dtype
        assert_array_equal(one.features, other.features.astype(dtype))
        assert (one.coords is None) == (other.coords is None)
        if one.coords is not None:
            assert_array_equal(one.coords, other.coords)
        assert one.slides == other.slides


class TestRoundTrip:
    def test_bags_are_what_was_packed(self, bags, path):
        assert_same(pack_bags(bags, path), bags)
        assert_same(open_bags(str(path), verify=True), bags)

    def test_float16_is_rounded_to_the_nearest(self, bags, path):
        packed = pack_bags(bags, path, dtype="float16")
        assert_same(packed, bags, np.float16)
        for one, other in zip(packed.dropna(), bags.dropna()):
            np.testing.assert_allclose(one.features, other.features, rtol=2**-11)

    def test_bags_without_coords_take_no_space_for_them(self, path):
        bags = pd.Series({"A": np.ones((2, 3)), "B": np.full((1, 3), np.nan)}, dtype="bag")
        with pytest.warns(UserWarning, match="bags of 1 of 2 patients have NaN in their tiles.*: 'B'"):
            assert_same(pack_bags(bags, path), bags)
        assert not (path / "coords.npy").exists()

    def test_patients_may_be_numbers(self, path):
        bags = pd.Series([np.ones((2, 3)), np.zeros((1, 3))], index=[7, -1], dtype="bag")
        packed = pack_bags(bags, path)
        assert_same(packed, bags)
        assert packed.index.dtype == np.int64

    def test_a_store_can_be_packed_again(self, bags, path, tmp_path):
        halves = pack_bags(bags, path, dtype="float16")
        assert_same(pack_bags(halves[::-1], tmp_path / "again"), halves[::-1])

    def test_a_bag_pickles_as_its_place(self, bags, path):
        packed = pack_bags(bags, path)
        assert len(pickle.dumps(packed["P3"])) < 1500
        assert_same(pickle.loads(pickle.dumps(packed)), bags)

    def test_tiles_know_where_they_are_from(self, bags, path):
        packed = pack_bags(bags, path)
        assert [packed["P3"].source_of(tile) for tile in (1, 2)] == [f"{path}, slide b", f"{path}, slide a"]
        assert packed["P1"].source_of(0) == packed["P1"].source == str(path)


def test_the_layout_is_the_documented_one(bags, path):
    pack_bags(bags, path)
    arrays = {file.stem: np.load(file, allow_pickle=False) for file in path.glob("*.npy")}
    present = bags.dropna()
    assert_array_equal(arrays.pop("features"), np.concatenate([bag.features for bag in present]))
    assert_array_equal(
        arrays.pop("coords"), np.concatenate([present["P3"].coords, present["P1"].coords, np.zeros((4, 2))])
    )
    assert arrays.pop("bag_crc32").dtype == np.uint32
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "offsets": [0, 5, 7, 7, 11],
        "ids": ["P3", "P1", "P2", "Jürgen"],
        "slide_offsets": [0, 2, 5, 7, 11],
        "slide_ids": ["b", "a", "", ""],
        "has_coords": [True, True, False, False],
    }
    manifest = json.loads((path / "store.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("sksurv_mmf bags", 1)
    assert {f"{name}.npy": entry["bytes"] for name, entry in manifest["files"].items()} == {
        file.name: file.stat().st_size for file in path.glob("*.npy")
    }


class TestOpening:
    def test_it_reads_no_tiles(self, path):
        pack_bags(pd.Series({"A": np.ones((100_000, 20), dtype=np.float32)}, dtype="bag"), path)
        tracemalloc.start()
        packed = open_bags(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # of 8 MB
        tracemalloc.stop()
        assert packed["A"].n_tiles == 100_000

    def test_another_version_is_refused_by_name(self, bags, path):
        pack_bags(bags, path)
        manifest = json.loads((path / "store.json").read_text())
        (path / "store.json").write_text(json.dumps(manifest | {"version": 2}))
        with pytest.raises(ValueError, match=r"cohort\.bags' has version 2 of the layout, but .* reads version 1"):
            open_bags(path)

    def test_something_else_is_no_store(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"is no bag store: it has no store\.json"):
            open_bags(tmp_path)

    def test_a_file_that_changes_after_opening_is_named(self, bags, path):
        packed = pack_bags(bags, path)
        with open(path / "features.npy", "r+b") as stream:
            stream.truncate(150)
        with pytest.raises(ValueError, match=r"features\.npy' has changed"):
            packed["P3"].features  # noqa: B018
        with pytest.raises(ValueError, match=r"cohort\.bags' cannot be used: features\.npy has 150 bytes, but should"):
            open_bags(path)

    def test_hostile_offsets_are_refused(self, bags, path, monkeypatch):
        for offsets in ([0, 5, 7, 7, 12], [0, 7, 5, 7, 11], [1, 5, 7, 7, 11], [0, 11], [0, 4, 7, 7, 11], []):
            with monkeypatch.context() as patch:
                patch.setattr(store_module.np, "cumsum", lambda a, wrong=offsets, **kw: np.array(wrong[1:]))
                patch.setattr(store_module, "open_bags", lambda path: None)
                pack_bags(bags, path)
            with pytest.raises(ValueError, match=r"cohort\.bags' cannot be used: its"):
                open_bags(path)
            for file in path.iterdir():
                file.unlink()
            path.rmdir()


def test_every_flipped_byte_is_found(bags, path):
    pack_bags(bags, path)
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        for position in range(0, len(content), 7):
            damaged = bytearray(content)
            damaged[position] ^= 0x10
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"cohort\.bags' (cannot be used|has version)"):
                open_bags(path, verify=True)
        file.write_bytes(content)
    assert_same(open_bags(path, verify=True), bags)


def test_the_patient_whose_tiles_are_damaged_is_named(bags, path):
    pack_bags(bags, path)
    content = bytearray((path / "features.npy").read_bytes())
    content[-1] ^= 1
    (path / "features.npy").write_bytes(content)
    open_bags(path)  # reads no tiles, so cannot know
    with pytest.raises(ValueError, match=r"features does not have its checksum\. The features of patient 'Jürgen' are"):
        open_bags(path, verify=True)


class TestInterruption:
    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_nothing_is_left(self, bags, path, error):
        def fail(features):
            raise error("in the middle")

        np.save(path.with_name("last.npy"), np.ones((2, 3)))
        before = set(path.parent.iterdir())
        last = BagArray([Bag.from_file(path.with_name("last.npy")).map(fail)])
        bags = pd.concat([bags, pd.Series(last, ["P9"])])
        with pytest.raises(error, match="in the middle"):
            pack_bags(bags, path)
        assert set(path.parent.iterdir()) == before

    def test_the_name_appears_when_all_is_written(self, bags, path, monkeypatch):
        seen = []

        def rename(source, target):
            seen.append(sorted(file.name for file in path.parent.iterdir()))
            original(source, target)

        original = store_module.os.rename
        monkeypatch.setattr(store_module.os, "rename", rename)
        pack_bags(bags, path)
        ((name,),) = seen
        assert name.startswith(".cohort.bags.")
        assert name.endswith(".partial")
        assert [file.name for file in path.parent.iterdir()] == ["cohort.bags"]


class TestRefusals:
    def test_what_is_there_is_not_overwritten(self, bags, path):
        path.mkdir()
        with pytest.raises(FileExistsError, match=r"cohort\.bags' exists already; choose another path"):
            pack_bags(bags, path)

    def test_values_beyond_float16_are_named(self, bags, path):
        bags["P1"] = np.full((2, 3), 1e5)
        with pytest.raises(ValueError, match="bag of patient 'P1' has features beyond 65504"):
            pack_bags(bags, path, dtype="float16")
        assert not path.exists()

    def test_what_are_no_bags_of_patients(self, bags, path):
        for wrong, error, message in [
            (bags.array, TypeError, "must be a Series of dtype 'bag', indexed by patient, got a BagArray"),
            (bags.astype(object), TypeError, "must be a Series of dtype 'bag'"),
            (bags[["P2"]], ValueError, "None of these patients has a bag"),
            (bags[["P1", "P1"]], ValueError, "Patient 'P1' has several bags"),
            (bags.set_axis([1.5, "b", "c", "d"]), ValueError, "named by text or whole numbers, got 1.5"),
        ]:
            with pytest.raises(error, match=message):
                pack_bags(wrong, path)
        with pytest.raises(ValueError, match="dtype must be 'float16' or 'float32', got 'float64'"):
            pack_bags(bags, path, dtype="float64")
