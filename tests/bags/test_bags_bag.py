import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sksurv_mmf.bags import Bag

FEATURES = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
COORDS = np.arange(8).reshape(4, 2)


@pytest.fixture
def file_backed(tmp_path):
    np.savez(tmp_path / "bag.npz", features=FEATURES, coords=COORDS)
    return Bag.from_file(tmp_path / "bag.npz")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("f2", "f2"), ("f4", "f4"), ("f8", "f4"), ("g", "f4"), (">f4", "f4"), (">f2", "f2"), ("i8", "f4"), ("?", "f4")],
)
def test_half_precision_stays_and_other_numbers_become_single(given, kept):
    bag = Bag(FEATURES.astype(given))
    assert bag.features.dtype == np.dtype(kept)
    assert bag.features.dtype.isnative
    assert_array_equal(bag.features, FEATURES.astype(given).astype(kept))


def test_arrays_are_neither_copied_nor_locked_for_the_caller():
    features, coords = FEATURES.copy(), COORDS.copy()
    bag = Bag(features, coords)
    assert np.shares_memory(bag.features, features)
    assert np.shares_memory(bag.coords, coords)
    assert features.flags.writeable
    assert coords.flags.writeable
    for array in (bag.features, bag.coords):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 7


def test_lists_are_accepted():
    assert_array_equal(Bag([[1, 2], [3, 4]]).features, np.array([[1, 2], [3, 4]], dtype=np.float32))


