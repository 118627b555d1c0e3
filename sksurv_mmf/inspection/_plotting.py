"""What all displays share: matplotlib on demand, axes, colours, and the way through a pipeline."""

import numpy as np
from sklearn.pipeline import Pipeline

# Okabe and Ito's palette, which readers with colour vision deficiency can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", VERMILLION, "#F0E442"]
GREY = "0.45"


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
