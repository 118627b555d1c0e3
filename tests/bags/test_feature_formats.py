"""Files in the layouts of CLAM, TRIDENT and STAMP, written here as these tools write them, and hostile ones."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile

import h5py
import numcodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from numpy.testing import assert_array_equal

from sksurv_mmf.bags import Bag, read_bags

N_TILES, N_FEATURES = 40, 6
FEATURES = np.random.default_rng(0).normal(size=(N_TILES, N_FEATURES)).astype(np.float32)
COORDS = np.random.default_rng(1).integers(0, 90_000, size=(N_TILES, 2))


def write_clam_h5(path):
    """Appended in batches, one chunk per tile, no filters."""
    with h5py.File(path, "w") as file:
        for name, array in {"features": FEATURES, "coords": COORDS.astype(np.int32)}.items():
            shape = array.shape[1:]
            dataset = file.create_dataset(
                name, array[:25].shape, array.dtype, maxshape=(None, *shape), chunks=(1, *shape)
            )
            dataset[:] = array[:25]
            dataset.resize(N_TILES, axis=0)
            dataset[25:] = array[25:]


def write_trident_h5(path, leading=()):
    with h5py.File(path, "w") as file:
        file["features"] = FEATURES.reshape(*leading, N_TILES, N_FEATURES)
        file["features"].attrs["encoder"] = "uni_v1"
        file["coords"] = COORDS
        file["coords"].attrs.update({"patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40})


def write_stamp_h5(path):
    with h5py.File(path, "w") as file:
        file["feats"] = FEATURES.astype(np.float16)
        file["coords"] = COORDS * 0.25
        file.attrs.update({"stamp_version": "2.3.0", "unit": "um", "tile_size": 256.0, "feat_type": "tile"})


def write_gzip_h5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=FEATURES, chunks=(7, 3), compression="gzip", shuffle=True)


def write_zarr_group(path, zarr_format):
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.create_array("features", data=FEATURES, chunks=(16, N_FEATURES))
    group.create_array("coords", data=COORDS)


def table(**columns):
    return pd.DataFrame(FEATURES).add_prefix("f").assign(**columns)


LISTS = pd.DataFrame({"features": list(FEATURES), "coords": list(COORDS)})
FIXED = pa.table({"feats": pa.FixedSizeListArray.from_arrays(FEATURES.ravel(), N_FEATURES)})

# Name: what writes it, and the coordinates that come back.
LAYOUTS = {
    "clam.h5": (write_clam_h5, COORDS),
    "clam.pt": (lambda path: torch.save(torch.from_numpy(FEATURES), path), None),
    "trident.h5": (write_trident_h5, COORDS),
    "trident_leading.h5": (lambda path: write_trident_h5(path, (1,)), COORDS),
    "stamp.h5": (write_stamp_h5, COORDS * 0.25),
    "gzip.hdf5": (write_gzip_h5, None),
    "dict.pt": (
        lambda path: torch.save({"feats": torch.tensor(FEATURES), "coords": torch.tensor(COORDS)}, path),
        COORDS,
    ),
    "transposed.pth": (lambda path: torch.save(torch.tensor(FEATURES.T.copy()).T, path), None),
    "parameter.pt": (lambda path: torch.save(torch.nn.Parameter(torch.tensor(FEATURES)), path), None),
    "group2.zarr": (lambda path: write_zarr_group(path, 2), COORDS),
    "group3.zarr": (lambda path: write_zarr_group(path, 3), COORDS),
    "array.zarr": (lambda path: zarr.create_array(path, data=FEATURES, chunks=(16, 2)), None),
    "shards.zarr": (lambda path: zarr.create_array(path, data=FEATURES, chunks=(8, 6), shards=(16, 6)), None),
    "columns.parquet": (lambda path: table(x=COORDS[:, 0], y=COORDS[:, 1]).to_parquet(path), COORDS),
    "indexed.parquet": (lambda path: table(tile=np.arange(N_TILES)).set_index("tile").to_parquet(path), None),
    "lists.parquet": (lambda path: LISTS.to_parquet(path), COORDS),
    "fixed_lists.pq": (lambda path: pq.write_table(FIXED, path), None),
    "groups.parquet": (lambda path: LISTS.to_parquet(path, row_group_size=7), COORDS),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_read_as_it_was_written(tmp_path, name):
    write, coords = LAYOUTS[name]
    path = tmp_path / name
    write(path)

    bag = Bag.from_file(path)

    expected = FEATURES.astype(np.float16) if name == "stamp.h5" else FEATURES
    assert (bag.n_tiles, bag.n_features) == (N_TILES, N_FEATURES)
    assert bag.features.dtype == expected.dtype
    assert_array_equal(bag.features, expected)
    assert not bag.features.flags.writeable
    if coords is None:
        assert bag.coords is None
    else:
        assert_array_equal(bag.coords, coords)
    assert bag.slides == {path.stem: N_TILES}
    assert (bag.source, bag.source_of(3)) == (str(path), str(path))
    assert len(pickle.dumps(bag)) < 1500
    assert pickle.loads(pickle.dumps(bag)) == bag


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int16])
def test_other_types_of_tensors_become_float32(tmp_path, dtype):
    tensor = torch.tensor(FEATURES * 100).to(dtype)
    torch.save(tensor, tmp_path / "bag.pt")
    assert_array_equal(Bag.from_file(tmp_path / "bag.pt").features, tensor.to(torch.float32).numpy())


def test_keys_choose_among_arrays(tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["features"], file["group/late"], file["places"] = FEATURES, FEATURES + 1, COORDS
    np.savez(tmp_path / "two.npz", features=FEATURES, late=FEATURES + 1, places=COORDS)
    table(label="tumour", a=COORDS[:, 0], b=COORDS[:, 1]).to_parquet(tmp_path / "two.parquet")

    for name, key in {"two.h5": "group/late", "two.npz": "late"}.items():
        bag = Bag.from_file(tmp_path / name, features_key=key, coords_key="places")
        assert_array_equal(bag.features, FEATURES + 1)
        assert_array_equal(bag.coords, COORDS)
    bag = Bag.from_file(tmp_path / "two.parquet", features_key=["f2", "f0"], coords_key=["a", "b"])
    assert_array_equal(bag.features, FEATURES[:, [2, 0]])
    assert_array_equal(bag.coords, COORDS)


def test_a_format_overrules_the_name(tmp_path):
    write_trident_h5(tmp_path / "slide.features")
    assert_array_equal(Bag.from_file(tmp_path / "slide.features", format="h5").features, FEATURES)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"features": torch.ones(2, 2), "x": trap}])
def test_a_pickle_in_a_pt_file_is_never_run(tmp_path, wrap):
    trap, path = tmp_path / "executed", tmp_path / "bag.pt"
    torch.save(wrap(Malicious(str(trap))), path)
    with pytest.raises(ValueError, match=r"bag\.pt' cannot be used: it holds more than tensors, and pickled"):
        Bag.from_file(path)
    assert not trap.exists()
    # The trap does spring where pickles are trusted, so its silence above means something.
    loaded = torch.load(path, weights_only=False)
    (loaded["x"] if isinstance(loaded, dict) else loaded).close()
    assert trap.exists()


def test_a_bare_pickle_and_an_old_archive_are_not_opened(tmp_path):
    trap = tmp_path / "executed"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Malicious(str(trap))))
    torch.save(torch.ones(2, 2), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("bare", "old"):
        with pytest.raises(ValueError, match=rf"{name}\.pt' cannot be used: it is not a zip archive"):
            Bag.from_file(tmp_path / f"{name}.pt")
    assert not trap.exists()


def test_a_zarr_codec_that_unpickles_is_never_run(tmp_path, monkeypatch):
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as older ones do
    trap, path = tmp_path / "executed", tmp_path / "bag.zarr"
    zarr.create_array(path, data=np.ones((1, 1)), zarr_format=2, compressors=None)
    metadata = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(metadata | {"compressor": {"id": "pickle", "protocol": 5}}))
    chunk = pickle.dumps(Malicious(str(trap)))
    (path / "0.0").write_bytes(chunk)
    with pytest.raises(ValueError, match=r"bag\.zarr' cannot be used: .*pickle"):
        Bag.from_file(path).features  # noqa: B018
    assert not trap.exists()
    # The codec does run it.
    numcodecs.get_codec({"id": "pickle"}).decode(chunk).close()
    assert trap.exists()


def test_a_zarr_codec_that_nobody_vouched_for_is_refused(tmp_path):
    codec = numcodecs.FixedScaleOffset(offset=0, scale=10, dtype="<f4", astype="<i2")
    zarr.create_array(tmp_path / "bag.zarr", data=FEATURES, zarr_format=2, filters=[codec])
    with pytest.raises(ValueError, match=r"bag\.zarr' cannot be used: it is encoded with \['fixedscaleoffset'\]; only"):
        Bag.from_file(tmp_path / "bag.zarr")


def rewrite_pt(path, target, change):
    """Copy a .pt file with another pickle; torch.save would not lie."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for member in source.infolist():
            data = source.read(member)
            archive.writestr(member.filename, change(data) if member.filename.endswith("data.pkl") else data)


