import io
import mmap
import os
import pickle
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sksurv_mmf.bags import Bag

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
COORDS = np.arange(8).reshape(4, 2)


def npy_bytes(array, **kwargs):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), **kwargs)
    return stream.getvalue()


def npy_with_header(header, data=b"", version=1):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + data


def npz_bytes(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def is_memory_mapped(array):
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, mmap.mmap)


WRITERS = {
    "plain.npy": lambda path, array: np.save(path, array),
    "stored.npz": lambda path, array: np.savez(path, features=array),
    "single.npz": lambda path, array: np.savez(path, array),
    "compressed.npz": lambda path, array: np.savez_compressed(path, features=array, other=np.ones(1)),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "<i4", "<u1"])
@pytest.mark.parametrize("name", WRITERS)
def test_features_are_what_was_saved(tmp_path, name, dtype, order):
    saved = np.asarray(FEATURES * 8, dtype=dtype, order=order)
    WRITERS[name](tmp_path / name, saved)

    bag = Bag.from_file(tmp_path / name)

    assert (bag.n_tiles, bag.n_features) == (4, 3)
    assert bag.features.dtype == (np.float16 if dtype == "<f2" else np.float32)
    assert_array_equal(bag.features, saved)
    assert not bag.features.flags.writeable
    assert bag.coords is None
    assert bag.source == str(tmp_path / name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_coords_come_with_the_features(tmp_path, save):
    save(tmp_path / "bag.npz", coords=COORDS, features=FEATURES)
    bag = Bag.from_file(tmp_path / "bag.npz")
    assert_array_equal(bag.coords, COORDS)
    assert bag.coords.dtype == COORDS.dtype
    assert_array_equal(bag.features, FEATURES)


@pytest.mark.parametrize(
    ("name", "mapped"),
    [("plain.npy", True), ("stored.npz", True), ("single.npz", True), ("compressed.npz", False)],
)
def test_uncompressed_files_are_memory_mapped(tmp_path, name, mapped):
    WRITERS[name](tmp_path / name, FEATURES)
    assert is_memory_mapped(Bag.from_file(tmp_path / name).features) is mapped


def test_only_the_header_is_read_when_the_bag_is_made(tmp_path):
    path = tmp_path / "huge.npy"
    n_tiles, n_features = 2**24, 2**10
    header = npy_with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_tiles}, {n_features})}}")
    path.write_bytes(header)
    os.truncate(path, len(header) + 4 * n_tiles * n_features)  # 64 GiB, all of them a hole in the file

    bag = Bag.from_file(path)

    assert (bag.n_tiles, bag.n_features) == (n_tiles, n_features)
    assert_array_equal(bag.features[-2:], np.zeros((2, n_features)))


def test_nothing_is_kept_between_uses(tmp_path):
    np.save(tmp_path / "bag.npy", FEATURES.astype(np.float64))
    bag = Bag.from_file(tmp_path / "bag.npy")
    assert not np.shares_memory(bag.features, bag.features)


