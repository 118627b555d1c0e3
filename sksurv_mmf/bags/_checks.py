"""What the arrays of a bag must look like, whether they come from memory or from a header."""

import math

from ..utils._validation import shorten

FEATURES = ("features", "feats")
"""Names that CLAM and TRIDENT, or STAMP, give to the features of a file."""

COORDS = "coords"
"""Name that all of them give to the coordinates."""

COORD_UNITS = ("px", "um")
"""Units of coordinates: pixels of level 0, the finest of the slide, or micrometres."""

MAX_RATIO = 1032
"""How many times the bytes of its file a compressed array may announce: what deflate can reach at best."""


def check_numbers(dtype):
    """Refuse anything but real numbers."""
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {dtype}.")


def check_features(shape):
    """Refuse features that are not a matrix with at least one tile."""
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"features must have shape (n_tiles, n_features), at least one of each, got shape {shape}.")


def check_coords(shape, n_tiles):
    """Refuse coordinates that are not one (x, y) per tile."""
    if shape != (n_tiles, 2):
        raise ValueError(f"coords must have shape ({n_tiles}, 2), one row per tile, got shape {shape}.")


def check_announced(shape, itemsize, n_stored, compressed=False):
    """Refuse a header that announces more than `n_stored` bytes can hold, before anything is allocated."""
    n_bytes = math.prod(shape) * itemsize
    if n_bytes > n_stored * (MAX_RATIO if compressed else 1):
        raise ValueError(
            f"its header announces {n_bytes} bytes, shape {tuple(shape)}, more than its {n_stored} bytes can "
            "hold; it is truncated, damaged or was never filled."
        )


def describe_widths(widths, names, noun):
    """Say how many have each number of features, and who: all of them but the majority, if there is one."""
    names_of = {}
    for width, name in zip(widths, names):
        names_of.setdefault(width, []).append(name)
    groups = sorted(names_of.items(), key=lambda group: -len(group[1]))
    has_majority = len(groups[0][1]) > len(groups[1][1])
    return "; ".join(
        f"{len(own)} {noun}{'s' if len(own) > 1 else ''} with {width}"
        + ("" if has_majority and i == 0 else f": {shorten(own)}")
        for i, (width, own) in enumerate(groups)
    )


def choose_features(names, key):
    """Name of the features among `names`: `key`, the usual one, or the only one beside coordinates."""
    if key is not None:
        return _require(names, key, "features_key")
    for likely in ([name for name in FEATURES if name in names], [name for name in names if name != COORDS]):
        if len(likely) == 1:
            return likely[0]
    raise ValueError(
        f"it needs an array named 'features' or 'feats', or a single array, but has {sorted(names)}; say which one "
        "with features_key."
    )


def choose_coords(names, key):
    """Name of the coordinates among `names`: `key`, the usual one, or None."""
    if key is not None:
        return _require(names, key, "coords_key")
    return COORDS if COORDS in names else None


def _require(names, key, argument):
    if key not in names:
        raise ValueError(f"it has no array {key!r} ({argument}), but has {sorted(names)}.")
    return key
