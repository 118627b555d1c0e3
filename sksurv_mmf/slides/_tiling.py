"""Tiles of the right physical size, where there is tissue."""

import os
from numbers import Integral, Real

import numpy as np

from ..utils._sklearn import Interval, StrOptions, validate_params
from ._slide import Slide
from ._tissue import otsu_tissue, tissue_fraction

# Pixels may be larger than wanted by this factor; scanners that are set to 20x write between 0.44 and 0.55 um.
_COARSEST = 1.1

_POSITIVE = Interval(Real, 0, None, closed="neither")
SLIDE_MPP = {"slide_mpp": [_POSITIVE, None]}
SCALE = {"tile_size": [Interval(Integral, 1, None, closed="left")], "mpp": [_POSITIVE], **SLIDE_MPP}
KNOWN_SCALE = SCALE | {name: [*SCALE[name], None] for name in ("tile_size", "mpp")}
TILING = SCALE | {
    "tissue": [StrOptions({"otsu"}), callable, None],
    "min_tissue": [Interval(Real, 0, 1, closed="right")],
    "tissue_mpp": [_POSITIVE],
}
"""What the parameters that tiling, feature extraction and maps share may be."""


@validate_params({"path": [str, os.PathLike]} | TILING, prefer_skip_nested_validation=True)
def tile_slide(
    path: str | os.PathLike,
    tile_size: int = 512,
    mpp: float = 0.5,
    tissue="otsu",
    *,
    min_tissue: float = 0.25,
    tissue_mpp: float = 8.0,
    slide_mpp: float | None = None,
) -> np.ndarray:
    """Find the tiles of a slide that hold tissue.

    Tiles are squares on a grid without overlap that starts at the upper left corner of the slide. Tiles that reach over
    its right or lower border are left out. Whatever the resolution of the scanner, a tile has a side of
    ``tile_size * mpp`` um, up to half a pixel.

    Parameters
    ----------
    path : str or path-like
        The slide, in a format that OpenSlide reads.
    tile_size : int, default=512
        Side of a tile in pixels, once it is brought to the resolution `mpp`.
    mpp : float, default=0.5
        Resolution of the tiles, in um per pixel. 0.5 corresponds to 20x.
    tissue : "otsu", callable or None, default="otsu"
        Where there is tissue. "otsu" is :func:`otsu_tissue`. A callable is given an image of the whole slide, uint8 of
        shape (height, width, 3), and returns a mask of shape (height, width), boolean or between 0 and 1. A model that
        segments tumour and stroma so keeps these alone. None keeps all tiles.
    min_tissue : float, default=0.25
        Smallest share of a tile that must be tissue, above 0 and up to 1.
    tissue_mpp : float, default=8.0
        Resolution of the image of the whole slide in which tissue is looked for, in um per pixel.
    slide_mpp : float, default=None
        Side of the slide's finest pixels in um. None takes it from the file; pass it if the file does not say.

    Returns
    -------
    coords : ndarray of int64, shape (n_tiles, 2)
        x and y of the upper left corners in pixels of level 0, the finest. Row by row, from left to right.

    Raises
    ------
    ValueError
        If the slide does not say how large its pixels are, if they are larger than `mpp` by more than a tenth (then
        tiles would have to be enlarged), if no tile fits or none has enough tissue, or if the mask is unusable.

    See Also
    --------
    extract_features : Tiles slides and computes the features of the tiles.
    level0_tile_size : The side of these tiles.

    Examples
    --------
    >>> from sksurv_mmf.slides import tile_slide
    >>> coords = tile_slide("TCGA-05-4245-01Z-00-DX1.svs", min_tissue=0.3)  # doctest: +SKIP
    """
    with Slide(path, slide_mpp) as slide:
        return find_tiles(
            slide, tile_size=tile_size, mpp=mpp, tissue=tissue, min_tissue=min_tissue, tissue_mpp=tissue_mpp
        )