def test_relative_path_holds_after_a_change_of_folder(tmp_path, monkeypatch):
    np.save(tmp_path / "bag.npy", FEATURES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    bag = Bag.from_file("bag.npy")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert_array_equal(bag.features, FEATURES)


HEADER = "{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}"

UNUSABLE = {
    "nothing.npy": (b"", r"it is empty \(0 bytes\)"),
    "nothing.npz": (b"", r"it is empty \(0 bytes\)"),
    "text.npy": (b"patient,tile\n1,2\n", "magic string"),
    "one_dimension.npy": (npy_bytes(np.ones(3)), r"\(n_tiles, n_features\), at least one of each, got shape \(3,\)"),
    "three_dimensions.npy": (npy_bytes(np.ones((1, 2, 3))), r"got shape \(1, 2, 3\)"),
    "zero_dimensions.npy": (npy_bytes(np.float64(1)), r"got shape \(\)"),
    "no_tiles.npy": (npy_bytes(np.ones((0, 3))), r"got shape \(0, 3\)"),
    "no_features.npy": (npy_bytes(np.ones((3, 0))), r"got shape \(3, 0\)"),
    "strings.npy": (npy_bytes(np.array([["a", "b"]])), "expected numbers, got dtype <U1"),
    "complex.npy": (npy_bytes(np.ones((2, 2), dtype=complex)), "expected numbers, got dtype complex128"),
    "records.npy": (npy_bytes(np.zeros(2, dtype=[("x", "f4")])), "expected numbers"),
    "unicode_records.npy": (npy_bytes(np.zeros(2, dtype=[("é\u4e00", "f4")]), version=(3, 0)), "version"),
    "too_short.npy": (npy_bytes(FEATURES)[:-1], "announces 48 bytes, .* but 47 follow; it is truncated"),
    "too_long.npy": (npy_bytes(FEATURES) + b"x", "announces 48 bytes, .* but 49 follow"),
    "vast.npy": (npy_with_header(HEADER.format(descr="<f4", shape=(10**9, 10**9))), "but 0 follow"),
    "overflow.npy": (npy_with_header(HEADER.format(descr="<f4", shape=(2**32, 2**32))), "but 0 follow"),
    "negative.npy": (npy_with_header(HEADER.format(descr="<f4", shape=(-1, -1)), bytes(4)), "announces"),
    "code.npy": (npy_with_header("__import__('os').abort()"), "malformed node"),
    "nested.npy": (npy_with_header("(" * 9000), ""),
    "endless_header.npy": (b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + bytes(20_000), "array header"),
    "text.npz": (b"patient,tile\n1,2\n", r"truncated or no \.npz file"),
    "no_array.npz": (npz_bytes({}), r"needs an array named .features. or .feats., or a single array, but has \[\]"),
    "other_names.npz": (npz_bytes({"a.npy": b"", "b.npy": b""}), r"has \['a', 'b'\]"),
    "not_an_array.npz": (npz_bytes({"features.npy": b"hello"}), "expected 8 bytes got 5"),
    "short_member.npz": (npz_bytes({"features.npy": npy_bytes(FEATURES)[:-1]}), "announces 48 bytes, .* but 47 follow"),
    "short_deflated.npz": (
        npz_bytes({"features.npy": npy_bytes(FEATURES)[:-1]}, zipfile.ZIP_DEFLATED),
        "announces 48 bytes, .* but 47 follow",
    ),
    "lzma.npz": (npz_bytes({"features.npy": npy_bytes(FEATURES)}, zipfile.ZIP_LZMA), "must be stored or deflated"),
    "coords.npz": (
        npz_bytes({"features.npy": npy_bytes(FEATURES), "coords.npy": npy_bytes(COORDS[:3])}),
        r"coords must have shape \(4, 2\), one row per tile, got shape \(3, 2\)",
    ),
    "features.pt": (npy_bytes(FEATURES), "it is not a zip archive, as torch.save writes it"),
    "features.csv": (npy_bytes(FEATURES), r"must end in one of \.h5, .*, not '\.csv'; or pass format"),
    "features": (npy_bytes(FEATURES), r"must end in one of \.h5, .*, not ''"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_file_is_named_with_the_reason(tmp_path, name):
    content, reason = UNUSABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"Feature file '.*{name}' cannot be used: .*{reason}"):
        Bag.from_file(tmp_path / name)


def test_folder_is_no_feature_file(tmp_path):
    (tmp_path / "slide.npy").mkdir()
    with pytest.raises(ValueError, match=r"slide\.npy' cannot be used: it is a folder and not a regular file"):
        Bag.from_file(tmp_path / "slide.npy")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npy"):
        Bag.from_file(tmp_path / "absent.npy")


def test_deflated_array_cannot_announce_more_than_deflate_can_hold(tmp_path):
    size = 2**40
    header = npy_with_header(HEADER.format(descr="<f4", shape=(2**28, 2**10)))
    content = bytearray(npz_bytes({"features.npy": header + bytes(1000)}, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.infolist()
        directory = archive.start_dir
    assert member.file_size < size
    content[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")  # the unpacked size, as it may lie
    (tmp_path / "bomb.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.npz' cannot be used: .* announces 4294967294 bytes, more than"):
        Bag.from_file(tmp_path / "bomb.npz")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["bag.npy", "bag.npz"])
def test_pickled_objects_are_never_loaded(tmp_path, name):
    trap = tmp_path / "executed"
    array = np.empty((1, 1), dtype=object)
    array[0, 0] = Malicious(str(trap))
    (np.save if name == "bag.npy" else np.savez)(tmp_path / name, array)
    with pytest.raises(ValueError, match=rf"{name}' cannot be used: expected numbers, got dtype object"):
        Bag.from_file(tmp_path / name)
    assert not trap.exists()
    # The trap does spring where pickles are trusted, so its silence above means something.
    with np.load(tmp_path / name, allow_pickle=True) if name == "bag.npz" else io.BytesIO() as archive:
        loaded = archive["arr_0"] if name == "bag.npz" else np.load(tmp_path / name, allow_pickle=True)
    loaded[0, 0].close()
    assert trap.exists()


def test_bare_pickle_with_the_name_of_an_array_is_refused(tmp_path):
    trap = tmp_path / "executed"
    (tmp_path / "bag.npy").write_bytes(pickle.dumps(Malicious(str(trap))))
    with pytest.raises(ValueError, match=r"bag\.npy' cannot be used"):
        Bag.from_file(tmp_path / "bag.npy")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["plain.npy", "stored.npz", "compressed.npz"])
def test_every_truncation_is_noticed_when_the_bag_is_made(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, FEATURES)
    content = path.read_bytes()
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=name):
            Bag.from_file(path)


@pytest.mark.parametrize("name", ["plain.npy", "stored.npz", "compressed.npz"])
def test_damaged_bytes_give_features_or_an_error_with_the_name(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, FEATURES)
    content = path.read_bytes()
    sizes = []
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            sizes.append(Bag.from_file(path).features.size)
        except ValueError as error:
            sizes.append(0 if name in str(error) else np.inf)
    assert max(sizes) == FEATURES.size
    assert sizes.count(0) > 50


def test_file_that_is_gone_is_named_at_the_next_use(tmp_path):
    np.savez(tmp_path / "bag.npz", features=FEATURES, coords=COORDS)
    bag = Bag.from_file(tmp_path / "bag.npz")
    (tmp_path / "bag.npz").unlink()
    assert bag.n_tiles == 4
    for use in (lambda: bag.features, lambda: bag.coords, lambda: bag.map(np.sqrt).features):
        with pytest.raises(FileNotFoundError, match=r"gone since its bag was made.*bag\.npz"):
            use()


@pytest.mark.parametrize("changed", [FEATURES[:2], FEATURES + 1])
def test_file_that_has_changed_is_named_at_the_next_use(tmp_path, changed):
    path = tmp_path / "bag.npy"
    np.save(path, FEATURES)
    bag = Bag.from_file(path)
    np.save(path, changed)
    # later by a second, since two writes can fall into one tick of the file system's clock
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 10**9))
    with pytest.raises(ValueError, match=r"bag\.npy' has changed since its bag was made; make the bag again"):
        bag.features  # noqa: B018
    assert_array_equal(Bag.from_file(path).features, changed)


def test_file_whose_compressed_data_are_damaged_is_named_at_use(tmp_path):
    path = tmp_path / "bag.npz"
    np.savez_compressed(path, features=np.random.default_rng(0).normal(size=(50, 40)))
    content = bytearray(path.read_bytes())
    content[-400] ^= 0xFF
    path.write_bytes(content)
    bag = Bag.from_file(path)
    with pytest.raises(ValueError, match=r"bag\.npz' cannot be read: .*"):
        bag.features  # noqa: B018
