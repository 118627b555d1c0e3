"""Feature files in the layout of CLAM and TRIDENT."""

import json
import os

import numpy as np

from ..utils._optional import import_optional


def import_h5py():
    """Import h5py, which only these files need."""
    return import_optional("h5py", "slides", "Writing feature files of slides")


def write_features(path, coords, batches, attributes, settings):
    """Write tiles batch by batch, under another name until all of them are there."""
    h5py = import_h5py()
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "w") as file:
            file.attrs["settings"] = json.dumps(settings, default=lambda number: number.item())
            file["coords"] = coords.astype(np.int32)
            file["coords"].attrs.update(attributes)
            start = 0
            for features in batches:
                if start == 0:
                    file.create_dataset("features", (len(coords), features.shape[1]), np.float32)
                file["features"][start : start + len(features)] = features
                start += len(features)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_settings(path):
    """Settings that a file was made with; None if it is not ours."""
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            settings = json.loads(file.attrs.get("settings", "null"))
            return settings if isinstance(settings, dict) and {"features", "coords"} <= file.keys() else None
    except (OSError, ValueError, TypeError):
        return None


def count_tiles(path):
    """Number of tiles in a file."""
    with import_h5py().File(path, "r") as file:
        return len(file["coords"])
