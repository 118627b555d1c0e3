"""Feature files: what their headers say, checked before anything is read or allocated."""

import io
import math
import os
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy_format

# numpy itself refuses longer headers; reading no more than this keeps a hostile header from filling memory.
_MAX_HEADER_BYTES = 10_000
# Deflate cannot expand data by more than this, so a member that claims more is lying about its size.
_MAX_DEFLATE_RATIO = 1032


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where an array lies in its file; ``member`` is the zip member to unpack, None when the bytes lie as they are."""

    shape: tuple
    dtype: str
    order: str
    offset: int
    member: str | None = None

    @property
    def n_bytes(self):
        """Size of the array's data in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A feature file as it was when its header was read."""

    path: str
    size: int
    mtime_ns: int
    features: StoredArray
    coords: StoredArray | None

    @property
    def shape(self):
        """Shape of the features."""
        return self.features.shape

    def read_features(self):
        """Return the features, memory-mapped where the file allows it."""
        return self._read(self.features)

    def read_coords(self):
        """Return the coordinates, None if the file has none."""
        return None if self.coords is None else self._read(self.coords)

    def _read(self, stored):
        _check_unchanged(self)
        try:
            return read_stored_array(self.path, stored)
        except Exception as error:
            raise ValueError(f"Feature file {self.path!r} cannot be read: {error}") from error


def open_feature_file(path):
    """Read the header of a ``.npy`` or ``.npz`` file into a `FeatureFile`."""
    path = os.path.abspath(os.fspath(path))
    status = os.stat(path)
    # Whatever a damaged or hostile file makes numpy or zipfile raise, the user needs the name of the file.
    try:
        features, coords = _read_headers(path, status.st_size)
        _check_features(features)
        if coords is not None:
            _check_coords(coords, features)
    except Exception as error:
        raise ValueError(f"Feature file {path!r} cannot be used: {error}") from error
    return FeatureFile(path, status.st_size, status.st_mtime_ns, features, coords)


def read_stored_array(path, stored):
    """Read one array whose header has been checked."""
    if stored.member is None:
        array = np.memmap(path, stored.dtype, "r", stored.offset, stored.shape, stored.order)
        return array.view(np.ndarray)
    with zipfile.ZipFile(path) as archive, archive.open(stored.member) as stream:
        stream.read(stored.offset)
        data = stream.read(stored.n_bytes)
    return np.frombuffer(data, stored.dtype).reshape(stored.shape, order=stored.order)


def _check_unchanged(file):
    try:
        status = os.stat(file.path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "Feature file is gone since its bag was made; bring it back or rebuild the bag", file.path
        ) from error
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise ValueError(
            f"Feature file {file.path!r} has changed since its bag was made; rebuild the bag with Bag.from_file."
        )


def _read_headers(path, file_size):
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".npz":
        return _read_npz_headers(path, file_size)
    if suffix != ".npy":
        raise ValueError(f"its name must end in .npy or .npz, got {suffix or 'no ending'!r}.")
    with open(path, "rb") as stream:
        return _read_npy_header(stream, file_size), None


def _read_npy_header(stream, size, offset=0, member=None):
    """Parse the header of the array that fills `size` bytes of `stream`; `offset` is where they begin in the file."""
    head = io.BytesIO(stream.read(min(size, _MAX_HEADER_BYTES)))
    version = npy_format.read_magic(head)
    if version == (1, 0):
        shape, fortran_order, dtype = npy_format.read_array_header_1_0(head)
    elif version == (2, 0):
        shape, fortran_order, dtype = npy_format.read_array_header_2_0(head)
    else:
        raise ValueError(f"its .npy format version {version} is not one of (1, 0) and (2, 0).")
    if dtype.kind not in "fiub":
        raise ValueError(f"it holds dtype {dtype}, expected numbers.")
    stored = StoredArray(tuple(map(int, shape)), dtype.str, "F" if fortran_order else "C", offset + head.tell(), member)
    if min(stored.shape, default=0) < 0 or head.tell() + stored.n_bytes != size:
        raise ValueError(
            f"its header announces {stored.n_bytes} bytes of data, shape {shape}, but {size - head.tell()} "
            "are there; it is truncated or damaged."
        )
    return stored


def _read_npz_headers(path, file_size):
    with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        features = "features"
        if features not in members:
            if len(members) != 1:
                raise ValueError(f"it needs an array named 'features', or a single array; it has {sorted(members)}.")
            (features,) = members
        return tuple(
            _read_member_header(archive, stream, members[name], file_size) if name in members else None
            for name in (features, "coords")
        )


def _read_member_header(archive, stream, info, file_size):
    if info.compress_type == zipfile.ZIP_STORED:
        # Opening the member checks that the local header agrees with the archive's directory.
        archive.open(info).close()
        stream.seek(info.header_offset)
        local_header = stream.read(30)
        # name and extra field follow the 30 fixed bytes; their lengths are the last two of these
        lengths = np.frombuffer(local_header, "<u2", count=2, offset=26)
        offset = info.header_offset + 30 + int(lengths.sum())
        if offset + info.file_size > file_size:
            raise ValueError(f"array {info.filename!r} reaches beyond the end of the file; it is truncated.")
        stream.seek(offset)
        return _read_npy_header(stream, info.file_size, offset)
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise ValueError(f"array {info.filename!r} is compressed in a way numpy does not write.")
    if info.compress_size > file_size or info.file_size > _MAX_DEFLATE_RATIO * info.compress_size:
        raise ValueError(f"array {info.filename!r} announces an impossible size of {info.file_size} bytes.")
    with archive.open(info) as member:
        return _read_npy_header(member, info.file_size, member=info.filename)


def _check_features(features):
    if len(features.shape) != 2 or 0 in features.shape:
        raise ValueError(
            f"features must be a non-empty array of shape (n_tiles, n_features), got shape {features.shape}."
        )


def _check_coords(coords, features):
    if coords.shape != (features.shape[0], 2):
        raise ValueError(f"coords must have shape ({features.shape[0]}, 2), one row per tile, got {coords.shape}.")
