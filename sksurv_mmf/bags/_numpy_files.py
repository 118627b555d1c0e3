"""Headers of ``.npy`` and ``.npz`` files, whose arrays are memory-mapped unless they are compressed."""

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.lib import format as npy_format

from ._checks import check_announced, check_numbers, choose_coords, choose_features
from ._zip_files import check_checksum, open_zip

# numpy refuses longer headers too, but only after it has read them; a hostile one may announce gigabytes.
_MAX_HEADER_BYTES = 10_000

_READ_HEADER = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where an array lies in its file.

    Its bytes begin at `offset` of the file and can be memory-mapped, unless `is_packed`: then they begin at `offset`
    of the `member` of a zip file, once unpacked.
    """

    shape: tuple
    dtype: str
    order: str
    offset: int
    member: str | None = None
    is_packed: bool = False

    @property
    def n_bytes(self):
        """Size of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def rows(self, start, stop):
        """Some consecutive rows, as an array that is stored at a place of its own."""
        row_bytes = math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize
        return StoredArray((stop - start, *self.shape[1:]), self.dtype, "C", self.offset + start * row_bytes)

    def verify(self, path):
        """Refuse a member of a zip file that does not have its checksum."""
        if self.member is not None:
            with open_zip(path, ".npz") as archive:
                check_checksum(archive, self.member)

    def read(self, path):
        """Read the array, whose header has been checked."""
        if not self.is_packed:
            return np.memmap(path, self.dtype, "r", self.offset, self.shape, self.order).view(np.ndarray)
        with zipfile.ZipFile(path) as archive, archive.open(self.member) as stream:
            stream.read(self.offset)
            data = stream.read(self.n_bytes)
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=self.order)


def read_npy_headers(path, size, max_ratio, features_key, coords_key):
    """Describe the only array of a ``.npy`` file."""
    if features_key is not None or coords_key is not None:
        raise ValueError("it holds a single array without a name; leave features_key and coords_key out.")
    return read_npy_header(path, size), None


def read_npy_header(path, size, check_dtype=check_numbers):
    """Describe the array of a ``.npy`` file of `size` bytes."""
    with open(path, "rb") as stream:
        return _read_header(stream, size, check_dtype=check_dtype)


def _read_header(stream, size, start=0, member=None, is_packed=False, check_dtype=check_numbers):
    """Read the header at the start of the `size` bytes that an array takes in `stream`."""
    head = io.BytesIO(stream.read(min(size, _MAX_HEADER_BYTES)))
    try:
        version = npy_format.read_magic(head)
        if version not in _READ_HEADER:
            raise ValueError(f"version {version} of the .npy format cannot hold a plain matrix")
        shape, fortran_order, dtype = _READ_HEADER[version](head)
    except Exception as error:  # whatever the parser of Python raises
        raise ValueError(f"it is truncated or no .npy file: copy it again, or make it again ({error}).") from error
    check_dtype(dtype)
    order = "F" if fortran_order else "C"
    stored = StoredArray(tuple(map(int, shape)), dtype.str, order, start + head.tell(), member, is_packed)
    present = size - head.tell()
    if min(stored.shape, default=0) < 0 or stored.n_bytes != present:
        raise ValueError(
            f"its header announces {stored.n_bytes} bytes, shape {stored.shape} of {dtype}, but {present} follow; "
            "it is truncated or damaged."
        )
    return stored


def read_npz_headers(path, size, max_ratio, features_key, coords_key):
    """Describe features and coordinates of a ``.npz`` file."""
    with open_zip(path, ".npz") as archive, open(path, "rb") as stream:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError(f"it has members whose names differ in '.npy' alone: {sorted(archive.namelist())}.")
        for info in members.values():
            # Compares its header with the list of members: coordinates of another name would go unnoticed.
            archive.open(info).close()
        names = choose_features(members, features_key), choose_coords(members, coords_key)
        return [
            None if name is None else _read_member_header(archive, stream, members[name], size, max_ratio)
            for name in names
        ]


def _read_member_header(archive, stream, member, file_size, max_ratio):
    name = member.filename
    with archive.open(member) as unpacked:
        if member.compress_type == zipfile.ZIP_DEFLATED:
            if member.compress_size > file_size:
                raise ValueError(f"array {name!r} reaches beyond the end of the file; it is truncated.")
            check_announced((member.file_size,), 1, member.compress_size, max_ratio)
            return _read_header(unpacked, member.file_size, member=name, is_packed=True)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"array {name!r} must be stored or deflated, as numpy.savez does.")
    # A local header has 30 bytes, then a name and an extra field, whose lengths are the last of these bytes.
    stream.seek(member.header_offset + 26)
    start = member.header_offset + 30 + int(np.frombuffer(stream.read(4), "<u2").sum())
    if start + member.file_size > file_size:
        raise ValueError(f"array {name!r} reaches beyond the end of the file; it is truncated.")
    stream.seek(start)
    return _read_header(stream, member.file_size, start, member=name)
