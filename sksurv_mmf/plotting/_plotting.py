"""What all displays share: matplotlib on demand, axes, colours."""

from dataclasses import dataclass

import numpy as np

from ..utils._optional import import_optional

# Okabe and Ito's palette, which readers with colour vision deficiency can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", VERMILLION, "#F0E442"]
GREY = "0.45"

EDGE = 3  # points that stay free to the edge of the figure and to neighbours


def import_pyplot():
    """Import matplotlib, which only the displays need."""
    return import_optional("matplotlib.pyplot", "plot", "Drawing")


def make_axes(ax, figsize):
    """Return the axes to draw on: those given, or a new figure's."""
    plt = import_pyplot()
    if ax is not None and not hasattr(ax, "get_xlabel"):
        raise TypeError(f"ax must be matplotlib Axes or None, got {type(ax).__name__}: {ax!r:.80}.")
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def check_colors(color, n_colors):
    """Refuse fewer colours than things to draw; the name of one would be read as a list of letters."""
    if isinstance(color, str) or len(color) < n_colors:
        raise ValueError(f"color must be a list of {n_colors} colors, got {color!r}.")
    return color


@dataclass(frozen=True)
class Room:
    """Locates axes so that what is written around them stays within the figure and off their neighbours.

    A locator works at every drawing, so that a figure may be resized or be given a tight_layout later.

    Attributes
    ----------
    ax : matplotlib Axes
        The axes.
    outside : ndarray of shape (4,)
        How far what belongs to the axes reaches out left, below, right and above, in points.
    """

    ax: object
    outside: np.ndarray

    def __call__(self, ax, renderer):
        """Position of the axes as matplotlib asks for it, in fractions of the figure."""
        from matplotlib.transforms import Bbox

        points = ax.figure.bbox.size * 72 / ax.figure.dpi
        low, high = ax.get_position(original=True).get_points() * points
        floor, ceiling = self._limits(points, high)
        low = np.maximum(low, floor + self.outside[:2])
        high = np.minimum(high, ceiling - self.outside[2:])
        return Bbox([low / points, np.maximum(high, low + 1) / points])

    def _limits(self, points, high):
        """Where the neighbours to the left and below end, where one's own place ends; or the edges of the figure."""
        left, below = EDGE, EDGE
        right, above = points - EDGE
        spec = self.get_subplotspec()
        if spec is not None:
            _, tops, _, rights = spec.get_gridspec().get_grid_positions(self.ax.figure)
            left = left if spec.is_first_col() else rights[spec.colspan.start - 1] * points[0] + EDGE
            below = below if spec.is_last_row() else tops[spec.rowspan.stop] * points[1] + EDGE
            right = right if spec.is_last_col() else high[0]
            above = above if spec.is_first_row() else high[1]
        return np.array([left, below]), np.array([right, above])

    def get_subplotspec(self):
        """Place in a grid, which tight_layout asks the locator for."""
        return self.ax.get_subplotspec()


def make_room(ax):
    """Shrink axes by what is written around them, in a figure that has no layout engine to do it."""
    if ax.figure.get_layout_engine() is None and ax.get_axes_locator() is None:
        inner, outer = ax.get_window_extent(), ax.get_tightbbox()
        reach = np.concatenate([inner.min - outer.min, outer.max - inner.max])
        ax.set_axes_locator(Room(ax, 72 / ax.figure.dpi * reach))


def legend_above(ax, *, right=False, reach=0, **kwargs):
    """Write the legend above the axes, where no curve runs.

    To the right where long labels stand beside the axes; otherwise it begins `reach` points left of them.
    """
    from matplotlib.transforms import ScaledTranslation

    side, at = ("right", 1.02) if right else ("left", 0.0)
    place = ax.transAxes + ScaledTranslation(-reach / 72, 0, ax.figure.dpi_scale_trans)
    kwargs |= {"frameon": False, "fontsize": "small", "borderaxespad": 0.5 if right else 0}
    legend = ax.legend(loc=f"lower {side}", bbox_to_anchor=(at, 1.0), bbox_transform=place, **kwargs)
    # Titles, of others later too, rise above axes within the axes, but not above legends.
    up = ScaledTranslation(0, legend.get_window_extent().height / ax.figure.dpi, ax.figure.dpi_scale_trans)
    ax.inset_axes([0, 1, 1, 0.001], transform=ax.transAxes + up).set_axis_off()


def despine(ax):
    """Remove the frame lines that carry no scale."""
    ax.spines[["top", "right"]].set_visible(False)


def p_digits(p):
    """Write a p-value as in a column of a table."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def format_p(p):
    """Write a p-value as papers do."""
    if np.isnan(p):
        return "p not defined"
    return f"p {p_digits(p)}" if p < 0.001 else f"p = {p_digits(p)}"
