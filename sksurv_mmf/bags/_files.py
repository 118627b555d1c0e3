"""Feature files: what their headers say, checked before anything is read or allocated."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ..files._regular_file import check_regular_file, kind_of
from ._checks import MAX_RATIO, check_coords, check_features, check_places, narrow
from ._hdf5_files import Hdf5Array, read_hdf5_headers
from ._numpy_files import StoredArray, read_npy_headers, read_npz_headers
from ._parquet_files import ParquetColumns, ParquetLists, read_parquet_headers
from ._tiling import UNKNOWN, Tiling, join_tilings
from ._tiling_attributes import complete
from ._zarr_files import ZarrArray, read_zarr_headers

if TYPE_CHECKING:
    from ._torch_files import SavedTensor

    StoredMatrix = StoredArray | Hdf5Array | SavedTensor | ZarrArray | ParquetColumns | ParquetLists


def read_torch_headers(*args):
    """What `_torch_files.read_torch_headers` does; only who has such files needs torch."""
    from ._torch_files import read_torch_headers

    return read_torch_headers(*args)


FORMATS = {
    "h5": read_hdf5_headers,
    "pt": read_torch_headers,
    "npy": read_npy_headers,
    "npz": read_npz_headers,
    "zarr": read_zarr_headers,
    "parquet": read_parquet_headers,
}
"""What reads the headers of each format: from path, size, max_ratio and both keys to what holds the two arrays."""

FORMAT_OF_SUFFIX = {f".{name}": name for name in FORMATS} | {".hdf5": "h5", ".pth": "pt", ".pq": "parquet"}

_SLIDE = re.compile(r"\.(svs|ndpi|tiff?|mrxs|scn|vms|vmu|svslide|bif|czi|dcm)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A feature file as it was when its header was read; the content of a file-backed bag."""

    path: str
    stamp: tuple
    features: StoredMatrix
    coords: StoredMatrix | None
    tiling: Tiling = UNKNOWN

    @property
    def shape(self):
        """Shape of the features."""
        return self.features.shape

    @property
    def slides(self):
        """Number of tiles by slide."""
        return {slide_name(self.path): self.shape[0]}

    @property
    def coord_unit(self):
        """Unit of the coordinates, or None if the file does not say."""
        return self.coords.unit if isinstance(self.coords, Hdf5Array) else None

    @property
    def sides(self):
        """Side of the tiles of the slide in the unit of the coordinates, None if the file does not say."""
        return (self.features.side if isinstance(self.features, Hdf5Array) else None,)

    def source_of(self, tile):
        """Path of the file that has the tile."""
        return self.path

    def read_features(self):
        """Return the features, memory-mapped where the format allows."""
        return self._read(self.features)

    def read_coords(self):
        """Return the coordinates, or None."""
        return None if self.coords is None else self._read(self.coords)

    def _read(self, stored):
        check_unchanged(self.path, self.stamp)
        # A file that is cut short after this check, while it is mapped, ends the process: no memory map can
        # help it.
        try:
            _verify_once(self.path, self.stamp, stored)
            array = stored.read(self.path)
            if array.shape != stored.shape:
                raise ValueError(f"its header announces shape {stored.shape}, but it has {array.shape}.")
            if stored is self.coords:
                check_places(array)
            return array
        except (ImportError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(f"Feature file {self.path!r} cannot be read: {error}") from error


@lru_cache(maxsize=1 << 16)
def _verify_once(path, stamp, stored):
    """Compare an array with the checksums and sizes in its file, the first time that this process reads it."""
    stored.verify(path)


@dataclass(frozen=True, slots=True)
class SlideFiles:
    """The feature files of several slides of one patient, one after the other."""

    files: tuple

    @property
    def shape(self):
        """Shape of all features together."""
        return sum(file.shape[0] for file in self.files), self.files[0].shape[1]

    @property
    def slides(self):
        """Number of tiles by slide."""
        return {name: n_tiles for file in self.files for name, n_tiles in file.slides.items()}

    @property
    def coord_unit(self):
        """Unit of the coordinates, which all files share."""
        return None if any(file.coords is None for file in self.files) else self.files[0].coord_unit

    @property
    def tiling(self):
        """What is known of the tiles, which are alike in all files."""
        return join_tilings([file.tiling for file in self.files])

    @property
    def sides(self):
        """Side of the tiles of each slide in the unit of the coordinates, None where the file does not say."""
        return tuple(side for file in self.files for side in file.sides)

    @property
    def path(self):
        """All paths, for the user to read."""
        return ", ".join(file.path for file in self.files)

    def source_of(self, tile):
        """Path of the file that has the tile."""
        stops = np.cumsum([file.shape[0] for file in self.files])
        return self.files[np.searchsorted(stops, tile, side="right")].path

    def read_features(self):
        """Return the features of all slides, converted slide by slide rather than all of them at once."""
        return np.concatenate([narrow(file.read_features()) for file in self.files])

    def read_coords(self):
        """Return the coordinates of all slides, or None unless all have some."""
        if any(file.coords is None for file in self.files):
            return None
        return np.concatenate([file.read_coords() for file in self.files])


def check_bag(features, coords):
    """Refuse arrays that are not the features of tiles and their coordinates."""
    check_features(features.shape)
    if coords is not None:
        check_coords(coords.shape, n_tiles=features.shape[0])


def open_feature_file(
    path, format="auto", features_key=None, coords_key=None, max_ratio=MAX_RATIO, tiling=None, check=check_bag
):
    """Read the headers of a feature file and return a `FeatureFile`.

    A `tiling` replaces what the file says, and `check` refuses arrays of another shape.
    """
    if not (isinstance(max_ratio, Real) and max_ratio >= 1):
        raise ValueError(f"max_ratio must be a number of at least 1, got {max_ratio!r}.")
    path = os.path.abspath(os.fsdecode(path))
    os.stat(path)  # an absent file is no unusable one
    try:
        read_headers = FORMATS[_format_of(path, format)]
        stamp = stamp_of(path)
        features, coords = read_headers(path, stamp[0], max_ratio, features_key, coords_key)
        check(features, coords)
        if tiling is None:
            tiling = complete(features.tiling if isinstance(features, Hdf5Array) else UNKNOWN, path)
    except ImportError:
        raise
    # A damaged or hostile file can make the libraries raise nearly anything; the user needs to know which file
    # it is.
    except Exception as error:
        is_empty = os.path.isfile(path) and os.path.getsize(path) == 0
        reason = "it is empty (0 bytes): copy it again, or make it again." if is_empty else error
        if isinstance(error, MemoryError):
            reason = "memory ran out while its header was read; it is damaged."
        raise ValueError(f"Feature file {path!r} cannot be used: {reason}") from error
    return FeatureFile(path, stamp, features, coords, tiling)


def slide_name(path):
    """Name of the slide that a feature file, or an image, is named after."""
    stem, suffix = os.path.splitext(os.path.basename(os.fspath(path)))
    if suffix.lower() not in FORMAT_OF_SUFFIX:
        stem += suffix
    return _SLIDE.sub("", stem)


def check_unchanged(path, stamp):
    """Refuse a file that is gone, or has another size or time than when its header was read."""
    try:
        now = stamp_of(path)
    except FileNotFoundError as error:
        message = "Feature file is gone since its bag was made; restore it or make the bag again"
        raise FileNotFoundError(error.errno, message, path) from error
    if now != stamp:
        raise ValueError(f"Feature file {path!r} has changed since its bag was made; make the bag again.")


def stamp_of(path):
    """Size and time of the last change of a file, or of all files in a folder, which must be regular."""
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size, status.st_mtime_ns
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    for file in files:
        check_regular_file(file, "its part ")
    found = [os.stat(file) for file in files]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)


def _format_of(path, format):
    suffix = os.path.splitext(path)[1].lower()
    if format == "auto":
        format = FORMAT_OF_SUFFIX.get(suffix)
    if format is None:
        raise ValueError(f"its name must end in one of {', '.join(FORMAT_OF_SUFFIX)}, not {suffix!r}; or pass format.")
    kind, expected = kind_of(os.stat(path).st_mode), "folder" if format == "zarr" else "regular file"
    if kind != expected:
        raise ValueError(f"it is a {kind} and not a {expected}.")
    return format
