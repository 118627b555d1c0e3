"""What was never written, cut short or changed under a checksum is not read as tiles, and nothing small takes much."""

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

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
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from sksurv_mmf import read_bags
from sksurv_mmf.bags import Bag, open_bags, pack_bags

FEATURES = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)


def read(path, **how):
    return Bag.from_file(path, **how).features


def assert_refused(path, message, **how):
    with pytest.raises(ValueError, match=rf"{path.name}' cannot be (used|read): .*({message})"):
        read(path, **how)


class TestNeverWritten:
    @pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}, {"fillvalue": -1.0}, {"fletcher32": True}])
    @pytest.mark.parametrize("written", [slice(0, 40), slice(60, 100), slice(0, 0)])
    def test_chunks_of_h5(self, tmp_path, filters, written):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("features", (100, 16), "f4", chunks=(20, 16), maxshape=(None, 16), **filters)
            dataset[written] = FEATURES[written]
        n = 5 - (written.stop - written.start) // 20
        assert_refused(
            tmp_path / "a.h5",
            rf"{n} of 5 chunks of array 'features' were announced, but never written|was never filled",
        )

    def test_chunks_of_coordinates(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["features"] = FEATURES
            file.create_dataset("coords", (100, 2), "i4", chunks=(50, 2))[:50] = 1
        assert_refused(tmp_path / "a.h5", "1 of 2 chunks of array 'coords'")

    def test_a_dataset_that_was_enlarged(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("features", data=FEATURES, chunks=(1, 16), maxshape=(None, 16)).resize(103, axis=0)
        assert_refused(tmp_path / "a.h5", "3 of 103 chunks")

    @pytest.mark.parametrize("chunks", [None, (50, 16)])
    @pytest.mark.parametrize("fill", [0.0, -1.0])
    def test_rows_of_h5_of_which_the_format_cannot_tell(self, tmp_path, chunks, fill):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("features", (100, 16), "f4", chunks=chunks, fillvalue=fill)[:88] = FEATURES[:88]
        with pytest.warns(
            UserWarning, match=rf"The last 12 of 100 tiles of '.*a\.h5', array 'features', are all {fill}"
        ):
            assert_array_equal(read(tmp_path / "a.h5")[:88], FEATURES[:88])

    def test_rows_of_zarr_of_which_the_format_cannot_tell(self, tmp_path):
        array = zarr.create_array(tmp_path / "a.zarr", shape=(100, 16), chunks=(100, 16), dtype="f4")
        array[:97] = FEATURES[:97]
        with pytest.warns(UserWarning, match=r"The last 3 of 100 tiles of '.*a\.zarr'"):
            read(tmp_path / "a.zarr")

    def test_a_tile_in_the_corner_has_the_coordinates_of_nothing(self, tmp_path):
        group = zarr.create_group(tmp_path / "a.zarr")
        group.create_array("features", data=FEATURES[:1])
        group.create_array("places", data=np.zeros((1, 2)), config={"write_empty_chunks": True})
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["features"], file["places"] = FEATURES[:1], np.zeros((1, 2))
        for name in ("a.zarr", "a.h5"):
            (bag,) = read_bags([tmp_path / name], "slide", coords_key="places")
            assert_array_equal(bag.coords, [[0, 0]])

    def test_a_few_tiles_of_zeros_before_the_last_are_let_be(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["features"] = np.where(np.arange(100)[:, None] < 99, 0, FEATURES)
        assert not read(tmp_path / "a.h5")[:99].any()

    @pytest.mark.parametrize("location", ["start", "end"])
    def test_chunks_of_a_shard(self, tmp_path, location):
        codec = zarr.codecs.ShardingCodec(chunk_shape=(10, 16), index_location=location)
        array = zarr.create(store=tmp_path / "a.zarr", shape=(100, 16), chunks=(40, 16), dtype="f4", codecs=[codec])
        array[:20], array[30:95] = FEATURES[:20], FEATURES[30:95]
        assert_refused(tmp_path / "a.zarr", "1 of 10 chunks are absent; it is incomplete")
        array[20:30], array[95:] = FEATURES[20:30], FEATURES[95:]
        assert_array_equal(read(tmp_path / "a.zarr"), FEATURES)
        (tmp_path / "a.zarr/c/1/0").unlink()
        assert_refused(tmp_path / "a.zarr", "4 of 10 chunks are absent")


V2 = [numcodecs.Blosc(), numcodecs.Blosc("zstd", shuffle=2), numcodecs.Zstd(), numcodecs.LZ4(), numcodecs.GZip()]
V2 += [numcodecs.Zlib(), numcodecs.BZ2(), numcodecs.LZMA(), None]
V3 = [BloscCodec(), GzipCodec(), ZstdCodec(), None]
ZARR = [{"zarr_format": 2, "compressors": one} for one in V2] + [{"compressors": one} for one in V3]
ZARR += [{"compressors": one, "shards": (100, 16)} for one in V3]
ZARR += [{"compressors": [ZstdCodec(checksum=True), Crc32cCodec()]}]


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
class TestChunksOfZarr:
    @pytest.mark.parametrize("how", ZARR)
    def test_truncated_chunks_are_refused(self, tmp_path, how):
        path = tmp_path / "a.zarr"
        zarr.create_array(path, data=FEATURES, **({"chunks": (50, 16)} | how))
        assert_array_equal(read(path), FEATURES)
        chunk = max((one for one in path.rglob("*") if one.is_file()), key=os.path.getsize)
        intact = chunk.read_bytes()
        for length in [0, 1, 3, 8, 15, 16, 40, len(intact) // 2, len(intact) - 1]:
            chunk.write_bytes(intact[:length])
            assert_refused(path, "truncated|damaged")
        if "shards" not in how:
            chunk.write_bytes(intact + b"12345")
            assert_refused(path, "truncated|damaged")

    @pytest.mark.parametrize("at", [4, 8, 12])
    def test_a_header_of_blosc_that_lies(self, tmp_path, at):
        zarr.create_array(
            tmp_path / "a.zarr", data=FEATURES, chunks=(50, 16), zarr_format=2, compressors=numcodecs.Blosc()
        )
        chunk = tmp_path / "a.zarr" / "1.0"
        data = bytearray(chunk.read_bytes())
        for value in (0, 2**31 - 1, struct.unpack_from("<I", data, at)[0] + 64):
            struct.pack_into("<I", data, at, value)
            chunk.write_bytes(data)
            assert_refused(tmp_path / "a.zarr", "truncated or damaged")

    @pytest.mark.parametrize("codec", ["GZip", "Zlib", "BZ2", "LZMA", "Zstd", "LZ4", "Blosc"])
    @pytest.mark.parametrize("size", [7, 3199, 3201, 20_000_000])
    def test_chunks_of_another_size_are_refused(self, tmp_path, codec, size):
        codec = getattr(numcodecs, codec)()
        zarr.create_array(tmp_path / "a.zarr", data=FEATURES, chunks=(50, 16), zarr_format=2, compressors=codec)
        (tmp_path / "a.zarr" / "1.0").write_bytes(bytes(codec.encode(bytes(size))))
        assert_refused(
            tmp_path / "a.zarr", r"chunk '1\.0' is truncated or damaged: it holds (more|\d+) bytes instead of 3200"
        )

    def test_a_zstd_frame_that_announces_no_size_is_read(self, tmp_path):
        zarr.create_array(
            tmp_path / "a.zarr", data=FEATURES, chunks=(100, 16), zarr_format=2, compressors=numcodecs.Zstd()
        )
        for data in (FEATURES.tobytes(), bytes(30_000_000), b""):
            sink = pa.BufferOutputStream()
            with pa.CompressedOutputStream(sink, "zstd") as stream:
                stream.write(data)
            (tmp_path / "a.zarr" / "0.0").write_bytes(sink.getvalue())
            if len(data) == FEATURES.nbytes:
                assert_array_equal(read(tmp_path / "a.zarr"), FEATURES)
            else:
                assert_refused(tmp_path / "a.zarr", "damaged")

    def test_metadata_of_any_length_are_not_parsed(self, tmp_path):
        zarr.create_array(tmp_path / "a.zarr", data=FEATURES)
        os.truncate(tmp_path / "a.zarr" / "zarr.json", 2**35)
        assert_refused(tmp_path / "a.zarr", "metadata .* have more than")
        (tmp_path / "a.zarr" / "zarr.json").write_text("[" * 200_000)
        assert_refused(tmp_path / "a.zarr", "")

    def test_consolidated_metadata_may_be_older(self, tmp_path):
        group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
        array = group.create_array("features", data=FEATURES[:50], chunks=(50, 16))
        zarr.consolidate_metadata(str(tmp_path / "a.zarr"))
        array.append(FEATURES[50:])
        assert_array_equal(read(tmp_path / "a.zarr"), FEATURES)

    def test_more_chunks_than_bytes(self, tmp_path):
        zarr.create_array(tmp_path / "a.zarr", shape=(2**24, 1), chunks=(1, 1), dtype="bool")
        assert_refused(tmp_path / "a.zarr", "announces 16777216 chunks, more than its .* bytes can hold")

    @pytest.mark.parametrize("name", ["zarr.json", "c/0/0"])
    def test_a_pipe_in_place_of_a_file(self, tmp_path, name):
        zarr.create_array(tmp_path / "a.zarr", data=FEATURES)
        (tmp_path / "a.zarr" / name).unlink()
        os.mkfifo(tmp_path / "a.zarr" / name)
        assert_refused(tmp_path / "a.zarr", "is a named pipe; a regular file is expected")
        (tmp_path / "a.zarr" / name).unlink()
        (tmp_path / "a.zarr" / name).symlink_to("/dev/zero")
        assert_refused(tmp_path / "a.zarr", "is a device")


class TestChunksOfH5:
    @pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {}])
    @pytest.mark.parametrize("mask", [0, 3])
    def test_chunks_of_another_size_are_refused(self, tmp_path, filters, mask):
        packed = {"gzip": zlib.compress(b"abc"), "lzf": b"\x02abc"}.get(filters.get("compression"), b"abc")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("features", data=FEATURES, chunks=(50, 16), **filters)
            dataset.id.write_direct_chunk((50, 0), b"abc" if mask else packed, filter_mask=mask)
        assert_refused(
            tmp_path / "a.h5", r"bytes instead of (3200|6400)|a filter that every chunk goes through was left out"
        )

    @pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"compression": "lzf"}])
    def test_a_chunk_that_could_not_be_made_smaller_is_read(self, tmp_path, filters):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("features", data=FEATURES, chunks=(50, 16), **filters)
            dataset.id.write_direct_chunk((50, 0), FEATURES[50:].tobytes(), filter_mask=1)
        assert_array_equal(read(tmp_path / "a.h5"), FEATURES)

    @pytest.mark.parametrize("filters", [{"compression": "szip"}, {"scaleoffset": 3}])
    def test_filters_that_read_beyond_a_chunk_that_is_cut_short(self, tmp_path, filters):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("features", data=FEATURES, chunks=(50, 16), **filters)
        assert_refused(tmp_path / "a.h5", r"is packed with the filters \['.*'\]; only .* h5repack")

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            # The mask of skipped filters of the first chunk, beside its size, in the list of chunks.
            (lambda data, at: data.__setitem__(at + 4, data[at + 4] ^ 1), "every chunk goes through was left out"),
            # The second coordinate of the first chunk, behind the first.
            (lambda data, at: data.__setitem__(at + 16, data[at + 16] ^ 16), "the list of its chunks is damaged"),
        ],
    )
    def test_a_changed_list_of_chunks(self, tmp_path, spoil, message):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            how = {"compression": "gzip", "shuffle": True}
            dataset = file.create_dataset("features", data=FEATURES, chunks=(50, 16), **how)
            size = dataset.id.get_chunk_info(0).size
        data = bytearray((tmp_path / "a.h5").read_bytes())
        spoil(data, data.index(b"TREE\1") + 24)
        assert struct.unpack_from("<I", data, data.index(b"TREE\1") + 24) == (size,)
        (tmp_path / "a.h5").write_bytes(data)
        assert_refused(tmp_path / "a.h5", message)

    def test_numbers_of_an_unusual_layout(self, tmp_path):
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(31, 23, 8, 0, 19)  # one bit of a header away from float32
        with h5py.File(tmp_path / "a.h5", "w") as file:
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            h5py.h5d.create(file.id, b"features", kind, h5py.h5s.create_simple((100, 16)), layout)
            file["features"][:] = FEATURES
        assert_refused(tmp_path / "a.h5", "numbers in a layout that none of float32 has")

    @pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">i2", "u1", "?"])
    def test_usual_numbers_are_read(self, tmp_path, dtype):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset(
                "features", data=FEATURES.astype(dtype), chunks=(50, 16), compression="gzip", shuffle=True
            )
        assert_array_equal(read(tmp_path / "a.h5"), FEATURES.astype(dtype).astype("f4"))

    def test_chunks_that_unpack_to_anything_are_refused(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("features", data=FEATURES, chunks=(50, 16), compression="gzip")
            dataset.id.write_direct_chunk((50, 0), zlib.compress(bytes(50_000_000)))
        assert_refused(tmp_path / "a.h5", "it holds more bytes instead of 3200")

    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("compression", ["gzip", "lzf", None])
    @pytest.mark.parametrize(
        "data", [FEATURES, np.tile(FEATURES[:, :1], 40), np.eye(100, 300)], ids=["noise", "runs", "eye"]
    )
    def test_intact_ones_are_read(self, tmp_path, shuffle, compression, data):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            how = {"compression": compression, "shuffle": shuffle, "fletcher32": True}
            file.create_dataset("features", data=data, chunks=(33, 7), **how)
        assert_array_equal(read(tmp_path / "a.h5"), data.astype(np.float32))


def flip(path, needle):
    """Change one byte of what is stored."""
    data = bytearray(path.read_bytes())
    data[data.index(needle) + 5] ^= 1
    path.write_bytes(data)


CHECKED = {
    "stored.npz": lambda path: np.savez(path, features=FEATURES),
    "single.pt": lambda path: torch.save(torch.as_tensor(FEATURES), path),
    "page.parquet": lambda path: pq.write_table(
        pa.table({f"f{i}": FEATURES[:, i] for i in range(16)}),
        path,
        write_page_checksum=True,
        use_dictionary=False,
        compression="none",
    ),
    "fletcher.h5": lambda path: (
        h5py.File(path, "w").create_dataset("features", data=FEATURES, chunks=(100, 16), fletcher32=True).file.close()
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_a_changed_byte_under_a_checksum_is_noticed(tmp_path, name):
    path = tmp_path / name
    CHECKED[name](path)
    assert_array_equal(read(path), FEATURES)
    flip(path, FEATURES[50:51, 3].tobytes())
    assert_refused(path, "checksum|Checksum|CRC|damaged")


def test_checksums_are_compared_once_and_again_after_a_change(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", features=FEATURES)
    opened = []
    monkeypatch.setattr("sksurv_mmf.bags._numpy_files.check_checksum", lambda *args: opened.append(args))
    bag = Bag.from_file(tmp_path / "a.npz")
    for _ in range(3):
        assert_array_equal(bag.features, FEATURES)
    assert len(opened) == 1
    os.utime(tmp_path / "a.npz", ns=(0, 10**18))
    read(tmp_path / "a.npz")
    assert len(opened) == 2


def test_pt_files_without_checksums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    torch.save(torch.as_tensor(FEATURES), tmp_path / "a.pt")
    torch.serialization.set_crc32_options(before)
    assert_array_equal(read(tmp_path / "a.pt"), FEATURES)


def test_pt_files_of_a_machine_with_another_order_of_bytes(tmp_path):
    torch.save(torch.as_tensor(FEATURES), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, b"big" if name.endswith("byteorder") else data)
    assert_refused(tmp_path / "a.pt", "not in the order of bytes of this machine")


@pytest.mark.parametrize("dtype", [torch.uint16, torch.float8_e4m3fn, torch.complex64])
def test_tensors_of_types_that_are_not_read_are_told_by_their_type(tmp_path, dtype):
    torch.save(torch.ones(3, 2).to(dtype), tmp_path / "a.pt")
    assert_refused(tmp_path / "a.pt", f"expected a dense tensor of numbers, got {dtype}")


def test_members_that_differ_in_their_suffix_alone(tmp_path):
    np.savez(tmp_path / "a.npz", features=FEATURES)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("features", archive.read("features.npy"))
    assert_refused(tmp_path / "a.npz", "names differ in '.npy' alone")


def test_a_member_that_lost_its_name(tmp_path):
    np.savez(tmp_path / "a.npz", features=FEATURES, coords=np.zeros((100, 2)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.rindex(b"coords")] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    assert_refused(tmp_path / "a.npz", "File name in directory 'boords.npy'")


def test_a_list_of_members_that_lost_some(tmp_path):
    np.savez(tmp_path / "a.npz", features=FEATURES, coords=np.zeros((100, 2)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 32, 200)  # what follows would be a comment of the first
    (tmp_path / "a.npz").write_bytes(data)
    assert_refused(tmp_path / "a.npz", "it has 1 members, but states 2; it is damaged")


def test_headers_that_no_parser_takes(tmp_path):
    header = b"(" * 500 + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    assert_refused(tmp_path / "a.npy", "truncated or no .npy file")


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_places_of_tiles_that_are_not_known(tmp_path, unknown):
    coords = np.zeros((100, 2))
    coords[[3, 40], 1] = unknown
    np.savez(tmp_path / "a.npz", features=FEATURES, coords=coords)
    with pytest.raises(ValueError, match=r"a\.npz' cannot be read: coords .* 2 of 100 are NaN or infinite"):
        _ = Bag.from_file(tmp_path / "a.npz").coords
    with pytest.raises(ValueError, match=r"coords .* 2 of 100 are NaN or infinite"):
        Bag(FEATURES, coords)


def test_members_of_one_name_are_not_chosen_among(tmp_path):
    np.savez(tmp_path / "a.npz", features=FEATURES)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("features.npy", b"")
    assert_refused(tmp_path / "a.npz", r"several members named 'features\.npy'")


def write_pickle(path, code):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"data.pkl": b"\x80\x02" + code, "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"a/{name}", data)


SIZE = b"\x8a\x05" + (3 * 10**9).to_bytes(5, "little")  # a pickled number
BOMBS = {
    "bytearray.pt": lambda path: write_pickle(path, b"c__builtin__\nbytearray\n" + SIZE + b"\x85R."),
    "storage.pt": lambda path: write_pickle(path, b"ctorch.storage\nUntypedStorage\n" + SIZE + b"\x85R."),
    "tensor.pt": lambda path: write_pickle(path, b"ctorch\nFloatTensor\n" + SIZE + b"\x85R."),
    "members.npz": lambda path: write_members(path, 40_000),
    "zeros.h5": lambda path: write_zeros(path),
    "zeros.npz": lambda path: np.savez_compressed(path, features=np.zeros((40_000, 1000), np.float32)),
    "zeros.zarr": lambda path: zarr.create_array(
        path, data=np.ones((40_000, 1000), np.float32), chunks=(4000, 1000), compressors=ZstdCodec()
    ),
    "zeros.parquet": lambda path: pq.write_table(
        pa.table({f"f{i}": np.zeros(400_000, np.float32) for i in range(100)}), path
    ),
}


def write_members(path, n):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(n):
            archive.writestr(f"{i}.npy", b"")


def write_zeros(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=np.zeros((40_000, 1000), "f4"), chunks=(4000, 1000), compression="gzip")


MEASURE = """
import json, resource, sys
from sksurv_mmf.bags import Bag
import h5py, zarr, pyarrow.parquet, torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = {}
for path in sys.argv[1:]:
    try:
        Bag.from_file(path).features
    except ValueError as error:
        said[path] = str(error)
print(json.dumps([said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def test_small_files_take_little_memory(tmp_path):
    for name, write in BOMBS.items():
        write(tmp_path / name)
    paths = [str(tmp_path / name) for name in BOMBS]
    done = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=True)
    said, kilobytes = json.loads(done.stdout)
    assert list(said) == paths
    assert all("cannot be used" in one for one in said.values())
    assert kilobytes < 200_000


def test_the_limit_can_be_raised(tmp_path):
    features = np.zeros((400, 50_000), np.float32)
    features[-1] = 1
    np.savez_compressed(tmp_path / "a.npz", features=features)
    with pytest.raises(ValueError, match=r"more than max_ratio=100 times .* pass max_ratio=(\d+)") as caught:
        read(tmp_path / "a.npz")
    needed = int(str(caught.value).rpartition("=")[2].rstrip("."))
    assert_array_equal(read(tmp_path / "a.npz", max_ratio=needed), features)
    assert_refused(tmp_path / "a.npz", "max_ratio", max_ratio=needed - 2)
    assert read_bags([tmp_path / "a.npz"], max_ratio=2000).iloc[0].n_tiles == 400
    for wrong in (0, -1, "many", None, float("nan")):
        with pytest.raises(ValueError, match="max_ratio must be a number of at least 1"):
            read(tmp_path / "a.npz", max_ratio=wrong)


@pytest.mark.parametrize("suffix", ["h5", "pt", "npy", "npz", "zarr", "parquet"])
def test_pipes_devices_and_folders_are_no_feature_files(tmp_path, suffix):
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)
    assert_refused(pipe, "it is a named pipe and not a")
    with pytest.raises(ValueError, match="it is a device and not a"):
        read("/dev/zero", format=suffix)
    np.save(tmp_path / "plain.npy", FEATURES)
    (tmp_path / "link.npy").symlink_to("plain.npy")
    assert_array_equal(read(tmp_path / "link.npy"), FEATURES)


@pytest.mark.parametrize("name", ["store.json", "features.npy", "ids.npy"])
def test_pipes_are_no_files_of_a_store(tmp_path, name):
    pack_bags(pd.Series({"A": FEATURES}, dtype="bag"), tmp_path / "store")
    (tmp_path / "store" / name).unlink()
    os.mkfifo(tmp_path / "store" / name)
    with pytest.raises(ValueError, match=rf"{name}' is a named pipe; a regular file is expected"):
        open_bags(tmp_path / "store")


def test_memory_that_runs_out_names_the_file_and_a_way_out(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", FEATURES)
    bag = Bag.from_file(tmp_path / "a.npy")

    def run_out(*_):
        raise MemoryError

    monkeypatch.setattr(np, "memmap", run_out)
    for one in (bag, bag.map(np.sqrt)):
        with pytest.raises(MemoryError, match=r"100 x 16 features of '.*a\.npy' were read.*batch_size.*pack_bags"):
            one.features  # noqa: B018


def fuzzer():
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_files.py"
    spec = importlib.util.spec_from_file_location("fuzz_files", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
def test_damaged_files_are_refused_by_name_or_cannot_be_told_from_others(tmp_path):
    fuzz_files = fuzzer()
    for name, (_, is_checked) in fuzz_files.FORMATS.items():
        lines = [one for one in fuzz_files.fuzz(name, 6, 1, tmp_path) if "verdict" in one]
        verdicts = {one["verdict"] for one in lines}
        assert "obscure" not in verdicts, (name, lines)
        assert not (is_checked and "changed" in verdicts), (name, lines)
        for place in ("intact", "damaged"):
            shutil.rmtree(tmp_path / place)
