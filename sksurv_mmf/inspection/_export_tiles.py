"""Attention for viewers of slides: as objects of QuPath, and as images of the tiles that matter most."""

import json
import os
import uuid
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from ..files._writing import check_target, writing, writing_into
from ..slides._slide import Slide
from ..slides._tiling import KNOWN_SCALE
from ..utils._optional import import_optional
from ..utils._sklearn import Interval, StrOptions, validate_params
from ._tile_attention import tiles_on_slide
from ._tile_drawing import attention_colors, relative_attention


@validate_params(
    {
        "attention": [pd.DataFrame],
        "slide": [str, os.PathLike],
        "path": [str, os.PathLike],
        "slide_name": [str, None],
        "object_type": [StrOptions({"tile", "detection", "annotation"})],
        "subtract_bounds": ["boolean"],
    }
    | KNOWN_SCALE,
    prefer_skip_nested_validation=True,
)
def export_geojson(
    attention,
    slide: str | os.PathLike,
    path: str | os.PathLike,
    *,
    patient=None,
    slide_name: str | None = None,
    tile_size: int | None = None,
    mpp: float | None = None,
    slide_mpp: float | None = None,
    object_type: str = "tile",
    cmap="viridis",
    norm=None,
    subtract_bounds: bool = True,
) -> None:
    """Write the attention of the tiles of a slide for QuPath.

    Drag the file onto the open slide in QuPath (0.4 or later). Every tile has the colour that
    :class:`TileAttentionDisplay` gives it and two measurements, "Attention weight" and "Attention (1 = average tile)",
    which measurement maps, tables and scripts can use.

    Parameters
    ----------
    attention : DataFrame
        Table as `tile_attention` returns it, with "x" and "y" in pixels of level 0, the finest, or in micrometres where
        a column "coord_unit" says "um" as for files of STAMP. If it has a column "slide", the tiles of this slide are
        taken, and 1 is their average.
    slide : str or path-like
        The slide that the tiles come from, in a format that OpenSlide reads.
    path : str or path-like
        File to write, by custom ``*.geojson``. It is replaced if it is there, as a whole; of a symbolic link, the link.
        What a killed process left beside it is removed.
    patient : object, default=None
        The patient. Not needed if the table has one only.
    slide_name : str, default=None
        How the column "slide" calls the slide. None takes the name of the file, without folder and suffix.
    tile_size : int, default=None
        Side of a tile in pixels at the resolution `mpp`, as passed to `sksurv_mmf.slides.extract_features`. None takes
        what the columns "tile_side", "tile_size" and "mpp" say, which come from the feature files, and 512 if they do
        not.
    mpp : float, default=None
        Resolution of the tiles, in um per pixel. None takes that of the table, and 0.5 if there is none.
    slide_mpp : float, default=None
        Side of the slide's finest pixels in um. None takes it from the file; pass it if the file does not say.
    object_type : {"tile", "detection", "annotation"}, default="tile"
        What the tiles are in QuPath. Annotations can be edited there, but thousands of them make it slow.
    cmap : str, matplotlib Colormap or None, default="viridis"
        Colours of the weights. None writes no colours and does not need matplotlib; QuPath's measurement maps then
        colour the tiles.
    norm : str or matplotlib Normalize, default=None
        Scale of the colours; "log" tells small weights apart. None is linear from zero.
    subtract_bounds : bool, default=True
        Whether to count from the corner of the scanned area, where the slide tells it as MRXS does, rather than from
        that of the whole slide. So does QuPath, see Notes.

    Raises
    ------
    ImportError
        If the tiles are to have colours and matplotlib is not installed, or if openslide is not.
    ValueError
        If the patient has no tiles of the slide in the table, if tiles lack coordinates or lie outside of the slide, if
        `tile_size` and `mpp` contradict the table, or if the slide does not say how large its pixels are.

    See Also
    --------
    export_tiles : Writes images of the tiles with the highest attention.

    Notes
    -----
    The file is a GeoJSON FeatureCollection of closed squares in pixels of level 0. Rings are counter-clockwise in the
    sense of the standard, where y grows upwards; on the screen, where it grows downwards, they turn the other way.

    A scanner may keep a small part of a large plane only, and tell it by OpenSlide's properties ``openslide.bounds-x``,
    ``-y``, ``-width`` and ``-height`` (MRXS, SCN and others). If all four are there, QuPath shows this part alone and
    its corner is (0, 0); a tile at (600, 400) of a slide with bounds at (600, 400) is written at (0, 0). Pass
    ``subtract_bounds=False`` for a slide that is opened in QuPath with the option ``--no-crop`` or by another reader
    than OpenSlide, and for viewers that show the whole plane.

    Examples
    --------
    >>> from sksurv_mmf.inspection import export_geojson
    >>> weights = model.tile_attention(X)  # doctest: +SKIP
    >>> export_geojson(weights, "slides/P001.svs", "P001.geojson", patient="P001")  # doctest: +SKIP
    """
    _check_colors(cmap, norm)
    check_target(path, overwrite=True)
    with Slide(slide, slide_mpp) as opened:
        patient, tiles, coords, side, _ = tiles_on_slide(attention, patient, opened, slide_name, tile_size, mpp)
        name = opened.name
        if subtract_bounds:
            coords = coords - opened.bounds_corner
    weights = tiles["attention"].to_numpy(dtype=float)
    relative = relative_attention(weights)
    features = [
        {
            "type": "Feature",
            # From the content: the same weights give the same file, and other weights other objects.
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}/{patient}/{tile}/{corner}/{weight}")),
            "geometry": {"type": "Polygon", "coordinates": [square(corner[0], corner[1], side)]},
            "properties": {
                "objectType": object_type,
                "name": f"{patient}, tile {tile}",
                **color,
                "measurements": {"Attention weight": weight, "Attention (1 = average tile)": ratio},
            },
        }
        for tile, corner, weight, ratio, color in zip(
            tiles.index, coords.tolist(), weights.tolist(), relative.tolist(), _colors(relative, cmap, norm)
        )
    ]
    collection = {"type": "FeatureCollection", "features": features}
    with writing(path, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(collection, allow_nan=False), encoding="utf-8")


