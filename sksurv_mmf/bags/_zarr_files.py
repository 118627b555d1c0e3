"""Headers of ``.zarr`` folders: an array, or a group of arrays."""

from dataclasses import dataclass

from ..utils._optional import import_optional
from ._checks import check_announced, check_numbers, choose_coords, choose_features

# Codecs that only rearrange or compress numbers. Others may do anything: numcodecs has one that unpickles.
_CODECS = {"bytes", "endian", "transpose", "sharding_indexed", "crc32c", "shuffle", "delta"}
_CODECS |= {"blosc", "gzip", "zstd", "zlib", "lz4", "bz2", "lzma"}


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array of a zarr store; the store is the array if there is no key."""

    key: str | None
    shape: tuple

    def read(self, path):
        """Read the array."""
        return _open(path, self.key)[...]


def read_zarr_headers(path, size, features_key, coords_key):
    """Describe features and coordinates of a zarr folder with files of `size` bytes together."""
    store = _open(path)
    if hasattr(store, "shape"):
        if features_key is not None or coords_key is not None:
            raise ValueError("it holds a single array without a name; leave features_key and coords_key out.")
        return _describe(None, store, size), None
    arrays = dict(store.arrays())
    keys = choose_features(arrays, features_key), choose_coords(arrays, coords_key)
    return [None if key is None else _describe(key, arrays[key], size) for key in keys]


def _open(path, key=None):
    zarr = import_optional("zarr", "io", "Reading zarr feature files")
    store = zarr.open(path, mode="r")
    return store if key is None else store[key]


def _describe(key, array, size):
    check_numbers(array.dtype)
    strange = set(_codecs(array.metadata.to_dict())) - _CODECS
    if strange:
        raise ValueError(f"it is encoded with {sorted(strange)}; only {sorted(_CODECS)} are decoded.")
    check_announced(array.shape, array.dtype.itemsize, size, compressed=True)
    check_announced(array.shards or array.chunks, array.dtype.itemsize, size, compressed=True)
    # Of a shard at the edge, zarr counts all chunks that would have room.
    absent = array.nchunks - array.nchunks_initialized
    if absent > 0:
        # zarr would fill them with zeros.
        raise ValueError(
            f"{absent} of {array.nchunks} chunks are absent; it is incomplete. If these tiles are all zero, write them "
            "with config={'write_empty_chunks': True}."
        )
    return ZarrArray(key, tuple(array.shape))


def _codecs(metadata):
    """Names of all codecs, those within a shard included."""
    if metadata.get("zarr_format") == 2:
        for codec in [metadata.get("compressor"), *(metadata.get("filters") or ())]:
            if codec is not None:
                yield codec["id"]
        return
    for codec in metadata["codecs"]:
        yield codec["name"].removeprefix("numcodecs.")
        inner = codec.get("configuration", {})
        for part in ("codecs", "index_codecs"):
            yield from _codecs({"codecs": inner.get(part, ())})
