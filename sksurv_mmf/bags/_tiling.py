"""How tiles were made: by which feature extractor, and of which size."""

import math
from dataclasses import astuple, dataclass, fields
from numbers import Integral, Real

from ..utils._validation import shorten

# Writers round resolutions, 0.2499 for 0.25.
_SAME = 0.01

_SIZES = {"tile_size": (Integral, "whole number")} | dict.fromkeys(["mpp", "width", "downsample"], (Real, "number"))


@dataclass(frozen=True)
class Tiling:
    """By which feature extractor tiles were turned into features, and how large they are.

    `read_bags` reads it from files that say it, and bags keep it. Tiles of different extractors or sizes do not mix,
    and a model that was fitted to the ones refuses the others. What is not known, None, agrees with everything.

    Parameters
    ----------
    extractor : str, default=None
        Name of the feature extractor, as the tool that wrote the file calls it.
    tile_size : int, default=None
        Side of a tile in pixels, as the extractor was given it.
    mpp : float, default=None
        Resolution of these pixels, in um per pixel. It follows from `width` and `tile_size`.
    width : float, default=None
        Side of a tile in um. It follows from `tile_size` and `mpp`.
    downsample : float, default=None
        How many pixels of the finest level of its slide such a pixel spans. It says how large tiles are where `mpp` is
        not known, as of CLAM, and all slides were scanned alike.

    Raises
    ------
    ValueError
        If the extractor is no text, a size is no positive number, or the sizes contradict each other.

    See Also
    --------
    read_bags : Reads it from files, or is told what files do not say.

    Examples
    --------
    >>> from sksurv_mmf.bags import Tiling
    >>> Tiling("uni", tile_size=256, mpp=0.5)
    Tiling(extractor='uni', tile_size=256, mpp=0.5, width=128.0, downsample=None)
    """

    extractor: str | None = None
    tile_size: int | None = None
    mpp: float | None = None
    width: float | None = None
    downsample: float | None = None

    def __post_init__(self):
        if not (self.extractor is None or (isinstance(self.extractor, str) and self.extractor)):
            raise ValueError(f"extractor must be a name or None, got {self.extractor!r:.80}.")
        for name, (kind, noun) in _SIZES.items():
            value = getattr(self, name)
            if value is not None and not (_is_number(value, kind) and value > 0):
                raise ValueError(f"{name} must be a positive {noun} or None, got {value!r:.80}.")
        self._fill_in()

    def _fill_in(self):
        # A frozen dataclass is set up like this. Numbers of numpy become plain ones, which files can hold.
        for name, plain in zip(_NAMES, (str, int, float, float, float)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, plain(getattr(self, name)))
        if self.tile_size is None:
            return
        if self.width is None and self.mpp is not None:
            object.__setattr__(self, "width", self.tile_size * self.mpp)
        elif self.mpp is None and self.width is not None:
            object.__setattr__(self, "mpp", self.width / self.tile_size)
        elif self.width is not None and not same_length(self.width, self.tile_size * self.mpp):
            raise ValueError(f"width must be tile_size * mpp, {self.tile_size * self.mpp:g}, got {self.width:g}.")


_NAMES = [field.name for field in fields(Tiling)]

UNKNOWN = Tiling()

_SAYS = {
    "extractor": "feature extractor {!r}",
    "tile_size": "tile size {} px",
    "mpp": "resolution {:g} um per pixel",
    "width": "tile width {:g} um",
    "downsample": "downsample {:g} of level 0",
}
_IN_ORDER = ["extractor", "tile_size", "width", "mpp", "downsample"]  # which difference to name first

WAY_OUT = (
    "If it is not so, say what the tiles are with read_bags(..., tiling=Tiling(...)), with Tiling of sksurv_mmf.bags."
)


def check_is_tiling(tiling):
    """Refuse an argument that is no `Tiling` and not None."""
    if not isinstance(tiling, Tiling | None):
        raise TypeError(f"tiling must be a Tiling or None, got a {type(tiling).__name__}.")


def join_tilings(tilings):
    """What is known of tilings that agree; of lengths that agree up to rounding, the first."""
    distinct = list(dict.fromkeys(tilings))
    if len(distinct) == 1:
        return distinct[0]
    known = {name: next((value for value in values if value is not None), None) for name, values in _columns(distinct)}
    # Lengths of different tilings need not fit together to the digit.
    if None not in (known["tile_size"], known["mpp"]):
        known["width"] = None
    return Tiling(**known)


def disagreement(tilings, names, noun):
    """Say in what tilings differ, with counts and two examples; None if they agree."""
    names_of = {}
    for tiling, name in zip(tilings, names):
        names_of.setdefault(tiling, []).append(name)
    if len(names_of) < 2:
        return None
    for attribute in _IN_ORDER:
        groups = []
        for tiling, own in names_of.items():
            value = getattr(tiling, attribute)
            if value is not None:
                group = next((group for group in groups if _same(group[0], value)), None)
                if group is None:
                    groups.append((value, list(own)))
                else:
                    group[1].extend(own)
        if len(groups) > 1:
            return "; ".join(_describe_group(attribute, value, own, noun) for value, own in groups)
    return None


def difference(one, other):
    """What two tilings say of the first attribute in which they differ; None if they agree."""
    for attribute in _IN_ORDER:
        values = getattr(one, attribute), getattr(other, attribute)
        if None not in values and not _same(*values):
            return tuple(_SAYS[attribute].format(value) for value in values)
    return None


def check_tiling(expected, bags, patients, where, reader):
    """Refuse bags with tiles that are known to be others than those that `reader` was fitted to."""
    if expected in (None, UNKNOWN):
        return
    found = [
        (patient, difference(bag.tiling, expected)) for patient, bag in zip(patients, bags) if hasattr(bag, "tiling")
    ]
    other = [(patient, difference) for patient, difference in found if difference is not None]
    if other:
        theirs, ours = other[0][1]
        raise ValueError(
            f"The tiles of {where} have another {theirs} in {len(other)} of {len(found)} bags, for example of patient "
            f"{shorten([patient for patient, _ in other], 2)}, but {reader} was fitted to {ours}. Use features of the "
            f"same extractor and tile size. {WAY_OUT}"
        )


def as_tuple(tiling):
    """A tiling as plain numbers and text, from which `Tiling` makes it again."""
    return astuple(tiling)


def _columns(tilings):
    return [(name, [getattr(tiling, name) for tiling in tilings]) for name in _NAMES]


def _describe_group(attribute, value, names, noun):
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} {noun}{plural} with {_SAYS[attribute].format(value)}: {shorten(names, 2)}"


def same_length(one, other):
    """Whether two lengths or resolutions are the same up to rounding."""
    return math.isclose(one, other, rel_tol=_SAME)


def _same(one, other):
    if isinstance(one, str):
        return one.casefold() == other.casefold()
    return one == other if isinstance(one, Integral) else same_length(one, other)


def _is_number(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
