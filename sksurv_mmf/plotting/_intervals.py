"""A mean with its interval and the folds that it is the mean of."""

import numpy as np


def draw_interval(ax, row, mean, limits, folds, color):
    """Draw a mean as a diamond with a bar from limit to limit, and below it each fold as a dot if there are several."""
    look = {"color": color, "markeredgecolor": ax.title.get_color()}  # the edge keeps light colours visible
    if len(folds) > 1:
        ax.plot(folds, np.full(len(folds), row + 0.25), "o", markersize=3.2, markeredgewidth=0.3, **look)
    lower, upper = limits
    # Of equal values the mean may be beyond the limits by rounding.
    xerr = [[max(mean - lower, 0)], [max(upper - mean, 0)]]
    ax.errorbar(mean, row, xerr=xerr, fmt="D", markersize=5, capsize=2.5, markeredgewidth=0.5, **look)
