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

# Folders as TRIDENT makes them: 20x_256px_0px_overlap/features_uni_v1, and slide_features_titan of slide encoders.
_TRIDENT_TILES = re.compile(r"(\d+(?:\.\d+)?)x_(\d+)px_\d+px_overlap")
_TRIDENT_FEATURES = re.compile(r"(?:slide_)?features_(.+)")

_UM_TIMES_MAGNIFICATION = 10  # 0.5 um per pixel at 20x


class _Attributes:
    """Attributes of a part of a file that are plain names and positive numbers.

    Files are not trusted: whatever else an attribute is counts as absent.
    """

    def __init__(self, part):
        self._attributes = part.attrs
        self._names = set(self._attributes)  # at once, because asking for each name takes as long

    def number(self, name):
        """A positive number; the first of a pair, as of CLAM's downsamples in x and y."""
        found = self._find(name, "iuf", [(), (1,), (2,)])
        if found is None:
            return None
        values = np.empty(found.shape, found.dtype)
        found.read(values)
        value = float(values.flat[0])
        return value if _LEAST <= value <= _MOST else None

    def text(self, name, longest=_LONGEST_NAME):
        """A text that is not empty."""
        value = self._attributes[name] if self._find(name, "OS", [()]) else None
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        return str(value) if isinstance(value, str) and 0 < len(value) <= longest else None

    def _find(self, name, kinds, shapes):
        if name not in self._names:
            return None
        found = self._attributes.get_id(name)
        try:
            return found if found.dtype.kind in kinds and found.shape in shapes else None
        except TypeError:  # of a type that numpy does not know
            return None


def read_tiling(file, features, coords, coord_unit):
    """Tiling of an HDF5 file, and the side of its tiles in the unit of the coordinates, each as far as it is known."""
    of_file = _Attributes(file)
    of_tiles = of_file if coords is None else _Attributes(coords)

    def number(name):
        return of_tiles.number(name) or of_file.number(name)

    # STAMP has called it "tile_size", first in pixels and then in um.
    um = number("tile_size_um") or (number("tile_size") if coord_unit == "um" else None)
    pixels = number("tile_size_px") or number("patch_size") or (None if coord_unit == "um" else number("tile_size"))
    mpp, magnification = None, number("target_magnification")
    if um is None:
        # Beside the resolution of the slide it is that of the tiles. Others call the resolution of the slide so.
        mpp = number("mpp") if number("level0_mpp") else None
        mpp = mpp or (magnification and _UM_TIMES_MAGNIFICATION / magnification)
    downsample = _downsample(number) if (mpp, um) == (None, None) else None
    pixels = None if pixels is None else max(1, round(pixels))
    tiling = Tiling(_extractor(of_file, features), pixels, mpp, um, downsample)
    return tiling, um if coord_unit == "um" else _side_at_level0(number, pixels)


def _downsample(number):
    """Pixels of the finest level in one of a tile, as CLAM says it."""
    downsample = number("downsample")
    return downsample and downsample * (number("custom_downsample") or 1)


def _side_at_level0(number, pixels):
    """Side of the tiles in pixels of the finest level, as TRIDENT or CLAM say it."""
    side, downsample = number("patch_size_level0"), _downsample(number)
    return side or (pixels and downsample and pixels * downsample)


def _extractor(of_file, features):
    """Name of the feature extractor, or slide encoder, as STAMP, TRIDENT or this package write it."""
    of_features = _Attributes(features)
    name = of_file.text("extractor") or of_file.text("encoder") or of_features.text("encoder")
    if name not in (None, "None"):  # the latter is TRIDENT's word for an encoder without a name
        return name
    settings = of_file.text("settings", _LONGEST_SETTINGS)
    if settings is not None:
        return _our_extractor(settings)
    folder = of_features.text("savetodir", longest=4000)
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
