"""What feature files, and the folders that they are in, say about the tiles."""

import json
import os
import re
from dataclasses import replace

import numpy as np

from ._tiling import Tiling

# Names are shorter; a hostile file could announce a text of gigabytes. Our own settings are longer.
_LONGEST_NAME, _LONGEST_SETTINGS = 200, 20_000
# Lengths in pixels or um, magnifications and downsamples all lie between.
_LEAST, _MOST = 1e-6, 1e6

# Folders as TRIDENT makes them: 20x_256px_0px_overlap/features_uni_v1.
_TRIDENT_TILES = re.compile(r"(\d+(?:\.\d+)?)x_(\d+)px_\d+px_overlap")
_TRIDENT_FEATURES = re.compile(r"features_(.+)")

_UM_TIMES_MAGNIFICATION = 10  # 0.5 um per pixel at 20x


class _Attributes:
    """Attributes of a file, its features and its coordinates that are plain names and positive numbers.

    Files are not trusted: whatever else an attribute is counts as absent.
    """

    def __init__(self, *holders):
        self._holders = [holder.attrs for holder in holders if holder is not None]

    def number(self, name):
        """A positive number; the first of a pair, as of CLAM's downsamples in x and y."""
        value = self._find(name, "iuf", [(), (1,), (2,)])
        if value is None:
            return None
        value = float(np.ravel(value)[0])
        return value if _LEAST <= value <= _MOST else None

    def text(self, name, longest=_LONGEST_NAME):
        """A text that is not empty."""
        value = self._find(name, "OS", [()])
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        return str(value) if isinstance(value, str) and 0 < len(value) <= longest else None

    def _find(self, name, kinds, shapes):
        for attributes in self._holders:
            try:
                found = attributes.get_id(name) if name in attributes else None
                if found is not None and found.dtype.kind in kinds and found.shape in shapes:
                    return attributes[name]
            except (OSError, TypeError, ValueError):  # of a type that h5py does not know, or damaged
                continue
        return None


def read_tiling(file, features, coords, coord_unit):
    """Tiling of an HDF5 file, and the side of its tiles in the unit of the coordinates, each as far as it is known."""
    known = _Attributes(coords, file)
    um = known.number("tile_size_um") or (known.number("tile_size") if coord_unit == "um" else None)
    pixels = known.number("tile_size_px") or known.number("patch_size")
    magnification = known.number("target_magnification")
    mpp = None
    # Beside the resolution of the slide, that of the tiles. Others call the resolution of the slide "mpp".
    if um is None:
        mpp = known.number("mpp") if known.number("level0_mpp") else None
        mpp = mpp or (magnification and _UM_TIMES_MAGNIFICATION / magnification)
    side = um if coord_unit == "um" else _side_at_level0(known)
    extractor = _extractor(file, features)
    return Tiling(extractor, None if pixels is None else max(1, round(pixels)), mpp, um), side


def _side_at_level0(known):
    """Side of the tiles in pixels of the finest level, as TRIDENT or CLAM say it."""
    side, pixels = known.number("patch_size_level0"), known.number("patch_size")
    if side is not None or pixels is None:
        return side
    downsample = known.number("downsample")
    return None if downsample is None else pixels * downsample * (known.number("custom_downsample") or 1)


def _extractor(file, features):
    """Name of the feature extractor as STAMP, TRIDENT or this package write it."""
    name = _Attributes(file).text("extractor")
    if name is not None:
        return name
    settings = _Attributes(file).text("settings", _LONGEST_SETTINGS)
    if settings is not None:
        return _our_extractor(settings)
    folder = _Attributes(features).text("savetodir", longest=4000)
    found = folder and _TRIDENT_FEATURES.fullmatch(re.split(r"[\\/]", folder.rstrip("\\/"))[-1])
    return found[1] if found else None


def _our_extractor(settings):
    try:
        settings = json.loads(settings)
    except (ValueError, RecursionError):
        return None
    settings = settings if isinstance(settings, dict) else {}
    parts = [settings.get("encoder"), settings.get("transform")]
    return ", ".join(part for part in parts if isinstance(part, str)) or None


def complete(tiling, path):
    """Add what folders say that are named as TRIDENT names them to what the file itself says."""
    features, tiles = os.path.split(os.path.dirname(path))[::-1]
    extractor = _TRIDENT_FEATURES.fullmatch(features)
    sizes = _TRIDENT_TILES.fullmatch(os.path.basename(tiles))
    if extractor is None or sizes is None or not all(_LEAST <= float(size) <= _MOST for size in sizes.groups()):
        return tiling
    extractor = tiling.extractor or extractor[1]
    if (tiling.tile_size, tiling.mpp, tiling.width) != (None, None, None):
        return replace(tiling, extractor=extractor)
    return Tiling(extractor, int(sizes[2]), _UM_TIMES_MAGNIFICATION / float(sizes[1]))
