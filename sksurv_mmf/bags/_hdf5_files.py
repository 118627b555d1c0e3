"""Headers of HDF5 files as CLAM, TRIDENT and STAMP write them."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..utils._optional import import_optional
from ._checks import COORD_UNITS, check_announced, check_numbers, choose_coords, choose_features
from ._tiling import UNKNOWN, Tiling
from ._tiling_attributes import read_tiling

# In bytes. A hostile file could announce a text of gigabytes.
_LONGEST_UNIT = 16


@dataclass(frozen=True, slots=True)
class Hdf5Array:
    """A dataset of an HDF5 file."""

    key: str
    shape: tuple
    unit: str | None = None
    tiling: Tiling = UNKNOWN
    side: float | None = None

    def read(self, path):
        """Read the dataset, without the leading axis of length one that TRIDENT may give it."""
        with _open(path) as file:
            try:
                return file[self.key][()].reshape(self.shape)
            except OSError as error:
                raise ValueError(f"array {self.key!r} is damaged: copy the file again ({error}).") from error


def read_hdf5_headers(path, size, features_key, coords_key):
    """Describe features and coordinates of an HDF5 file."""
    with _open(path) as file:
        names = list(file)
        features = choose_features(_with_path(names, features_key, file), features_key)
        coords = choose_coords(_with_path(names, coords_key, file), coords_key)
        described = [None if name is None else _describe(file, name, size) for name in (features, coords)]
        return [_with_tiling(described[0], file, coords), described[1]]


def _with_tiling(features, file, coords):
    """Add what the file says about its tiles to the description of its features."""
    places = None if coords is None else file[coords]
    tiling, side = read_tiling(file, file[features.key], places, features.unit)
    return replace(features, tiling=tiling, side=None if coords is None else side)


@contextmanager
def _open(path):
    h5py = import_optional("h5py", "io", "Reading HDF5 feature files")
    try:
        # A lock is respected, for a file that somebody is writing may be half written; a file system that knows no
        # locks is accepted.
        file = h5py.File(path, "r", locking="best-effort")
    except BlockingIOError as error:
        raise ValueError(
            "it is locked, because another process is writing it. Wait until that is done; if nobody writes it and "
            "the lock is left over, set the environment variable HDF5_USE_FILE_LOCKING=FALSE."
        ) from error
    except OSError as error:
        if error.errno is not None:  # the operating system, not the content of the file
            raise
        raise ValueError(f"it is truncated or no HDF5 file: copy it again, or make it again ({error}).") from error
    with file:
        yield file


def _with_path(names, key, file):
    """Names at the top and `key`, if it is the path of a dataset in a group."""
    return [*names, key] if key is not None and "/" in key and key in file else names


def _describe(file, key, size):
    dataset = _follow(file, key)
    if not hasattr(dataset, "dtype") or dataset.shape is None:
        raise ValueError(f"{key!r} is no array.")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"array {key!r} lies in other files, which are not followed.")
    check_numbers(dataset.dtype)
    layout = dataset.id.get_create_plist()
    compressed = layout.get_nfilters() > 0
    check_announced(dataset.shape, dataset.dtype.itemsize, size, compressed)
    if dataset.chunks is not None:
        check_announced(dataset.chunks, dataset.dtype.itemsize, size, compressed)
    elif dataset.id.get_storage_size() != math.prod(dataset.shape) * dataset.dtype.itemsize:
        raise ValueError(f"array {key!r} of shape {dataset.shape} was announced, but never written.")
    shape = dataset.shape
    return Hdf5Array(key, shape[1:] if len(shape) == 3 and shape[0] == 1 else shape, _unit_of(file))


def _unit_of(file):
    """Unit of the coordinates, where the file says it as STAMP does, or None."""
    if "unit" not in file.attrs:
        return None
    attribute = file.attrs.get_id("unit")
    if attribute.shape != () or attribute.dtype.itemsize > _LONGEST_UNIT:
        return None
    unit = file.attrs["unit"]
    unit = unit.decode(errors="replace") if isinstance(unit, bytes) else unit
    return unit if unit in COORD_UNITS else None


def _follow(file, key):
    """Return what is at a path, but refuse links, which may lead into any other file."""
    from h5py import h5l

    thing = file
    for name in key.strip("/").split("/"):
        if thing.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise ValueError(f"{key!r} is a link, which is not followed.")
        thing = thing[name]
    return thing
