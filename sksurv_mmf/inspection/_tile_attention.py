"""Where in a patient's slides the attention lies."""

import os
from numbers import Real

import numpy as np
import pandas as pd

from ..bags._checks import COORD_UNITS
from ..plotting._labels import n_small_letters, shorten_middle
from ..plotting._plotting import import_pyplot, make_axes, make_room
from ..plotting._scale_bar import MICRO
from ..predictions._ask import check_frame, check_hashable, check_model, unwrap
from ..predictions._checks import as_real_numbers
from ..slides._slide import Slide
from ..slides._tiling import KNOWN_SCALE, level0_side
from ..utils._sklearn import validate_params
from ..utils._validation import shorten
from ._tile_drawing import (
    attention_colors,
    draw_bars,
    draw_color_bar,
    draw_map,
    draw_scale,
    draw_thumbnail,
    fade,
    infer_tile_size,
    is_wide,
    outline,
    relative_attention,
)

# Tiles of which nothing is known, neither from files nor from the user: those of `extract_features` by default.
DEFAULT_SIZE, DEFAULT_MPP = 512, 0.5
# Tools that go by magnification have tiles that are off by this, because pixels at 40x are of 0.24 to 0.26 um.
_SAME_SIDE = 0.1
# How many micrometres a unit is. The micro sign and the Greek letter look alike.
UM = {"um": 1.0, f"{MICRO}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "mm": 1000.0}
SHORTEST_TITLE = 12  # letters of a line, however narrow the axes


class TileAttentionDisplay:
    """Attention of the tiles of one patient, as a map.

    Every tile is a square at its place in the slide, coloured by its weight in units of the average tile's: 1 is what a
    mean over tiles would give it. Where it is known how large a piece of tissue is, the map has a scale bar instead of
    axes. Tiles without coordinates are shown as bars from the highest to the lowest weight. Create it with
    :meth:`from_estimator` or :meth:`from_predictions`, or with :meth:`from_slide` on top of the slide.

    Parameters
    ----------
    attention : ndarray of shape (n_tiles,)
        Weights of the tiles, summing to one.
    coords : ndarray of shape (n_tiles, 2), default=None
        x and y of the upper left corner of each tile, y growing downwards as in slides.
    highlight : ndarray of bool, shape (n_tiles,), default=None
        Tiles to mark.
    patient : object, default=None
        Name of the patient for the title.
    tile_size : float, default=None
        Side of a tile in the unit of the coordinates. None infers it from the distances between tiles.
    thumbnail : ndarray of shape (height, width, 3), default=None
        Image of the slide below the tiles.
    thumbnail_scale : float, default=None
        Side of a pixel of `thumbnail` in the unit of the coordinates.
    slide_name : str, default=None
        Name of the slide for the title, which shortens a long one in the middle.
    um_per_unit : float, default=None
        How many micrometres a unit of the coordinates is, for the scale bar. None says that it is not known, unless
        `coord_unit` tells.
    coord_unit : str, default="px"
        Unit of the coordinates.
    highlight_label : str, default="marked"
        What the marked tiles are, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the tiles.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    tiles_ : matplotlib PolyCollection or BarContainer
        The tiles.

    See Also
    --------
    sksurv_mmf.FusionSurvivalAnalysis.tile_attention : Computes the weights.

    Notes
    -----
    Weights tell where the encoder looks, not whether a tile raises or lowers the risk.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import TileAttentionDisplay
    >>> cohort = make_multimodal_survival(n_patients=40, n_genes=10, n_tiles=16, random_state=0)
    >>> model = FusionSurvivalAnalysis(max_epochs=2, random_state=0).fit(cohort.X, cohort.y)
    >>> display = TileAttentionDisplay.from_estimator(model, cohort.X, patient="P0003")
    >>> len(display.attention)
    16
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        attention,
        coords=None,
        *,
        highlight=None,
        patient=None,
        tile_size=None,
        thumbnail=None,
        thumbnail_scale=None,
        slide_name=None,
        um_per_unit=None,
        coord_unit="px",
        highlight_label="marked",
    ):
        self.attention = attention
        self.coords = coords
        self.highlight = highlight
        self.patient = patient
        self.tile_size = tile_size
        self.thumbnail = thumbnail
        self.thumbnail_scale = thumbnail_scale
        self.slide_name = slide_name
        self.um_per_unit = um_per_unit
        self.coord_unit = coord_unit
        self.highlight_label = highlight_label

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        patient=None,
        modality=None,
        slide_name=None,
        highlight=None,
        highlight_label="marked",
        coord_unit=None,
        ax=None,
    ):
        """Compute the weights of one patient's tiles and draw them.

        Parameters
        ----------
        estimator : FusionSurvivalAnalysis, Pipeline or search
            Fitted estimator, or a Pipeline or search of one.
        X : DataFrame
            Patients.
        patient : object, default=None
            The patient, as in the index of X. Not needed if X has a single row.
        modality : str, default=None
            Name of the bag modality. Not needed if there is one only.
        slide_name : str, default=None
            The slide to draw, as in `Bag.slides`. Needed for a map if the patient has several.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Which of the tiles that are drawn to mark, for example those that a pathologist annotated.
        highlight_label : str, default="marked"
            What the marked tiles are, for the legend.
        coord_unit : str, default=None
            Unit of the coordinates. None takes that of the column "coord_unit", or "px". With "um" the map has a scale
            bar; with "px" it has one if the columns "tile_side", "tile_size" and "mpp" tell the size of a pixel, and
            numbered axes otherwise.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : TileAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the patient is not in X or has no tiles, or has several slides with coordinates and none is named.
        """
        check_model(estimator)
        X = check_frame(X)
        if patient is not None:
            check_hashable("patient", patient)
        if patient is not None and patient not in X.index:
            raise ValueError(f"patient={patient!r} is not in the index of X, which has {shorten(X.index)}.")
        model, X = unwrap(estimator, X if patient is None else X.loc[[patient]], "tile_attention")
        marks = {"highlight": highlight, "highlight_label": highlight_label}
        return cls.from_predictions(
            model.tile_attention(X, modality),
            patient=patient,
            slide_name=slide_name,
            coord_unit=coord_unit,
            ax=ax,
            **marks,
        )

    @classmethod
    def from_predictions(
        cls,
        attention,
        *,
        patient=None,
        slide_name=None,
        highlight=None,
        highlight_label="marked",
        coord_unit=None,
        ax=None,
    ):
        """Draw given weights.

        Parameters
        ----------
        attention : DataFrame
            Table as `tile_attention` returns it: index levels "patient" and "tile", column "attention" and, where they
            are known, "slide" and, for a map, "x" and "y" with their "coord_unit" and "tile_side". The scale bar is as
            exact as "tile_side", "tile_size" and "mpp" are: tools that go by magnification take 0.5 um for the pixels
            at 20x, which may be off by a tenth.
        patient : object, default=None
            The patient to draw. Not needed if the table has one only.
        slide_name : str, default=None
            The slide to draw, as in the column "slide"; 1 is then the average of its tiles. Needed for a map if the
            patient has several, because their coordinates overlap.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Which of the tiles that are drawn to mark, for example those that a pathologist annotated.
        highlight_label : str, default="marked"
            What the marked tiles are, for the legend.
        coord_unit : str, default=None
            Unit of the coordinates. None takes that of the column "coord_unit", or "px". With "um" the map has a scale
            bar; with "px" it has one if the columns "tile_side", "tile_size" and "mpp" tell the size of a pixel, and
            numbered axes otherwise.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : TileAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the patient has no tiles in the table, or none of the slide; if there are several slides with coordinates
            and none is named; or if highlight has another length.
        """
        import_pyplot()
        patient, tiles = one_patient(attention, patient)
        tiles = one_slide(tiles, slide_name, patient)
        unit = coord_unit or _unit_of(tiles)
        display = cls(
            tiles["attention"].to_numpy(dtype=float),
            tiles[["x", "y"]].to_numpy(dtype=float) if _has_coords(tiles) else None,
            highlight=_check_highlight(highlight, tiles, patient),
            patient=patient,
            tile_size=_one_value(tiles, "tile_side"),
            slide_name=slide_name,
            um_per_unit=_um_per_pixel(tiles) if unit == "px" else UM.get(unit),
            coord_unit=unit,
            highlight_label=highlight_label,
        )
        return display.plot(ax=ax)

    @classmethod
    @validate_params({"slide": [str, os.PathLike]} | KNOWN_SCALE, prefer_skip_nested_validation=True)
    def from_slide(
        cls,
        attention,
        slide,
        *,
        patient=None,
        slide_name=None,
        highlight=None,
        highlight_label="marked",
        tile_size=None,
        mpp=None,
        slide_mpp=None,
        max_size=2000,
        ax=None,
    ):
        """Draw given weights on top of the slide that the tiles come from.

        Parameters
        ----------
        attention : DataFrame
            Table as `tile_attention` returns it, with "x" and "y" in pixels of level 0, the finest, or in micrometres
            where a column "coord_unit" says "um" as for files of STAMP. If it has a column "slide", the tiles of this
            slide are drawn, and 1 is their average.
        slide : str or path-like
            The slide, in a format that OpenSlide reads.
        patient : object, default=None
            The patient to draw. Not needed if the table has one only.
        slide_name : str, default=None
            How the column "slide" calls the slide. None takes the name of the file, without folder and suffix.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Which of the tiles that are drawn to mark, for example those that a pathologist annotated.
        highlight_label : str, default="marked"
            What the marked tiles are, for the legend.
        tile_size : int, default=None
            Side of a tile in pixels at the resolution `mpp`, as passed to `sksurv_mmf.slides.extract_features`. None
            takes what the columns "tile_side", "tile_size" and "mpp" say, which come from the feature files, and 512 if
            they do not.
        mpp : float, default=None
            Resolution of the tiles, in um per pixel. None takes that of the table, and 0.5 if there is none.
        slide_mpp : float, default=None
            Side of the slide's finest pixels in um. None takes it from the file; pass it if the file does not say.
        max_size : int, default=2000
            About the number of pixels along the longer side of the image of the slide.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : TileAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the patient has no tiles of the slide in the table, if tiles lack coordinates or lie outside of the
            slide, if `tile_size` and `mpp` contradict the table, or if the slide does not say how large its pixels are.
        """
        import_pyplot()
        if not isinstance(max_size, Real) or not 0 < max_size < np.inf:
            raise ValueError(f"max_size must be a positive number of pixels, got {max_size!r}.")
        with Slide(slide, slide_mpp) as opened:
            patient, tiles, coords, side, _ = tiles_on_slide(attention, patient, opened, slide_name, tile_size, mpp)
            highlight = _check_highlight(highlight, tiles, patient)
            thumbnail, scale = opened.overview(max(opened.dimensions) / max_size)
            slide_name = slide_name or opened.name
            um_per_unit = _um_per_level0_pixel(opened, tiles)
        display = cls(
            tiles["attention"].to_numpy(dtype=float),
            coords,
            highlight=highlight,
            patient=patient,
            tile_size=side,
            thumbnail=thumbnail,
            thumbnail_scale=scale,
            slide_name=slide_name,
            um_per_unit=um_per_unit,
            highlight_label=highlight_label,
        )
        return display.plot(ax=ax)

    def plot(
        self,
        ax=None,
        *,
        tile_size=None,
        coord_unit=None,
        cmap="viridis",
        norm=None,
        alpha=None,
        highlight_label=None,
    ):
        """Draw the tiles.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        tile_size : float, default=None
            Side of a tile in the unit of the coordinates. None takes that of the display, or infers it.
        coord_unit : str, default=None
            Unit of the coordinates. None takes that of the display. Of another one, "um" and "mm" give a scale bar, and
            any other is written on the axes.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the weights.
        norm : str or matplotlib Normalize, default=None
            Scale of the colours; "log" tells small weights apart. None is linear from zero to the highest weight, or to
            twice the average tile's if no weight is above it.
        alpha : float, default=None
            Opacity of all tiles. None is 1, and on top of a slide an opacity that grows with the attention, so that the
            tissue shows where attention is no more than average: from 0.1 over 0.2 for the average tile to 0.75 for
            the highest attention, if this is twice the average or more. Colours that have opacities of their own keep
            them.
        highlight_label : str, default=None
            What the marked tiles are, for the legend. None takes what the display says.

        Returns
        -------
        display : TileAttentionDisplay
            This display.

        Raises
        ------
        ValueError
            If coordinates are NaN or infinite.
        """
        _check_places(self.coords)
        relative, label = relative_attention(self.attention), highlight_label or self.highlight_label
        self.ax_, is_new = make_axes(ax, (3.5, self._height())), ax is None
        ax, self.figure_ = self.ax_, self.ax_.figure
        if is_new:
            # Constrained layout goes by the size that the map had before, and cuts labels at the first drawing.
            self.figure_.set_layout_engine("compressed")
        if self.coords is None:
            self.tiles_ = draw_bars(ax, relative, self.highlight, label)
        else:
            tile_size = tile_size or self.tile_size or infer_tile_size(self.coords)
            colors = attention_colors(relative, cmap, norm)
            if self.thumbnail is not None:
                draw_thumbnail(ax, self.thumbnail, self.thumbnail_scale)
                if alpha is None:
                    fade(colors)
            self.tiles_ = draw_map(ax, colors, self.coords, tile_size, alpha)
            if self.highlight is not None:
                outline(ax, self.coords[self.highlight], tile_size, label)
            draw_scale(ax, *self._scale(coord_unit))
            draw_color_bar(ax, self.tiles_, *self._extent())
        self._write_title(ax)
        make_room(ax)
        return self

    def _scale(self, coord_unit):
        """Micrometres per unit, None if unknown, and the unit; what the display knows is of its own unit only."""
        unit = coord_unit or self.coord_unit
        known = self.um_per_unit if unit == self.coord_unit else None
        return known or UM.get(unit), unit

    def _extent(self):
        """Width and height of the map, in a unit of its own."""
        if self.thumbnail is not None:
            return self.thumbnail.shape[1::-1]
        return np.ptp(self.coords, axis=0) + (self.tile_size or infer_tile_size(self.coords))

    def _height(self):
        """Of a new figure, in inches, by the shape of the map and what stands around it."""
        if self.coords is None:
            return 3.0
        width, height = self._extent()
        around = 0.45 + 0.2 * len(self._title()) + 0.2 * (self.highlight is not None)
        drawn = 3.3 * height / width + 0.4 if is_wide(width, height) else 2.6 * height / width
        return float(np.clip(around + drawn, 2.0, 5.5))

    def _title(self, n_letters=None):
        """Lines of the title, with names of at most so many letters."""
        if self.patient is None:
            return []
        names = [str(self.patient)] if self.slide_name in (None, self.patient) else [str(self.patient), self.slide_name]
        if n_letters is not None:
            names = [shorten_middle(name, n_letters) for name in names]
        fits = n_letters is None or len("Patient ") + len(names[0]) <= n_letters
        return [f"Patient {names[0]}" if fits else names[0], *names[1:]]

    def _write_title(self, ax):
        # Letters of the title are wider than small ones.
        lines = self._title(max(int(0.7 * n_small_letters(ax)), SHORTEST_TITLE))
        ax.set_title("\n".join(lines), fontsize="medium")


def one_patient(table, patient):
    """Name and rows of the patient to draw."""
    if not isinstance(table, pd.DataFrame) or "attention" not in table.columns or table.index.nlevels != 2:
        raise TypeError(
            "attention must be a DataFrame with a column 'attention' and the index levels patient and tile, as "
            "FusionSurvivalAnalysis.tile_attention returns it."
        )
    patients = table.index.get_level_values(0).unique()
    if not len(patients):
        whose = "no patient has" if patient is None else f"patient={patient!r} lacks"
        raise ValueError(f"There are no tiles: {whose} the modality.")
    check_hashable("patient", patient)
    if patient is None and len(patients) > 1:
        raise ValueError(f"Name one of the {len(patients)} patients by patient=: {shorten(patients)}.")
    if patient is None:
        patient = patients[0]
    if patient not in patients:
        raise ValueError(
            f"patient={patient!r} has no tiles here; a patient may lack the modality. The patients of the table who "
            f"have tiles are: {shorten(patients)}."
        )
    tiles = table.loc[patient]
    weights = as_real_numbers(tiles["attention"], "The column 'attention' is")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"The column 'attention' of patient {patient!r} has weights that are negative, NaN or infinite, while "
            "parts of one are expected, as FusionSurvivalAnalysis.tile_attention returns them."
        )
    return patient, tiles


def one_slide(tiles, slide_name, patient):
    """Rows of the slide to draw; all rows if none is named and none would lie on top of others."""
    slides = list(tiles["slide"].unique()) if "slide" in tiles.columns else []
    if slide_name is None:
        if len(slides) > 1 and _has_coords(tiles):
            raise ValueError(
                f"The tiles of patient {patient!r} are of {len(slides)} slides, whose coordinates overlap: "
                f"{shorten(slides)}. Pass one of them as slide_name."
            )
        return tiles
    if not slides:
        raise ValueError(
            f"slide_name={slide_name!r}, but attention has no column 'slide', because the bags do not know their "
            "slides. Leave slide_name out, and pass the rows of one slide only."
        )
    if slide_name not in slides:
        raise ValueError(
            f"Patient {patient!r} has no tiles of slide {slide_name!r}, but of {shorten(slides)}. Pass slide_name, the "
            "name of the slide in the column 'slide' of attention."
        )
    return tiles[tiles["slide"] == slide_name]


def tiles_on_slide(attention, patient, slide, slide_name, tile_size, mpp):
    """Patient, rows, corners, side and size of the tiles that lie on an open slide; see `place_on_slide`."""
    patient, tiles = one_patient(attention, patient)
    if slide_name is None and "slide" in tiles.columns:
        slide_name = slide.name
    tiles = one_slide(tiles, slide_name, patient)
    return patient, tiles, *place_on_slide(tiles, slide, tile_size, mpp)


def _has_coords(tiles):
    return {"x", "y"} <= set(tiles.columns)


def place_on_slide(tiles, slide, tile_size, mpp):
    """Corners and side of tiles in pixels of level 0, and their size in pixels as the extractor saw them.

    Refuses tiles that do not lie on the slide.
    """
    if not _has_coords(tiles):
        raise ValueError("The tiles have no coordinates: attention lacks the columns 'x' and 'y'.")
    coords = tiles[["x", "y"]].to_numpy(dtype=float) / _coord_scale(tiles, slide)
    side, tile_size = _sizes_on_slide(tiles, slide, tile_size, mpp)
    # Other tools let tiles reach over the border; their corners are on the slide.
    outside = ~((coords >= 0) & (coords < slide.dimensions)).all(axis=1)
    if outside.any():
        tile, (x, y), (width, height) = tiles.index[outside][0], coords[outside][0], slide.dimensions
        raise ValueError(
            f"{outside.sum()} of {len(tiles)} tiles are not on slide {str(slide.path)!r}, which has {width} x {height} "
            f"pixels; the first is tile {tile} at x={x:g}, y={y:g}. If the patient has several slides, pass the rows "
            "of this one only; coordinates must be in pixels of level 0, unless a column 'coord_unit' says 'um'."
        )
    return coords, side, tile_size


def _sizes_on_slide(tiles, slide, tile_size, mpp):
    """Side of the tiles in pixels of level 0, and their size in pixels: what the table says, or else the arguments."""
    known_size, known_mpp = _one_value(tiles, "tile_size"), _one_value(tiles, "mpp")
    size, resolution = tile_size or known_size, mpp or known_mpp
    side = _known_side(tiles, slide)
    if side is None and known_size and known_mpp:
        side = level0_side(slide, known_size, known_mpp)
    if side is None:
        size = int(size or DEFAULT_SIZE)
        return level0_side(slide, size, resolution or DEFAULT_MPP), size
    if (tile_size or mpp) and size and resolution:
        asked = level0_side(slide, size, resolution)
        if abs(asked - side) > _SAME_SIDE * side:
            raise ValueError(
                f"tile_size={size:g} and mpp={resolution:g} make tiles of {asked} pixels on slide {str(slide.path)!r}, "
                f"but by the feature file they have {side}. Leave tile_size and mpp out to take those of the file; if "
                "the file is wrong, drop the columns 'tile_side', 'tile_size' and 'mpp' of attention."
            )
    return side, int(size or DEFAULT_SIZE)


def _known_side(tiles, slide):
    """Side of the tiles in pixels of level 0 by the column "tile_side", None if there is none."""
    side = _one_value(tiles, "tile_side")
    if side is None:
        return None
    return max(1, round(side / slide.mpp) if _unit_of(tiles) == "um" else round(side))


def _one_value(tiles, column):
    """The value of a column that tells something of all tiles, or None."""
    if column not in tiles.columns:
        return None
    values = tiles[column].dropna().unique()
    if len(values) > 1:
        raise ValueError(
            f"The tiles differ in {column!r}: {shorten(map(float, values))}. Pass the rows of one slide only."
        )
    return float(values[0]) if len(values) else None


def _coord_scale(tiles, slide):
    """Side of a pixel of level 0 in the unit of the coordinates, for each tile."""
    if "coord_unit" not in tiles.columns:
        return 1.0
    # Tiles without a unit are taken to be in pixels, as tables without the column are.
    units = tiles["coord_unit"].fillna("px")
    strange = units[~units.isin(COORD_UNITS)]
    if len(strange):
        raise ValueError(f"The column 'coord_unit' must be 'px' or 'um', got {strange.iloc[0]!r}.")
    is_um = (units == "um").to_numpy()[:, None]
    return np.where(is_um, slide.mpp if is_um.any() else 1.0, 1.0)


def _unit_of(tiles):
    units = tiles["coord_unit"].dropna().unique() if "coord_unit" in tiles.columns else []
    return units[0] if len(units) == 1 else "px"


def _um_per_pixel(tiles):
    """How many um a pixel of the coordinates is, by the size of the tiles in um and in pixels; None if unknown."""
    if not _has_coords(tiles):
        return None
    side, size, mpp = (_one_value(tiles, column) for column in ("tile_side", "tile_size", "mpp"))
    return size * mpp / side if side and size and mpp else None


def _um_per_level0_pixel(slide, tiles):
    try:
        return slide.mpp
    except ValueError:  # tiles whose side is known in pixels can be drawn all the same
        return _um_per_pixel(tiles)


def _check_places(coords):
    if coords is None or np.isfinite(coords).all():
        return
    n_unknown = np.count_nonzero(~np.isfinite(coords).all(axis=1))
    raise ValueError(
        f"The coordinates of {n_unknown} of {len(coords)} tiles are NaN or infinite, but a map needs "
        "them. Leave these tiles out, or draw bars: drop the columns 'x' and 'y' of attention, or pass coords=None."
    )


def _check_highlight(highlight, tiles, patient):
    if highlight is None:
        return None
    highlight = np.asarray(highlight)
    if highlight.dtype != bool and not np.isin(highlight, [0, 1]).all():
        raise ValueError(f"highlight must say True or False for each tile, got {highlight.ravel()[0]!r}, ....")
    highlight = highlight.astype(bool)
    if highlight.shape != (len(tiles),):
        raise ValueError(f"highlight has shape {highlight.shape}, but patient {patient!r} has {len(tiles)} tiles.")
    return highlight
