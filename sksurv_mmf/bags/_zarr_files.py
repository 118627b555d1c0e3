"""Headers of ``.zarr`` folders: an array, or a group of arrays."""

import math
import os
from dataclasses import dataclass, replace

from ..utils._optional import import_optional
from ._checks import check_announced, check_numbers, choose_coords, choose_features, warn_if_unfilled
from ._zarr_chunks import check_chunks, check_codecs, codecs_of, count_absent

# In bytes, of one file of metadata. Those of a few arrays have some hundred.
_LONGEST_METADATA = 1 << 22
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array of a zarr store; the store is the array if there is no key."""

    key: str | None
    shape: tuple
    is_places: bool = False

    def verify(self, path):
        """Refuse damaged chunks, which zarr may decode to anything."""
        check_chunks(os.path.join(path, self.key or ""), _open(path, self.key))

    def read(self, path):
        """Read the array."""
        array = _open(path, self.key)
        try:
            values = array[...]
        except Exception as error:  # whatever the codec raises
            raise ValueError(f"a chunk is truncated or damaged: {error}. Copy it again.") from error
        if not self.is_places:  # one may be (0, 0)
            warn_if_unfilled(values, array.fill_value, path, self.key)
        return values


def read_zarr_headers(path, size, max_ratio, features_key, coords_key):
    """Describe features and coordinates of a zarr folder with files of `size` bytes together."""
    _check_metadata(path)
    store = _open(path)
    if hasattr(store, "shape"):
        if features_key is not None or coords_key is not None:
            raise ValueError("it holds a single array without a name; leave features_key and coords_key out.")
        return _describe(path, None, store, size, max_ratio), None
    arrays = dict(store.arrays())
    keys = choose_features(arrays, features_key), choose_coords(arrays, coords_key)
    features, places = [key and _describe(path, key, arrays[key], size, max_ratio) for key in keys]
    return features, places and replace(places, is_places=True)


def _check_metadata(path):
    """Refuse metadata that would take long to parse, which zarr does before anything can be checked."""
    for folder, _, names in os.walk(path):
        for name in set(names).intersection(_METADATA):
            file = os.path.join(folder, name)
            if os.path.getsize(file) > _LONGEST_METADATA:
                raise ValueError(f"its metadata {file!r} have more than {_LONGEST_METADATA} bytes.")


def _open(path, key=None):
    zarr = import_optional("zarr", "io", "Reading zarr feature files")
    # Consolidated metadata repeat those of each array, and may be older.
    store = zarr.open(path, mode="r", use_consolidated=False)
    return store if key is None else store[key]


def _describe(path, key, array, size, max_ratio):
    check_numbers(array.dtype)
    check_codecs(codecs_of(array.metadata.to_dict()))
    check_announced(array.shape, array.dtype.itemsize, size, max_ratio)
    check_announced(array.shards or array.chunks, array.dtype.itemsize, size, max_ratio)
    n_chunks = math.prod(-(-length // step) for length, step in zip(array.shape, array.chunks))
    if n_chunks > size:
        raise ValueError(
            f"its header announces {n_chunks} chunks, more than its {size} bytes can hold; it is incomplete."
        )
    absent, total = count_absent(os.path.join(path, key or ""), array)
    if absent:
        # zarr would fill them with zeros.
        raise ValueError(
            f"{absent} of {total} chunks are absent; it is incomplete. If these tiles are all zero, write them "
            "with config={'write_empty_chunks': True}."
        )
    return ZarrArray(key, tuple(array.shape))
