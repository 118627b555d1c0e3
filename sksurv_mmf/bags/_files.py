"""Feature files: what their headers say, checked before anything is read or allocated."""

import io
import math
import os
import stat
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy_format

from ._checks import check_coords, check_features, check_numbers

# numpy refuses longer headers too, but only after it has read them; a hostile one may announce gigabytes.
_MAX_HEADER_BYTES = 10_000
# Deflate cannot expand data by more than this, so a member that announces more is lying about its size.
_MAX_DEFLATE_RATIO = 1032


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where an array lies in its file.

    Without `member` its bytes begin at `offset` of the file and can be memory-mapped; otherwise they begin at
    `offset` of that member of a zip file, once unpacked.
    """

    shape: tuple
    dtype: str
    order: str
    offset: int
    member: str | None = None

    @property
    def n_bytes(self):
        """Size of the array."""
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
        """Return the features, memory-mapped unless they are compressed."""
        return self._read(self.features)

    def read_coords(self):
        """Return the coordinates, or None."""
        return None if self.coords is None else self._read(self.coords)

    def _read(self, stored):
        self._check_unchanged()
        # A file that is cut short after this check, while it is mapped, ends the process: no memory map can
        # help it.
        try:
            return read_array(self.path, stored)
        except Exception as error:
            raise ValueError(f"Feature file {self.path!r} cannot be read: {error}") from error

    def _check_unchanged(self):
        try:
            status = os.stat(self.path)
        except FileNotFoundError as error:
            message = "Feature file is gone since its bag was made; restore it or make the bag again"
            raise FileNotFoundError(error.errno, message, self.path) from error
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise ValueError(
                f"Feature file {self.path!r} has changed since its bag was made; make the bag again with Bag.from_file."
            )


def open_feature_file(path):
    """Read the headers of a ``.npy`` or ``.npz`` file and return a `FeatureFile`."""
    path = os.path.abspath(os.fsdecode(path))
    status = os.stat(path)
    try:
        features, coords = _read_headers(path, status)
        check_features(features.shape)
        if coords is not None:
            check_coords(coords.shape, n_tiles=features.shape[0])
    # A damaged or hostile file can make numpy and zipfile raise nearly anything; the user needs to know which
    # file it is.
    except Exception as error:
        raise ValueError(f"Feature file {path!r} cannot be used: {error}") from error
    return FeatureFile(path, status.st_size, status.st_mtime_ns, features, coords)


def read_array(path, stored):
    """Read an array whose header has been checked."""
    if stored.member is None:
        return np.memmap(path, stored.dtype, "r", stored.offset, stored.shape, stored.order).view(np.ndarray)
    with zipfile.ZipFile(path) as archive, archive.open(stored.member) as stream:
        stream.read(stored.offset)
        data = stream.read(stored.n_bytes)
    return np.frombuffer(data, stored.dtype).reshape(stored.shape, order=stored.order)


def _read_headers(path, status):
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file.")
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".npz":
        return _read_npz_headers(path, status.st_size)
    if suffix == ".npy":
        with open(path, "rb") as stream:
            return _read_header(stream, status.st_size), None
    raise ValueError(f"its name must end in .npy or .npz, not {suffix!r}.")


def _read_header(stream, size, start=0, member=None):
    """Read the header at the start of the `size` bytes that an array takes in `stream`."""
    head = io.BytesIO(stream.read(min(size, _MAX_HEADER_BYTES)))
    version = npy_format.read_magic(head)
    if version == (1, 0):
        shape, fortran_order, dtype = npy_format.read_array_header_1_0(head)
    elif version == (2, 0):
        shape, fortran_order, dtype = npy_format.read_array_header_2_0(head)
    else:
        raise ValueError(f"version {version} of the .npy format cannot hold a plain matrix.")
    check_numbers(dtype)
    order = "F" if fortran_order else "C"
    stored = StoredArray(tuple(map(int, shape)), dtype.str, order, start + head.tell(), member)
    present = size - head.tell()
    if min(stored.shape, default=0) < 0 or stored.n_bytes != present:
        raise ValueError(
            f"its header announces {stored.n_bytes} bytes, shape {stored.shape} of {dtype}, but {present} follow; "
            "it is truncated or damaged."
        )
    return stored


def _read_npz_headers(path, file_size):
    with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        features = "features" if "features" in members or len(members) != 1 else next(iter(members))
        if features not in members:
            raise ValueError(f"it needs an array named 'features' or a single array, but has {sorted(members)}.")
        return [
            _read_member_header(archive, stream, members[name], file_size) if name in members else None
            for name in (features, "coords")
        ]


def _read_member_header(archive, stream, member, file_size):
    name = member.filename
    # Opening a member makes zipfile compare its local header with the directory of the archive.
    with archive.open(member) as unpacked:
        if member.compress_type == zipfile.ZIP_DEFLATED:
            if member.compress_size > file_size or member.file_size > _MAX_DEFLATE_RATIO * member.compress_size:
                raise ValueError(f"array {name!r} announces {member.file_size} bytes, more than the file can hold.")
            return _read_header(unpacked, member.file_size, member=name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"array {name!r} must be stored or deflated, as numpy.savez does.")
    # A local header has 30 bytes, then a name and an extra field, whose lengths are the last of these bytes.
    stream.seek(member.header_offset + 26)
    start = member.header_offset + 30 + int(np.frombuffer(stream.read(4), "<u2").sum())
    if start + member.file_size > file_size:
        raise ValueError(f"array {name!r} reaches beyond the end of the file; it is truncated.")
    stream.seek(start)
    return _read_header(stream, member.file_size, start)
