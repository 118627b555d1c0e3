"""What the arrays of a bag must look like, whether they come from memory or from a header."""

import math

import numpy as np

from ..utils._validation import shorten
from ..utils._warnings import warn

FEATURES = ("features", "feats")
"""Names that CLAM and TRIDENT, or STAMP, give to the features of a file."""

COORDS = "coords"
"""Name that all of them give to the coordinates."""

COORD_UNITS = ("px", "um")
"""Units of coordinates: pixels of level 0, the finest of the slide, or micrometres."""

MAX_RATIO = 100
"""How many times the bytes of its file a compressed array may announce unless the user allows more.

Features of slides reach 1.1 to 3, those with many zeros 20, whatever compresses them; a file made to exhaust memory
reaches 1,032 with gzip and ten thousand with zstd.
"""

_LONGEST_TAIL = 1000

HARMLESS_BYTES = 1 << 24
"""What a compressed array may announce whatever the size of its file, for example a few tiles of ones."""


def check_numbers(dtype):
    """Refuse anything but real numbers."""
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {dtype}.")


def narrow(features):
    """Features in the types that a bag has: float16 as it is, all other numbers as float32."""
    dtype = np.float16 if features.dtype.type is np.float16 else np.float32
    with np.errstate(over="ignore"):  # becomes infinite, which estimators refuse with the patient
        return features.astype(dtype, copy=False)


def check_features(shape):
    """Refuse features that are not a matrix with at least one tile."""
    if len(shape) != 2 or 0 in shape:
        hint = ""
        if shape[:1] == (0,):  # as TRIDENT writes them
            hint = " There are no tiles, as of a slide without tissue: leave it out."
        elif len(shape) == 1:
            hint = " If it is the vector of a whole slide, read it with read_slide_vectors."
        raise ValueError(
            f"features must have shape (n_tiles, n_features), at least one of each, got shape {shape}.{hint}"
        )


def check_vector(shape, what="it"):
    """Refuse what is not one vector of a slide, perhaps with a leading axis of length one."""
    if len(shape) not in (1, 2) or 0 in shape or shape[:-1] not in ((), (1,)):
        raise ValueError(
            f"{what} must be one vector of a slide, of shape (n_features,) or (1, n_features), got shape {shape}. "
            "Features of tiles are read with read_bags."
        )


def check_coords(shape, n_tiles):
    """Refuse coordinates that are not one (x, y) per tile."""
    if shape != (n_tiles, 2):
        raise ValueError(f"coords must have shape ({n_tiles}, 2), one row per tile, got shape {shape}.")


def check_places(coords):
    """Refuse coordinates that are not known of all tiles."""
    n_unknown = len(coords) - int(np.isfinite(coords).all(axis=1).sum())
    if n_unknown:
        raise ValueError(f"coords must be known of all tiles, but {n_unknown} of {len(coords)} are NaN or infinite.")


def check_announced(shape, itemsize, n_stored, max_ratio=None):
    """Refuse a header that announces more than `n_stored` bytes can hold, before anything is allocated.

    `max_ratio` says that they are compressed, and how many times their number they may announce.
    """
    n_bytes = math.prod(shape) * itemsize
    if max_ratio is None and n_bytes > n_stored:
        raise ValueError(
            f"its header announces {n_bytes} bytes, shape {tuple(shape)}, more than its {n_stored} bytes can "
            "hold; it is truncated, damaged or was never filled."
        )
    if max_ratio is not None and n_bytes > max(n_stored * max_ratio, HARMLESS_BYTES):
        raise ValueError(
            f"its header announces {n_bytes} bytes, more than max_ratio={max_ratio} times its {n_stored} bytes, for "
            f"shape {tuple(shape)}; it is truncated, damaged or was never filled. If you trust it, pass "
            f"max_ratio={-(-n_bytes // max(n_stored, 1))}."
        )


def warn_if_unfilled(values, fill_value, path, key):
    """Warn if the last tiles hold nothing but the value that stands where nothing was written."""
    if values.ndim < 2 or fill_value is None or not np.all(values[-1] == fill_value):
        return
    # As far back as a writer would lag behind; more would be read for nothing.
    tail = np.all(values[-_LONGEST_TAIL:] == fill_value, axis=tuple(range(1, values.ndim)))
    n_tiles = len(tail) if tail.all() else int(np.argmin(tail[::-1]))
    warn(
        f"The last {n_tiles}{' or more' if n_tiles == _LONGEST_TAIL else ''} of {len(values)} tiles of {path!r}"
        f"{'' if key is None else f', array {key!r},'} are all {fill_value}, the value that stands where nothing was "
        "written: the file may be incomplete. Make it again, or leave these tiles out.",
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
        f"it needs an array named 'features' or 'feats', or a single array, but has [{shorten(sorted(names), 8)}]; say "
        "which one with features_key. If these are slides or patients, a vector each, pass the path of this file to "
        "read_slide_vectors."
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