def test_tiles_may_be_missing_values():
    assert np.isnan(Bag([[1.0, np.nan]]).features[0, 1])


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (np.ones((0, 3)), r"at least one of each, got shape \(0, 3\)"),
        (np.ones((3, 0)), r"at least one of each, got shape \(3, 0\)"),
        (np.ones(3), r"got shape \(3,\)"),
        (np.ones((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        (np.array([["a"]]), "expected numbers, got dtype <U1"),
        (np.array([[None]]), "expected numbers, got dtype object"),
        (np.ones((2, 2), dtype=complex), "expected numbers, got dtype complex128"),
    ],
)
def test_what_is_no_matrix_of_tiles_is_refused(features, reason):
    with pytest.raises(ValueError, match=reason):
        Bag(features)


@pytest.mark.parametrize(
    ("coords", "reason"),
    [
        (COORDS[:3], r"coords must have shape \(4, 2\), one row per tile, got shape \(3, 2\)"),
        (np.ones((4, 3)), r"got shape \(4, 3\)"),
        (np.full((4, 2), "a"), "expected numbers"),
    ],
)
def test_coords_that_do_not_fit_are_refused(coords, reason):
    with pytest.raises(ValueError, match=reason):
        Bag(FEATURES, coords)


def test_attributes_cannot_be_replaced():
    with pytest.raises(AttributeError):
        Bag(FEATURES).features = FEATURES


def test_repr_is_short(file_backed):
    assert repr(Bag(np.ones((120, 1024)))) == "Bag(120 tiles x 1024 features)"
    assert repr(file_backed) == "Bag(4 tiles x 3 features)"


def test_equal_content_is_equal_wherever_it_is_kept(file_backed):
    in_memory = Bag(FEATURES, COORDS, source="another")
    assert file_backed == in_memory
    assert hash(file_backed) == hash(in_memory)
    assert len({file_backed, in_memory, Bag.from_file(file_backed.source)}) == 1
    assert file_backed.map(np.sqrt) == in_memory.map(np.sqrt)
    assert hash(file_backed.map(np.sqrt)) == hash(in_memory.map(np.sqrt))


@pytest.mark.parametrize(
    "other",
    [
        Bag(FEATURES),
        Bag(FEATURES, COORDS + 1),
        Bag(FEATURES, COORDS.astype(float)),
        Bag(FEATURES + np.eye(4, 3)[::-1], COORDS),
        Bag(FEATURES.astype(np.float16), COORDS),
        Bag(FEATURES[:3], COORDS[:3]),
        Bag(FEATURES[:, :2], COORDS),
        "Bag(4 tiles x 3 features)",
    ],
)
def test_any_difference_makes_bags_unequal(file_backed, other):
    assert file_backed != other
    assert Bag(FEATURES, COORDS) != other


def test_missing_values_and_signed_zeros_compare_as_values():
    one, other = np.array([[np.nan, 0.0]]), np.array([[np.nan, -0.0]])
    assert Bag(one) == Bag(other)
    assert hash(Bag(one)) == hash(Bag(other))


def test_bags_of_one_file_are_equal_without_reading_it(file_backed, tmp_path):
    again = Bag.from_file(tmp_path / "bag.npz")
    (tmp_path / "bag.npz").unlink()
    assert again == file_backed
    assert again.map(np.sqrt) == file_backed.map(np.sqrt)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickled_bag_in_memory_stays_read_only(protocol):
    bag = pickle.loads(pickle.dumps(Bag(FEATURES, COORDS, "slide"), protocol))
    assert bag == Bag(FEATURES, COORDS)
    assert bag.source == "slide"
    assert not bag.features.flags.writeable
    assert not bag.coords.flags.writeable


def test_only_the_tiles_of_the_bag_are_pickled():
    everything = np.ones((10_000, 3), dtype=np.float32)
    assert len(pickle.dumps(Bag(everything[:2]))) < 1000


def test_file_backed_bag_is_pickled_as_its_path(tmp_path):
    np.save(tmp_path / "bag.npy", np.ones((1000, 1000), dtype=np.float32))
    bag = Bag.from_file(tmp_path / "bag.npy")
    pickled = pickle.dumps(bag)
    assert len(pickled) < 500
    assert str(tmp_path / "bag.npy").encode() in pickled

    (tmp_path / "bag.npy").rename(tmp_path / "away.npy")
    restored = pickle.loads(pickled)  # needs no file until it is used
    (tmp_path / "away.npy").rename(tmp_path / "bag.npy")
    assert restored.is_file_backed
    assert_array_equal(restored.features, bag.features)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_are_equal(duplicate, file_backed):
    assert duplicate(file_backed) == file_backed
    assert duplicate(file_backed).is_file_backed
    assert duplicate(Bag(FEATURES, COORDS)) == Bag(FEATURES, COORDS)
    assert not duplicate(Bag(FEATURES)).features.flags.writeable


def test_map_in_memory_is_done_at_once():
    calls = []

    def double(features):
        calls.append(features.shape)
        return 2 * features

    mapped = Bag(FEATURES, COORDS, "slide").map(double)
    assert calls == [(4, 3)]
    assert mapped == Bag(2 * FEATURES, COORDS)
    assert mapped.source == "slide"
    assert not mapped.is_file_backed
    assert mapped.features is not None
    assert calls == [(4, 3)]


def test_map_of_a_file_is_done_at_each_use(file_backed):
    calls = []

    def double(features):
        calls.append(features.shape)
        return 2 * features

    mapped = file_backed.map(double)
    assert (mapped.n_tiles, mapped.n_features, calls) == (4, 3, [])
    assert mapped.is_file_backed
    assert mapped.source == file_backed.source
    for _ in range(2):
        assert_array_equal(mapped.features, 2 * FEATURES)
    assert calls == [(4, 3), (4, 3)]
    assert_array_equal(mapped.coords, COORDS)


def first_column(features):
    return features[:, :1]


def test_maps_are_applied_in_order_and_survive_pickling(file_backed):
    mapped = file_backed.map(np.square).map(first_column, n_features=1).map(np.negative)
    expected = -np.square(FEATURES[:, :1])
    assert mapped.n_features == 1
    assert_array_equal(mapped.features, expected)
    assert_array_equal(pickle.loads(pickle.dumps(mapped)).features, expected)
    assert Bag(FEATURES).map(np.square).map(first_column).map(np.negative) == Bag(expected)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_mapped_features_have_the_type_of_a_bag(file_backed, dtype):
    mapped = file_backed.map(lambda features: features.astype(dtype))
    assert mapped.features.dtype == np.float32
    assert not mapped.features.flags.writeable


def test_map_with_another_width_than_announced_is_refused(file_backed):
    mapped = file_backed.map(first_column)
    with pytest.raises(
        ValueError,
        match=r"first_column must return features of shape \(4, 3\) for the bag from '.*bag\.npz', got shape \(4, 1\); "
        "pass n_features",
    ):
        mapped.features  # noqa: B018
    with pytest.raises(ValueError, match=r"shape \(4, 2\) for the bag from 'slide', got shape \(4, 1\)"):
        Bag(FEATURES, source="slide").map(first_column, n_features=2)


def test_map_must_keep_every_tile(file_backed):
    with pytest.raises(ValueError, match=r"shape \(4, 3\).*got shape \(1, 3\)"):
        Bag(FEATURES).map(lambda features: features[:1])
    with pytest.raises(ValueError, match=r"shape \(4, 3\).*got shape \(1, 3\)"):
        file_backed.map(lambda features: features[:1]).features  # noqa: B018
