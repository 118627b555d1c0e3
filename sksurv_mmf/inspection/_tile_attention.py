"""Where in a patient's slides the attention lies."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..utils._validation import shorten
from ._plotting import GREY, VERMILLION, despine, import_pyplot, last_step, make_axes


def infer_tile_size(coords):
    """Side of the squares that tiles at `coords` (n_tiles, 2) fill: the usual distance to the nearest other tile."""
    coords = np.unique(coords, axis=0)
    if len(coords) < 2:
        return 1.0
    # The larger of the two differences, so that a grid gives its spacing and squares of this side do not overlap.
    distance, _ = cKDTree(coords).query(coords, k=2, p=np.inf)
    return float(np.median(distance[:, 1]))


class TileAttentionDisplay:
    """Attention of the tiles of one patient, as a map.

    Every tile is a square at its place in the slide, coloured by its weight in units of the average tile's: 1 is what a
    mean over tiles would give it. Tiles without coordinates are shown as bars from the highest to the lowest weight.
    Create it with :meth:`from_estimator` or :meth:`from_predictions`.

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

    def __init__(self, attention, coords=None, *, highlight=None, patient=None):
        self.attention = attention
        self.coords = coords
        self.highlight = highlight
        self.patient = patient

    @classmethod
    def from_estimator(cls, estimator, X, *, patient=None, modality=None, highlight=None, coord_unit="px", ax=None):
        """Compute the weights of one patient's tiles and draw them.

        Parameters
        ----------
        estimator : FusionSurvivalAnalysis or Pipeline
            Fitted estimator, or a Pipeline that ends with one.
        X : DataFrame
            Patients.
        patient : object, default=None
            The patient, as in the index of X. Not needed if X has a single row.
        modality : str, default=None
            Name of the bag modality. Not needed if there is one only.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Tiles to mark, for example those that a pathologist annotated.
        coord_unit : str, default="px"
            Unit of the coordinates for the axis labels.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : TileAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the patient is not in X or has no tiles.
        """
        if patient is not None and patient not in X.index:
            raise ValueError(f"patient={patient!r} is not in the index of X, which has {shorten(X.index)}.")
        estimator, X = last_step(estimator, X if patient is None else X.loc[[patient]])
        table = estimator.tile_attention(X, modality)
        return cls.from_predictions(table, patient=patient, highlight=highlight, coord_unit=coord_unit, ax=ax)

    @classmethod
    def from_predictions(cls, attention, *, patient=None, highlight=None, coord_unit="px", ax=None):
        """Draw given weights.

        Parameters
        ----------
        attention : DataFrame
            Table as `tile_attention` returns it: index levels "patient" and "tile", column "attention" and, for a map,
            "x" and "y".
        patient : object, default=None
            The patient to draw. Not needed if the table has one only.
        highlight : array-like of bool, shape (n_tiles,), default=None
            Tiles to mark, for example those that a pathologist annotated.
        coord_unit : str, default="px"
            Unit of the coordinates for the axis labels.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : TileAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the patient has no tiles in the table, or if highlight has another length.
        """
        import_pyplot()
        patient, tiles = _one_patient(attention, patient)
        if highlight is not None:
            highlight = np.asarray(highlight, dtype=bool)
            if highlight.shape != (len(tiles),):
                raise ValueError(
                    f"highlight has shape {highlight.shape}, but patient {patient!r} has {len(tiles)} tiles."
                )
        coords = tiles[["x", "y"]].to_numpy(dtype=float) if {"x", "y"} <= set(tiles.columns) else None
        display = cls(tiles["attention"].to_numpy(dtype=float), coords, highlight=highlight, patient=patient)
        return display.plot(ax=ax, coord_unit=coord_unit)

    def plot(self, ax=None, *, tile_size=None, coord_unit="px", cmap="viridis", norm=None):
        """Draw the tiles.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        tile_size : float, default=None
            Side of a tile in the unit of the coordinates. None infers it from the distances between tiles.
        coord_unit : str, default="px"
            Unit of the coordinates for the axis labels.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the weights.
        norm : str or matplotlib Normalize, default=None
            Scale of the colours; "log" tells small weights apart. None is linear from zero.

        Returns
        -------
        display : TileAttentionDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 3.0))
        self.figure_ = ax.figure
        relative = self.attention * len(self.attention)
        if self.coords is None:
            self.tiles_ = _draw_bars(ax, relative, self.highlight)
        else:
            tile_size = infer_tile_size(self.coords) if tile_size is None else tile_size
            self.tiles_ = _draw_map(ax, relative, self.coords, tile_size, cmap, norm)
            if self.highlight is not None:
                _outline(ax, self.coords[self.highlight], tile_size)
            ax.set(xlabel=f"x ({coord_unit})", ylabel=f"y ({coord_unit})")
        if self.patient is not None:
            ax.set_title(f"Patient {self.patient}", fontsize="medium")
        return self


def _one_patient(table, patient):
    """Name and rows of the patient to draw."""
    if not isinstance(table, pd.DataFrame) or "attention" not in table.columns or table.index.nlevels != 2:
        raise TypeError(
            "attention must be a DataFrame with a column 'attention' and the index levels patient and tile, as "
            "FusionSurvivalAnalysis.tile_attention returns it."
        )
    patients = table.index.get_level_values(0).unique()
    if patient is None and len(patients) == 1:
        patient = patients[0]
    if patient not in patients:
        raise ValueError(
            f"patient={patient!r} has no tiles here; a patient may lack the modality. The patients of the table who "
            f"have tiles are: {shorten(patients) or 'none'}."
        )
    return patient, table.loc[patient]


def _squares(coords, tile_size):
    corners = tile_size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return coords[:, None, :] + corners  # (n_tiles, 4, 2)


def _draw_map(ax, relative, coords, tile_size, cmap, norm):
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    # The edge in the colour of the face closes the hairlines between neighbours.
    tiles = PolyCollection(_squares(coords, tile_size), array=relative, cmap=cmap, norm=norm, edgecolor="face", lw=0.2)
    if norm is None:
        tiles.set_clim(0, max(relative.max(), 1))
    ax.add_collection(tiles)
    ax.autoscale_view()
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.locator_params(nbins=5)
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