def _check_colors(cmap, norm):
    if cmap is None:
        if norm is not None:
            raise ValueError(
                f"norm={norm!r} scales colours, but cmap=None writes none. Leave norm out, or pass a cmap."
            )
        return
    try:
        import_optional("matplotlib", "plot", "Giving tiles the colours of cmap")
    except ImportError as error:
        raise ImportError(
            f"{error} Or pass cmap=None, which writes no colours: QuPath can colour by measurement."
        ) from error


def _colors(relative, cmap, norm):
    """The property "color" of each tile, if there is one."""
    if cmap is None:
        return [{}] * len(relative)
    colors = attention_colors(relative, cmap, norm).to_rgba(relative, bytes=True)[:, :3]
    return [{"color": color} for color in colors.tolist()]


def square(x, y, side):
    """Ring of a square with the corner (x, y) of smallest coordinates, its first point repeated at the end."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


@validate_params(
    {
        "attention": [pd.DataFrame],
        "slide": [str, os.PathLike],
        "out_dir": [str, os.PathLike],
        "slide_name": [str, None],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "overwrite": ["boolean"],
    }
    | KNOWN_SCALE,
    prefer_skip_nested_validation=True,
)
def export_tiles(
    attention,
    slide: str | os.PathLike,
    out_dir: str | os.PathLike,
    *,
    top_k: int = 10,
    patient=None,
    slide_name: str | None = None,
    tile_size: int | None = None,
    mpp: float | None = None,
    slide_mpp: float | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Write the tiles of a slide with the highest attention as PNG images.

    For the eyes of a pathologist. Names begin with the rank and tell attention, in units of the average tile's, and
    place; ``tiles.csv`` lists them.

    Parameters
    ----------
    attention : DataFrame
        Table as `tile_attention` returns it, with "x" and "y" in pixels of level 0, the finest, or in micrometres where
        a column "coord_unit" says "um" as for files of STAMP. If it has a column "slide", the tiles of this slide are
        taken, and 1 is their average.
    slide : str or path-like
        The slide that the tiles come from, in a format that OpenSlide reads.
    out_dir : str or path-like
        Folder for the images. It is made if it is not there. The files appear in it together, once all are made. What
        a killed process left in it is removed.
    top_k : int, default=10
        Number of tiles; all tiles if there are fewer.
    patient : object, default=None
        The patient. Not needed if the table has one only.
    slide_name : str, default=None
        How the column "slide" calls the slide. None takes the name of the file, without folder and suffix.
    tile_size : int, default=None
        Side of a tile in pixels at the resolution `mpp`, as passed to `sksurv_mmf.slides.extract_features`, and the
        side of the images. None takes what the columns "tile_side", "tile_size" and "mpp" say, which come from the
        feature files, and 512 if they do not.
    mpp : float, default=None
        Resolution of the tiles and of the images, in um per pixel. None takes that of the table, and 0.5 if there is
        none.
    slide_mpp : float, default=None
        Side of the slide's finest pixels in um. None takes it from the file; pass it if the file does not say.
    overwrite : bool, default=False
        Whether to replace the images and the ``tiles.csv`` of an earlier export. Other files in the folder stay.

    Returns
    -------
    index : DataFrame of shape (min(top_k, n_tiles), 6)
        By rank, from 1: "tile", "attention", "relative" (1 is the average tile), "x", "y" and "file", as in
        ``tiles.csv``.

    Raises
    ------
    FileExistsError
        If the folder holds an earlier export, whose images would mix with the new ones, and `overwrite` is False; or if
        another process has made one in the meantime.
    ValueError
        If the patient has no tiles of the slide in the table, if tiles lack coordinates or lie outside of the slide, if
        `tile_size` and `mpp` contradict the table, or if the slide does not say how large its pixels are.

    See Also
    --------
    export_geojson : Writes the attention of all tiles for QuPath.

    Examples
    --------
    >>> from sksurv_mmf.inspection import export_tiles
    >>> weights = model.tile_attention(X)  # doctest: +SKIP
    >>> index = export_tiles(weights, "slides/P001.svs", "P001_tiles", patient="P001")  # doctest: +SKIP
    """
    out_dir = Path(out_dir)
    earlier = [*out_dir.glob("*_attention_*_x*_y*.png"), *out_dir.glob("tiles.csv")]
    if earlier and not overwrite:
        raise FileExistsError(f"{str(out_dir)!r} holds an earlier export. Pass overwrite=True, or another out_dir.")
    with Slide(slide, slide_mpp) as opened:
        _, tiles, coords, side, tile_size = tiles_on_slide(attention, patient, opened, slide_name, tile_size, mpp)
        weights = tiles["attention"].to_numpy(dtype=float)
        top = np.argsort(-weights, kind="stable")[:top_k]
        index = pd.DataFrame(
            {
                "tile": tiles.index[top],
                "attention": weights[top],
                "relative": relative_attention(weights)[top],
                "x": coords[top, 0].round().astype(int),
                "y": coords[top, 1].round().astype(int),
            },
            index=pd.RangeIndex(1, len(top) + 1, name="rank"),
        )
        index["file"] = [
            f"{row.Index:0{len(str(len(top)))}d}_attention_{row.relative:.3g}_x{row.x}_y{row.y}.png"
            for row in index.itertuples()
        ]
        with writing_into(out_dir, replaced=earlier) as unfinished:
            for row in index.itertuples():
                opened.read(row.x, row.y, side, tile_size).save(unfinished / row.file)
            index.to_csv(unfinished / "tiles.csv")
    return index
