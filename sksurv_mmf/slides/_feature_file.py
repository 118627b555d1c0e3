"""Feature files in the layout of CLAM and TRIDENT."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from ..files._checksum import sample_checksum
from ..files._writing import writing
from ..utils._optional import import_optional


def import_h5py():
    """Import h5py, which only these files need."""
    return import_optional("h5py", "slides", "Writing feature files of slides")


def write_features(path, coords, batches, attributes, settings, source, overwrite):
    """Write tiles into a file that appears when all of them are there."""
    h5py = import_h5py()
    with writing(path, overwrite=overwrite) as unfinished:
        features = np.concatenate(list(batches), dtype=np.float32)
        # In memory first: on a full disk HDF5 may lose features without a word, or crash.
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file.attrs["settings"] = json.dumps(settings, default=lambda number: number.item())
            file.attrs["source"] = json.dumps(source)
            file["coords"] = coords.astype(np.int32)
            file["coords"].attrs.update(attributes)
            file["features"] = features
        # The view goes before the bytes, also if an error keeps this frame.
        with open(unfinished, "wb") as file, content.getbuffer() as view:
            file.write(view)


def read_settings(path):
    """Settings that a file was made with; None if it is not ours."""
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            settings = json.loads(file.attrs.get("settings", "null"))
            return settings if isinstance(settings, dict) and {"features", "coords"} <= file.keys() else None
    except (OSError, ValueError, TypeError):
        return None


def describe_source(slide):
    """What a slide is recognised by: size and a checksum of parts of its files.

    To read all of it would take as long as to copy it, and no other slide has the same size and the same parts.
    """
    files = _files_of(slide)
    return {
        "bytes": sum(file.stat().st_size for file in files.values()),
        "sample_sha256": _combined(files),
    }


def is_source(path, slide):
    """Whether a feature file was made from this slide or a copy of it; true as well if the file does not say."""
    with import_h5py().File(path, "r") as file:
        recorded = json.loads(file.attrs.get("source", "null"))
    return recorded is None or recorded["sample_sha256"] == _combined(_files_of(slide))


def _files_of(slide):
    """The files of a slide by name; MIRAX keeps its pixels in a folder beside the file."""
    slide = Path(slide)
    beside = slide.with_suffix("").rglob("*") if slide.suffix.lower() == ".mrxs" else []
    return {str(file.relative_to(slide.parent)): file for file in [slide, *sorted(beside)] if file.is_file()}


def _combined(files):
    """One checksum of the names and the checksums of several files."""
    lines = "".join(f"{sample_checksum(file)} {name}\n" for name, file in files.items())
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def count_tiles(path):
    """Number of tiles in a file."""
    with import_h5py().File(path, "r") as file:
        return len(file["coords"])