def test_a_tensor_cannot_announce_more_than_its_file(tmp_path):
    torch.save(torch.ones(300, 1), tmp_path / "bag.pt")
    few, many = b"M" + (300).to_bytes(2, "little"), b"J" + (2**30).to_bytes(4, "little")  # pickled integers
    rewrite_pt(tmp_path / "bag.pt", tmp_path / "lie.pt", lambda data: data.replace(few, many))
    with pytest.raises(ValueError, match=r"lie\.pt' cannot be used: its header announces 4294967296 bytes"):
        Bag.from_file(tmp_path / "lie.pt")


def write_h5(**datasets):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, (shape, how) in datasets.items():
                file.create_dataset(name, shape, "f4", **how)

    return write


def write_virtual_h5(path):
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "features", (2, 2))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("features", layout)


def write_linked_h5(path):
    with h5py.File(path, "w") as file:
        file["features"] = h5py.ExternalLink("other.h5", "features")


def write_strings_h5(path):
    with h5py.File(path, "w") as file:
        file["features"] = [["a", "b"]]


def zarr_with_shape(path, shape):
    zarr.create_array(path, data=FEATURES)
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(metadata | {"shape": shape}))


def write_ragged(path):
    pd.DataFrame({"features": [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]]}).to_parquet(path)


