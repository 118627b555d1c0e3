"""What all displays share: matplotlib on demand, axes, colours, and the way through a pipeline."""

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

# Okabe and Ito's palette, which readers with colour vision deficiency can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", VERMILLION, "#F0E442"]
GREY = "0.45"

EDGE = 3  # points to the edge of the figure that stay free


def import_pyplot():
    """Import matplotlib, which only the displays need."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib, which is not installed. Install it with: pip install 'sksurv_mmf[plot]'"
        ) from error
    return plt


def make_axes(ax, figsize):
    """Return the axes to draw on: those given, or a new figure's."""
    plt = import_pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


@dataclass(frozen=True)
class Room:
    """Locates axes inside their place in a figure so that what is written around them fits.

    A locator works at every drawing, so that a figure may be resized or be given a tight_layout later.

    Attributes
    ----------
    ax : matplotlib Axes
        The axes.
    outside : ndarray of shape (4,)
        What is drawn left of, below, right of and above the axes, in points, which the edges of the figure leave free.
    extra : ndarray of shape (4,)
        The part of it that margins between axes do not allow for.
    """

    ax: object
    outside: np.ndarray
    extra: np.ndarray

    def __call__(self, ax, renderer):
        """Position of the axes as matplotlib asks for it, in fractions of the figure."""
        from matplotlib.transforms import Bbox

        points = ax.figure.bbox.size * 72 / ax.figure.dpi
        low, high = ax.get_position(original=True).get_points() * points
        low = np.maximum(low + self.extra[:2], self.outside[:2] + EDGE)
        high = np.minimum(high - self.extra[2:], points - self.outside[2:] - EDGE)
        return Bbox([low / points, np.maximum(high, low + 1) / points])

    def get_subplotspec(self):
        """Place in a grid, which tight_layout asks the locator for."""
        return self.ax.get_subplotspec()


def make_room(ax, *, above=0, below=0):
    """Shrink axes by what is written above and below them, in points, in a figure whose layout engine does not."""
    if ax.figure.get_layout_engine() is not None or ax.get_axes_locator() is not None:
        return
    inner, outer = ax.get_window_extent(), ax.get_tightbbox()
    outside = 72 / ax.figure.dpi * np.concatenate([inner.min - outer.min, outer.max - inner.max])
    spec = ax.get_subplotspec()
    towards_edge = spec is None or spec.is_last_row(), spec is None or spec.is_first_row()
    extra = np.array([0, 0 if towards_edge[0] else below, 0, 0 if towards_edge[1] else above])
    ax.set_axes_locator(Room(ax, outside, extra))


def legend_above(ax, **kwargs):
    """Write the legend above the axes, where no curve runs, and return its height in points."""
    legend = ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), frameon=False, fontsize="small", **kwargs)
    return legend.get_window_extent().height * 72 / ax.figure.dpi


def despine(ax):
    """Remove the frame lines that carry no scale."""
    ax.spines[["top", "right"]].set_visible(False)


def format_p(p):
    """Write a p-value as papers do."""
    if np.isnan(p):
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def last_step(estimator, X):
    """Return the final estimator of a pipeline and X as that estimator sees it."""
    if isinstance(estimator, Pipeline):
        return estimator[-1], (estimator[:-1].transform(X) if len(estimator) > 1 else X)
    return estimator, X
