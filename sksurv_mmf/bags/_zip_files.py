"""Zip archives, which ``.npz`` and ``.pt`` files are: opened with little memory, and compared with their checksums."""

import os
import struct
import zipfile
from contextlib import contextmanager

# In bytes, of the list of members. Python takes ten times as much for it; that of a feature file has some hundred.
_LONGEST_DIRECTORY = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20
_STEP = 1 << 20


@contextmanager
def open_zip(path, kind):
    """Open an archive; `kind` is what the file should be."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"it is truncated or no {kind} file: copy it again, or make it again.")
    n_members, n_bytes = _stated_directory(path)
    if n_bytes > _LONGEST_DIRECTORY:
        raise ValueError(f"the list of its members has {n_bytes} bytes; it holds far more than features.")
    with zipfile.ZipFile(path) as archive:
        names = [member.filename for member in archive.infolist()]
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it has several members named {repeated!r}.")
        if len(names) != n_members:
            raise ValueError(f"it has {len(names)} members, but states {n_members}; it is damaged. Copy it again.")
        yield archive


def _stated_directory(path):
    """Length of the list of members and its bytes, as the end of the archive states them."""
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        stream.seek(max(0, size - _END.size - (1 << 16)))
        tail = stream.read()
        at = tail.rfind(b"PK\5\6")
        stated = _END.unpack_from(tail, at)[4:6] if 0 <= at <= len(tail) - _END.size else (0, 0)
        end_64 = size - len(tail) + at - _LOCATOR_BYTES - _END_64.size
        if at < 0 or end_64 < 0:
            return stated
        stream.seek(end_64)
        head = stream.read(_END_64.size)
    if not head.startswith(b"PK\6\6"):
        return stated
    n_members, n_bytes = _END_64.unpack(head)[7:9]
    return n_members, max(n_bytes, stated[1])


def check_checksum(archive, name):
    """Refuse a member that does not have its CRC-32, which memory maps go past."""
    try:
        with archive.open(name) as stream:
            while stream.read(_STEP):
                pass
    except zipfile.BadZipFile as error:
        raise ValueError(f"{name!r} does not have its checksum; it is damaged. Copy the file again.") from error
