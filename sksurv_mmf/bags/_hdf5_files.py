"""Headers of HDF5 files as CLAM, TRIDENT and STAMP write them."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product

from ..utils._optional import import_optional
from ._checks import (
    COORD_UNITS,
    check_announced,
    check_numbers,
    choose_coords,
    choose_features,
    warn_if_unfilled,
)
from ._compressed import check_lzf, check_zlib
from ._tiling import UNKNOWN, Tiling
from ._tiling_attributes import read_tiling

# In bytes. A hostile file could announce a text of gigabytes.
_LONGEST_UNIT = 16

_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Hdf5Array:
    """A dataset of an HDF5 file."""

    key: str
    shape: tuple
    is_places: bool = False
    unit: str | None = None
    tiling: Tiling = UNKNOWN
    side: float | None = None

    def verify(self, path):
        """Refuse chunks that hold less than they should, which HDF5 fills with foreign memory, or more."""
        with _open(path) as file, _naming_damage(self.key):
            _check_chunks(file[self.key])

    def read(self, path):
        """Read the dataset, without the leading axis of length one that TRIDENT may give it."""
        with _open(path) as file, _naming_damage(self.key):
            dataset = file[self.key]
            values = dataset[()].reshape(self.shape)
            if not self.is_places:  # one may be (0, 0)
                warn_if_unfilled(values, dataset.fillvalue, path, self.key)
            return values


def read_hdf5_headers(path, size, max_ratio, features_key, coords_key):
    """Describe features and coordinates of an HDF5 file."""
    with _open(path) as file:
        names = list(file)
        features = choose_features(_with_path(names, features_key, file), features_key)
        coords = choose_coords(_with_path(names, coords_key, file), coords_key)
        described = [None if name is None else _describe(file, name, size, max_ratio) for name in (features, coords)]
        places = described[1] and replace(described[1], is_places=True)
        return [_with_tiling(described[0], file, coords), places]


def read_hdf5_vectors(path, size, max_ratio):
    """Describe all arrays of an HDF5 file by name, as STAMP writes the vectors of a cohort into one."""
    with _open(path) as file:
        described = {name: _describe(file, name, size, max_ratio) for name in file}
        return {name: _with_tiling(one, file, None) for name, one in described.items()}


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


def _describe(file, key, size, max_ratio):
    dataset = _follow(file, key)
    if not hasattr(dataset, "dtype") or dataset.shape is None:
        raise ValueError(f"{key!r} is no array.")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"array {key!r} lies in other files, which are not followed.")
    check_numbers(dataset.dtype)
    _check_type(dataset, key)
    _check_filters(dataset, key)
    max_ratio = max_ratio if _filters(dataset) else None
    check_announced(dataset.shape, dataset.dtype.itemsize, size, max_ratio)
    if dataset.chunks is not None:
        check_announced(dataset.chunks, dataset.dtype.itemsize, size, max_ratio)
    _check_written(dataset, key)
    shape = dataset.shape
    return Hdf5Array(key, shape[1:] if len(shape) == 3 and shape[0] == 1 else shape, unit=_unit_of(file))


def _filters(dataset):
    """Numbers of the filters that all chunks go through, in the order in which they encode."""
    layout = dataset.id.get_create_plist()
    return [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]


def _check_type(dataset, key):
    """Refuse numbers laid out as no processor has them, which a changed bit of the header makes."""
    from h5py import h5t

    stored = dataset.id.get_type()
    is_plain = dataset.dtype.kind in "fiu" and h5t.check_enum_dtype(dataset.dtype) is None
    if is_plain and not stored.equal(h5t.py_create(dataset.dtype)):
        raise ValueError(f"array {key!r} has numbers in a layout that none of {dataset.dtype} has; it is damaged.")


def _check_filters(dataset, key):
    """Refuse filters whose chunks cannot be checked; those of HDF5 itself read on beyond chunks that are cut short."""
    from h5py import h5z

    compressors = {h5z.FILTER_DEFLATE, h5z.FILTER_LZF}
    layout = dataset.id.get_create_plist()
    filters = [layout.get_filter(i) for i in range(layout.get_nfilters())]
    numbers = _filters(dataset)
    strange = {*numbers} - compressors - {h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
    if strange or sum(number in compressors for number in numbers) > 1:
        names = [name.decode(errors="replace") or number for number, _, _, name in filters]
        raise ValueError(
            f"array {key!r} is packed with the filters {names}; only gzip or lzf, shuffle and fletcher32 are read. "
            "Pack it anew, for example with h5repack -f SHUF -f GZIP=4."
        )
    for number, _, settings, _ in filters:
        if number == h5z.FILTER_SHUFFLE and settings[:1] != (dataset.dtype.itemsize,):
            raise ValueError(f"the header of array {key!r} is damaged: bytes are shuffled by the size of its numbers.")


def _check_written(dataset, key):
    """Refuse parts that were never written, for which HDF5 makes up zeros."""
    n_bytes = math.prod(dataset.chunks or dataset.shape) * dataset.dtype.itemsize
    n_stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        if n_stored != n_bytes:
            raise ValueError(f"array {key!r} of shape {dataset.shape} was announced, but never written.")
        return
    n_chunks = math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks))
    absent = n_chunks - dataset.id.get_num_chunks()
    if absent > 0:
        raise ValueError(
            f"{absent} of {n_chunks} chunks of array {key!r} were announced, but never written; it is incomplete. Make "
            "it again. If these tiles are all zero, write them."
        )
    if not _filters(dataset) and n_stored != n_chunks * n_bytes:
        raise ValueError(
            f"chunks of array {key!r} have {n_stored} bytes instead of {n_chunks * n_bytes}; it is damaged."
        )


def _check_chunks(dataset):
    """Refuse chunks at other places than they should be, or of another size once unpacked."""
    if dataset.chunks is None:
        return
    chunks = []
    dataset.id.chunk_iter(lambda chunk: chunks.append((chunk.chunk_offset, chunk.filter_mask)))
    places = product(*(range(0, size, step) for size, step in zip(dataset.shape, dataset.chunks)))
    if {offset for offset, _ in chunks} != {*places}:
        raise ValueError("the list of its chunks is damaged")
    filters = _filters(dataset)
    n_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    for offset, skipped in chunks if filters else ():
        try:
            _check_chunk(dataset.id.read_direct_chunk(offset)[1], _used(filters, skipped), n_bytes)
        except ValueError as error:
            raise ValueError(f"the chunk at {offset} is truncated or damaged: {error}") from error


def _used(filters, skipped):
    """Filters that a chunk went through: compressors leave chunks alone that they cannot make smaller, no others do."""
    from h5py import h5z

    used = [one for i, one in enumerate(filters) if not skipped >> i & 1]
    if {*filters} - {*used} - {h5z.FILTER_DEFLATE, h5z.FILTER_LZF}:
        raise ValueError("a filter that every chunk goes through was left out")
    return used


def _check_chunk(data, filters, n_bytes):
    """Follow the size of a chunk through its filters, as far as the one that compresses."""
    from h5py import h5z

    compressors = {h5z.FILTER_DEFLATE: check_zlib, h5z.FILTER_LZF: check_lzf}
    for number in reversed(filters):
        if number == h5z.FILTER_FLETCHER32:
            data = data[:-_CHECKSUM_BYTES]
        elif number in compressors:
            before = filters[: filters.index(number)]
            compressors[number](data, n_bytes + _CHECKSUM_BYTES * before.count(h5z.FILTER_FLETCHER32))
            return
    if len(data) != n_bytes:
        raise ValueError(f"it has {len(data)} bytes instead of {n_bytes}")


@contextmanager
def _naming_damage(key):
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"array {key!r} is damaged: copy the file again ({error}).") from error


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
