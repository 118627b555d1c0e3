"""Where in a patient's slides the attention lies."""

import os
import textwrap
from numbers import Real

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..bags._checks import COORD_UNITS
from ..plotting._plotting import GREY, VERMILLION, despine, import_pyplot, make_axes
from ..predictions._ask import check_frame, check_hashable, check_model, unwrap
from ..predictions._checks import as_real_numbers
from ..slides._slide import Slide
from ..slides._tiling import KNOWN_SCALE, level0_side
from ..utils._sklearn import validate_params
from ..utils._validation import shorten

# Tiles of which nothing is known, neither from files nor from the user: those of `extract_features` by default.
DEFAULT_SIZE, DEFAULT_MPP = 512, 0.5
# Tools that go by magnification have tiles that are off by this, because pixels at 40x are of 0.24 to 0.26 um.
_SAME_SIDE = 0.1


def infer_tile_size(coords):
    """Side of the squares that tiles at `coords` (n_tiles, 2) fill: the usual distance to the nearest other tile."""
    # Two tiles at one place, as of two slides, would have the distance zero.
    coords = np.unique(coords, axis=0)
    if len(coords) < 2:
        return 1.0
    # The larger of the two differences, so that a grid gives its spacing and squares of this side do not overlap.
    distance, _ = cKDTree(coords).query(coords, k=2, p=np.inf)
    # Tiles that stand alone are far from others, which would move a mean.
    return float(np.median(distance[:, 1]))


def relative_attention(weights):
    """Weights in units of the average tile's."""
    # In a table from elsewhere all weights may be zero.
    return weights / max(weights.mean(), np.finfo(float).tiny)


def attention_colors(relative, cmap, norm):
    """Colours of weights: a matplotlib ScalarMappable, linear from zero unless `norm` says otherwise."""
    from matplotlib.cm import ScalarMappable

    colors = ScalarMappable(norm, cmap)
    colors.set_array(relative)
    if norm is None:
        colors.set_clim(0, max(relative.max(), 1))
    return colors


