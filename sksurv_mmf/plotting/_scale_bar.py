"""A bar that tells how long a piece of tissue is."""

import numpy as np

MICRO = "\N{MICRO SIGN}"
# Part of the width that the bar takes at most.
LARGEST_PART = 0.3
BELOW = 6  # points from the axes down to the bar


def round_length(longest):
    """The longest of the lengths 1, 2, 5, 10, 20, 50 ... and 0.5, 0.2 ... that is not longer than this."""
    power = 10.0 ** np.floor(np.log10(longest))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= longest * (1 + 1e-9))


def length_label(length):
    """Write a length in um with its unit."""
    return f"{length:g} {MICRO}m" if length < 1000 else f"{length / 1000:g} mm"


def draw_scale_bar(ax, um_per_unit):
    """Draw a scale bar below axes whose x is in units of so many um; it follows when limits are set anew.

    Returns
    -------
    bar, label : matplotlib Line2D and Annotation
        The bar, from the left of the axes, and its length beside it.
    """
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -BELOW / 72, ax.figure.dpi_scale_trans)
    # Added as an artist, because a line would count among the data.
    color = ax.title.get_color()  # that of text, which style sheets may set to white
    bar = Line2D([], [], color=color, linewidth=2, solid_capstyle="butt", clip_on=False)
    bar.set_transform(ax.get_xaxis_transform() + down)
    ax.add_artist(bar)
    beside = {"xycoords": bar.get_transform(), "textcoords": "offset points", "xytext": (4, 0)}
    label = ax.annotate("", (0, 0), color=color, va="center", fontsize="small", annotation_clip=False, **beside)

    def fit(ax):
        left, right = ax.get_xlim()
        length = round_length(LARGEST_PART * abs(right - left) * um_per_unit)
        end = left + np.sign(right - left) * length / um_per_unit
        bar.set_data([left, end], [0, 0])
        label.xy = end, 0
        label.set_text(length_label(length))

    fit(ax)
    ax.callbacks.connect("xlim_changed", fit)
    return bar, label
