"""The file of a saved model: a zip of members that are stored as they are."""

import os
import zipfile
from pathlib import Path

from ..files._writing import writing
from ..utils._validation import shorten


def as_path(path):
    """The path of a model's file, or an error that says what came instead."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"path must be the path of a file, such as 'model.zip', got {type(path).__name__}: {path!r:.80}."
        )
    return Path(path)


def write_archive(path, members, overwrite, check):
    """Write `members`, a dict of names and bytes, to a file that appears at `path` only when `check` has accepted it.

    `check` is called with the path of the finished file, which still has another name.
    """
    path = as_path(path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists. Choose another path, or pass overwrite=True to replace it.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a file in it, such as {path / 'model.zip'}.")
    with writing(path, overwrite=overwrite) as unfinished:
        with zipfile.ZipFile(unfinished, "x", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
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
                    raise ValueError(f"its member {member.filename!r} is compressed, which save_model never does")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is no zip file, or a damaged one ({error})") from error
