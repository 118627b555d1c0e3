"""The file of a saved model or of a checkpoint: a zip of members that are stored as they are, with their checksums."""

import hashlib
import json
import os
import zipfile

from ..utils._validation import shorten
from ._writing import writing

MANIFEST = "manifest.json"

CHECKSUMS = "checksums"
"""Where the manifest keeps the checksums of the other members and, without themselves, of itself."""


def write_archive(path, members, overwrite, check=None):
    """Write `members`, a dict of names and bytes, to a file that appears at `path` only when `check` has accepted it.

    `check` is called with the path of the finished file, which still has another name.
    """
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists. Choose another path, or pass overwrite=True to replace it.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a file in it, such as {path / 'model.zip'}.")
    with writing(path, overwrite=overwrite) as unfinished:
        with zipfile.ZipFile(unfinished, "x", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        if check is not None:
            check(unfinished)


def read_archive(file):
    """Read all members, a dict of names and bytes.

    Nothing is unpacked onto the disk. Only members that are stored without compression are accepted, so that what is
    read is never larger than the file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(set(names)) < len(names):
                raise ValueError(
                    f"it has several members named {shorten(sorted({n for n in names if names.count(n) > 1}))}"
                )
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise ValueError(f"its member {member.filename!r} is compressed, which no saved one is")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is no zip file, or a damaged one ({error})") from error


def checksums(members, manifest):
    """SHA-256 by name of member; the manifest is given as a dict.

    JSON counts by what it says, not by how it is laid out.
    """
    contents = {name: _content(name, data) for name, data in members.items()}
    contents[MANIFEST] = _canonical({key: value for key, value in manifest.items() if key != CHECKSUMS})
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _content(name, data):
    if not name.endswith(".json"):
        return data
    try:
        return _canonical(json.loads(data))
    except (ValueError, RecursionError):
        return data


def _canonical(node):
    return json.dumps(node, separators=(",", ":")).encode()


def changed_members(members, manifest):
    """Names of members that are not as they were saved; none in a file of before there were checksums."""
    written = manifest.get(CHECKSUMS)
    if not isinstance(written, dict):
        return []
    found = checksums({name: data for name, data in members.items() if name != MANIFEST}, manifest)
    return sorted(name for name in written.keys() | found if written.get(name) != found.get(name))


def read_json(name, data):
    """What a member says; NaN and infinity, which JSON does not know, are refused."""

    def refuse(constant):
        raise ValueError(f"{name} holds {constant}, which JSON does not know")

    try:
        return json.loads(data.decode(), parse_constant=refuse)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is no JSON, so it is damaged or was not written by this package ({error})") from error