@validate_params({"path": [str, os.PathLike]} | SCALE, prefer_skip_nested_validation=True)
def level0_tile_size(
    path: str | os.PathLike, tile_size: int = 512, mpp: float = 0.5, *, slide_mpp: float | None = None
) -> int:
    """Compute the side of a slide's tiles in pixels of level 0, the finest.

    In these pixels are the coordinates of tiles, and displays and exports want the side in the unit of the coordinates.

    Parameters
    ----------
    path : str or path-like
        The slide, in a format that OpenSlide reads.
    tile_size : int, default=512
        Side of a tile in pixels, once it is brought to the resolution `mpp`.
    mpp : float, default=0.5
        Resolution of the tiles, in um per pixel.
    slide_mpp : float, default=None
        Side of the slide's finest pixels in um. None takes it from the file; pass it if the file does not say.

    Returns
    -------
    side : int
        The side, 1024 for a slide with pixels of 0.25 um and the defaults.

    Raises
    ------
    ValueError
        If the slide does not say how large its pixels are, or if they are larger than `mpp` by more than a tenth.

    Examples
    --------
    >>> from sksurv_mmf.slides import level0_tile_size
    >>> side = level0_tile_size("TCGA-05-4245-01Z-00-DX1.svs")  # doctest: +SKIP
    """
    with Slide(path, slide_mpp) as slide:
        return level0_side(slide, tile_size, mpp)


def level0_side(slide, tile_size, mpp):
    """Side of a tile in pixels of level 0: a whole number, so that neighbours neither overlap nor leave a gap."""
    if slide.mpp > _COARSEST * mpp:
        raise ValueError(
            f"The finest pixels of slide {str(slide.path)!r} have a side of {slide.mpp:.4g} um, so that tiles at "
            f"mpp={mpp} would show detail that was never scanned. Pass mpp={slide.mpp:.4g} or more; if the file "
            "is wrong, pass slide_mpp."
        )
    return max(1, round(tile_size * mpp / slide.mpp))


def find_tiles(slide, *, tile_size, mpp, tissue, min_tissue, tissue_mpp):
    """Corners of the tiles with enough tissue, see `tile_slide`."""
    side = level0_side(slide, tile_size, mpp)
    coords = grid(slide.dimensions, side)
    if not len(coords):
        raise ValueError(
            f"No tile fits into slide {str(slide.path)!r}: it has {slide.dimensions[0]} x {slide.dimensions[1]} "
            f"pixels, a tile of tile_size={tile_size} at mpp={mpp} has {side} x {side}. Use smaller tiles."
        )
    if tissue is None:
        return coords
    image, scale = slide.overview(tissue_mpp / slide.mpp)
    mask = otsu_tissue(image) if tissue == "otsu" else check_mask(tissue(image), image.shape[:2], tissue)
    # A tile full of tissue must not miss min_tissue=1 by the rounding of a sum.
    enough = tissue_fraction(mask, scale, coords, side) >= min_tissue - 1e-6
    if not enough.any():
        raise ValueError(
            f"No tile of slide {str(slide.path)!r} is tissue to a share of min_tissue={min_tissue}. Lower min_tissue, "
            "use smaller tiles, another tissue, or tissue=None for all tiles."
        )
    return coords[enough]


def grid(dimensions, side):
    """Corners of the squares that lie side by side within a rectangle at the origin, row by row."""
    columns, rows = (np.arange(length // side, dtype=np.int64) * side for length in dimensions)
    return np.stack([np.tile(columns, len(rows)), np.repeat(rows, len(columns))], axis=1)


def check_mask(mask, shape, tissue):
    """Return the mask that a callable made as an array, or say what is wrong with it."""
    mask = np.asarray(mask)
    name = getattr(tissue, "__name__", tissue)
    if mask.shape != shape:
        raise ValueError(f"tissue={name} must return a mask of shape {shape}, that of its image, got {mask.shape}.")
    if mask.dtype.kind not in "biuf" or not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError(
            f"tissue={name} must return a mask of booleans or of shares between 0 and 1. From a map of labels make one "
            "with numpy.isin(labels, kept)."
        )
    return mask