HUGE = (2**20, 2**20)
UNUSABLE = {
    "empty.h5": (lambda path: path.write_bytes(b""), r"it is empty \(0 bytes\)"),
    "empty.pt": (lambda path: path.write_bytes(b""), "it is empty"),
    "empty.parquet": (lambda path: path.write_bytes(b""), "it is empty"),
    "empty.zarr": (lambda path: path.mkdir(), ""),
    "empty.npy": (lambda path: path.write_bytes(b""), "it is empty"),
    "folder.h5": (lambda path: path.mkdir(), "it is a folder and not a regular file"),
    "text.h5": (lambda path: path.write_text("x" * 5000), r"no HDF5 file: copy it again.* \(.*signature not found"),
    "text.npy": (lambda path: path.write_text("x" * 5000), r"no \.npy file: copy it again.* \(the magic string"),
    "text.npz": (lambda path: path.write_text("x" * 5000), r"no \.npz file: copy it again"),
    "text.pt": (lambda path: path.write_text("x" * 5000), "it is not a zip archive"),
    "text.parquet": (lambda path: path.write_text("x" * 5000), "no parquet file: copy it again"),
    "no_tiles.h5": (
        write_h5(features=((0, 4), {"chunks": (1, 4), "maxshape": (None, 4)})),
        r"got shape \(0, 4\)\. There are no tiles",
    ),
    "no_tiles.pt": (lambda path: torch.save(torch.ones(0, 4), path), r"got shape \(0, 4\)\. There are no tiles"),
    "no_tiles.parquet": (lambda path: table()[:0].to_parquet(path), r"got shape \(0, 6\)"),
    "vector.h5": (write_h5(features=((5,), {"fillvalue": 1})), "was announced, but never written"),
    "vector.pt": (lambda path: torch.save(torch.ones(5), path), r"got shape \(5,\)"),
    "stack.pt": (lambda path: torch.save(torch.ones(2, 3, 4), path), r"got shape \(2, 3, 4\)"),
    "names.h5": (write_h5(a=((2, 2), {}), b=((2, 2), {})), r"needs an array named .* has \['a', 'b'\]"),
    "both.h5": (write_h5(features=((2, 2), {}), feats=((2, 2), {})), "say which one with features_key"),
    "strings.h5": (write_strings_h5, "expected numbers"),
    "group.h5": (lambda path: h5py.File(path, "w").create_group("features").file.close(), "is no array"),
    "never_filled.h5": (write_h5(features=((20, 2), {})), "announced, but never written"),
    "vast.h5": (write_h5(features=(HUGE, {"chunks": (8, 8)})), "announces 4398046511104 bytes"),
    "bomb.h5": (write_h5(features=(HUGE, {"chunks": (8, 8), "compression": "gzip"})), "announces 4398046511104 bytes"),
    "chunk.h5": (
        write_h5(features=((2, 2), {"chunks": (2**14, 2**14), "maxshape": (None, None), "compression": "gzip"})),
        "announces 1073741824 bytes",
    ),
    "virtual.h5": (write_virtual_h5, "lies in other files, which are not followed"),
    "external.h5": (write_h5(features=((2, 2), {"external": "other.raw"})), "lies in other files"),
    "linked.h5": (write_linked_h5, "is a link, which is not followed"),
    "complex.pt": (lambda path: torch.save(torch.ones(2, 2, dtype=torch.complex64), path), "expected a dense tensor"),
    "sparse.pt": (
        lambda path: torch.save(torch.eye(3).to_sparse_csr(), path),
        "expected a dense tensor|more than tensors",
    ),
    "strided.pt": (lambda path: torch.save(torch.ones(1, 1).expand(2**20, 2**20), path), "repeats its elements"),
    "list.pt": (lambda path: torch.save([torch.ones(2, 2)], path), "holds a list; expected a tensor"),
    "script.pt": (lambda path: torch.jit.save(torch.jit.script(torch.nn.Identity()), path), "is a TorchScript archive"),
    "numpy.pt": (lambda path: torch.save(FEATURES, path), "holds more than tensors"),
    "vast.zarr": (lambda path: zarr_with_shape(path, [2**30, N_FEATURES]), "announces 25769803776 bytes"),
    "strings.parquet": (lambda path: table(slide="a").to_parquet(path), r"\['slide'\] are not.* features_key"),
    "ragged.parquet": (
        lambda path: pd.DataFrame({"features": [[1.0], [1.0, 2.0]]}).to_parquet(path),
        "different lengths",
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:.torch.jit")
@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_file_is_named_with_the_reason(tmp_path, name):
    write, reason = UNUSABLE[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=rf"Feature file '.*{name}' cannot be used: .*{reason}"):
        Bag.from_file(path)


def test_unusable_keys_are_named(tmp_path):
    write_trident_h5(tmp_path / "bag.h5")
    np.save(tmp_path / "bag.npy", FEATURES)
    table().to_parquet(tmp_path / "bag.parquet")
    for name, keys, reason in [
        ("bag.h5", {"features_key": "uni"}, r"has no array 'uni' \(features_key\), but has \['coords', 'features'\]"),
        ("bag.h5", {"coords_key": "xy"}, r"has no array 'xy' \(coords_key\)"),
        ("bag.npy", {"features_key": "uni"}, "leave features_key and coords_key out"),
        ("bag.parquet", {"features_key": ["f0", "g"]}, r"has no column 'g' \(features_key\)"),
    ]:
        with pytest.raises(ValueError, match=rf"{name}' cannot be used: .*{reason}"):
            Bag.from_file(tmp_path / name, **keys)


def test_lists_whose_lengths_only_agree_on_average_are_named_at_use(tmp_path):
    write_ragged(tmp_path / "bag.parquet")
    bag = Bag.from_file(tmp_path / "bag.parquet")
    with pytest.raises(
        ValueError, match=r"bag\.parquet' cannot be read: column 'features' has lists of 1 to 3 numbers"
    ):
        bag.features  # noqa: B018


@pytest.mark.parametrize("name", ["clam.h5", "gzip.hdf5", "clam.pt", "lists.parquet"])
def test_truncation_is_named(tmp_path, name):
    path = tmp_path / name
    LAYOUTS[name][0](path)
    content = path.read_bytes()
    for length in np.linspace(0, len(content) - 1, 30, dtype=int):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=name):
            Bag.from_file(path).features  # noqa: B018


def test_zarr_store_that_lacks_a_chunk_is_named(tmp_path):
    path = tmp_path / "group3.zarr"
    write_zarr_group(path, 3)
    shutil.rmtree(path / "features" / "c" / "1")
    with pytest.raises(ValueError, match=r"group3\.zarr' cannot be used: 1 of 3 chunks are absent; it is incomplete"):
        Bag.from_file(path)


@pytest.mark.parametrize("name", ["clam.h5", "clam.pt", "array.zarr", "columns.parquet"])
def test_file_that_has_changed_is_named_at_the_next_use(tmp_path, name):
    path = tmp_path / name
    LAYOUTS[name][0](path)
    bag = Bag.from_file(path)
    with open(next(path.glob("c/*/*")) if path.is_dir() else path, "ab") as stream:
        stream.write(b"x")
    with pytest.raises(ValueError, match=rf"{name}' has changed since its bag was made"):
        bag.features  # noqa: B018


WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "a"):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_file_that_another_process_writes_is_named_as_locked(tmp_path, monkeypatch):
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    path = tmp_path / "clam.h5"
    write_clam_h5(path)
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match=r"clam\.h5' cannot be used: it is locked, because another process"):
            Bag.from_file(path)
        writer.communicate("\n")
    assert_array_equal(Bag.from_file(path).features, FEATURES)


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("a.h5", "h5py", "io"), ("a.zarr", "zarr", "io"), ("a.pq", "pyarrow", "data")]
)
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, name, package, extra):
    (tmp_path / name).mkdir() if name == "a.zarr" else (tmp_path / name).touch()
    for module in (package, f"{package}.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {package}.*sksurv_mmf\[{extra}\]"):
        Bag.from_file(tmp_path / name)


class TestNamesBesideFeatures:
    def save(self, path, n_tiles, n_features):
        names = [f"TCGA-05-4244-01Z-00-DX1_{256 * tile}_{256 * (tile // 100)}.png" for tile in range(n_tiles)]
        torch.save({"features": torch.ones(n_tiles, n_features), "names": names}, path)

    def test_as_many_as_there_are_tiles_are_passed_over(self, tmp_path):
        self.save(tmp_path / "a.pt", 20_000, 64)
        (bag,) = read_bags([tmp_path / "a.pt"], "slide")
        assert bag.n_tiles == 20_000

    def test_nothing_but_names_is_refused_with_the_way_out(self, tmp_path):
        self.save(tmp_path / "a.pt", 40_000, 1)
        with pytest.raises(ValueError, match=r"its pickle has \d+ of its \d+ bytes.*torch\.save\(\{'features'"):
            read_bags([tmp_path / "a.pt"], "slide")