class TileAttentionDisplay:
    """Attention of the tiles of one patient, as a map.

    Every tile is a square at its place in the slide, coloured by its weight in units of the average tile's: 1 is what a
    mean over tiles would give it. Tiles without coordinates are shown as bars from the highest to the lowest weight.
    Create it with :meth:`from_estimator` or :meth:`from_predictions`, or with :meth:`from_slide` on top of the slide.

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
        Name of the slide for the title.

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
    ):
        self.attention = attention
        self.coords = coords
        self.highlight = highlight
        self.patient = patient
        self.tile_size = tile_size
        self.thumbnail = thumbnail
        self.thumbnail_scale = thumbnail_scale
        self.slide_name = slide_name

    @classmethod
    def from_estimator(
        cls, estimator, X, *, patient=None, modality=None, slide_name=None, highlight=None, coord_unit=None, ax=None
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
        coord_unit : str, default=None
            Unit of the coordinates for the axis labels. None takes that of the column "coord_unit", or "px".
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
        table = model.tile_attention(X, modality)
        return cls.from_predictions(
            table, patient=patient, slide_name=slide_name, highlight=highlight, coord_unit=coord_unit, ax=ax
        )

    @classmethod
    def from_predictions(cls, attention, *, patient=None, slide_name=None, highlight=None, coord_unit=None, ax=None):
        """Draw given weights.

        Parameters
        ----------
        attention : DataFrame
            Table as `tile_attention` returns it: index levels "patient" and "tile", column "attention" and, where they
            are known, "slide" and, for a map, "x" and "y" with their "coord_unit" and "tile_side".
        patient : object, default=None
            The patient to draw. Not needed if the table has one only.
        slide_name : str, default=None
            The slide to draw, as in the column "slide"; 1 is then the average of its tiles. Needed for a map if the
            patient has several, because their coordinates overlap.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Which of the tiles that are drawn to mark, for example those that a pathologist annotated.
        coord_unit : str, default=None
            Unit of the coordinates for the axis labels. None takes that of the column "coord_unit", or "px".
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
        display = cls(
            tiles["attention"].to_numpy(dtype=float),
            tiles[["x", "y"]].to_numpy(dtype=float) if _has_coords(tiles) else None,
            highlight=_check_highlight(highlight, tiles, patient),
            patient=patient,
            tile_size=_one_value(tiles, "tile_side"),
            slide_name=slide_name,
        )
        return display.plot(ax=ax, coord_unit=coord_unit or _unit_of(tiles))

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
        display = cls(
            tiles["attention"].to_numpy(dtype=float),
            coords,
            highlight=highlight,
            patient=patient,
            tile_size=side,
            thumbnail=thumbnail,
            thumbnail_scale=scale,
            slide_name=slide_name,
        )
        return display.plot(ax=ax)

    def plot(self, ax=None, *, tile_size=None, coord_unit="px", cmap="viridis", norm=None, alpha=None):
        """Draw the tiles.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        tile_size : float, default=None
            Side of a tile in the unit of the coordinates. None takes that of the display, or infers it.
        coord_unit : str, default="px"
            Unit of the coordinates for the axis labels.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the weights.
        norm : str or matplotlib Normalize, default=None
            Scale of the colours; "log" tells small weights apart. None is linear from zero.
        alpha : float, default=None
            Opacity of the tiles. None is 0.55 on top of a slide and 1 otherwise.

        Returns
        -------
        display : TileAttentionDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 3.0))
        self.figure_ = ax.figure
        relative = relative_attention(self.attention)
        if self.coords is None:
            self.tiles_ = _draw_bars(ax, relative, self.highlight)
        else:
            tile_size = tile_size or self.tile_size or infer_tile_size(self.coords)
            if self.thumbnail is not None:
                _draw_thumbnail(ax, self.thumbnail, self.thumbnail_scale)
                alpha = 0.55 if alpha is None else alpha
            self.tiles_ = _draw_map(ax, relative, self.coords, tile_size, cmap, norm, alpha)
            if self.highlight is not None:
                _outline(ax, self.coords[self.highlight], tile_size)
            ax.set(xlabel=f"x ({coord_unit})", ylabel=f"y ({coord_unit})")
        if self.patient is not None:
            ax.set_title(_title(self.patient, self.slide_name), fontsize="medium")
        return self


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


def _title(patient, slide_name):
    if slide_name in (None, patient):
        return f"Patient {patient}"
    # Beside the colour bar, in a column of a journal, there is room for a barcode but not for the rest of such a name.
    return "\n".join([f"Patient {patient}", *textwrap.wrap(str(slide_name), 24, break_on_hyphens=False)])


def _draw_thumbnail(ax, thumbnail, scale):
    height, width = thumbnail.shape[:2]
    ax.imshow(thumbnail, extent=(0, width * scale, height * scale, 0))


def _squares(coords, tile_size):
    corners = tile_size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return coords[:, None, :] + corners  # (n_tiles, 4, 2)


def _draw_map(ax, relative, coords, tile_size, cmap, norm, alpha):
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    colors = attention_colors(relative, cmap, norm)
    # The edge in the colour of the face closes the hairlines between neighbours; edges of transparent tiles would show.
    edge = {"edgecolor": "face", "lw": 0.2} if alpha is None else {"edgecolor": "none"}
    tiles = PolyCollection(
        _squares(coords, tile_size), array=relative, cmap=colors.cmap, norm=colors.norm, alpha=alpha, **edge
    )
    ax.add_collection(tiles)
    ax.autoscale_view()
    ax.set_aspect("equal")
    # Slides count rows from the top, and a thumbnail below has turned the axis already.
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.locator_params(axis="x", nbins=3)  # five digits each, in a column of a journal
    ax.locator_params(axis="y", nbins=5)
    bar = ax.figure.colorbar(tiles, ax=ax, label="Attention (1 = average tile)", shrink=0.85)
    if isinstance(tiles.norm, LogNorm):
        # By default only powers of ten have a number, and weights rarely span several.
        bar.set_ticks(LogLocator(subs=(1, 2, 5)), minor=False)
        bar.formatter = FormatStrFormatter("%g")
        bar.minorticks_off()
    return tiles


def _outline(ax, coords, tile_size):
    from matplotlib.collections import PolyCollection

    ax.add_collection(PolyCollection(_squares(coords, tile_size), facecolor="none", edgecolor=VERMILLION, lw=1.2))


def _draw_bars(ax, relative, highlight):
    order = np.argsort(-relative, kind="stable")
    colors = GREY if highlight is None else np.where(highlight[order], VERMILLION, GREY)
    width = 0.8 if len(relative) <= 30 else 1.0  # gaps between many bars would only flicker
    bars = ax.bar(np.arange(1, len(relative) + 1), relative[order], width=width, color=colors)
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set(
        xlim=(0.5, len(relative) + 0.5),
        xlabel="Tile, from highest to lowest attention",
        ylabel="Attention (1 = average tile)",
    )
    despine(ax)
    return bars
