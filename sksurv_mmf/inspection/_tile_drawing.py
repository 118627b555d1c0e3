"""Tiles as squares on a map, or as bars."""

import textwrap

import numpy as np
from scipy.spatial import cKDTree

from ..plotting._labels import NARROWEST, n_small_letters
from ..plotting._plotting import GREY, VERMILLION, despine, legend_above
from ..plotting._scale_bar import draw_scale_bar

# Opacity over a slide of a tile without attention, of the average one, and of one with the most attention if this is at
# least CLEAR times the average: the tissue shows where attention is no more than average.
OPACITY, CLEAR = (0.1, 0.2, 0.75), 2.0
# A map that is so many times wider than high has its bar of colours below, and so many points below it: under a scale
# bar, or under the numbers and the label of an axis.
WIDE, BELOW_BAR, BELOW_NUMBERS = 1.7, 20, 40
FEW_DECADES = 2  # of a logarithmic bar, on which numbers at 1, 2 and 5 do not touch
MARK = 4  # letters that are as wide as the mark of a legend


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
    """Colours of weights: a matplotlib ScalarMappable, linear from zero unless `norm` says otherwise.

    It reaches twice the average at least: where all tiles are alike, all have the colour of the middle, not of the top.
    """
    from matplotlib.cm import ScalarMappable

    colors = ScalarMappable(norm, cmap)
    colors.set_array(relative)
    if norm is None:
        colors.set_clim(0, max(relative.max(), CLEAR))
    return colors


def draw_thumbnail(ax, thumbnail, scale):
    """Draw the image of a slide, whose pixels are `scale` units of the coordinates wide."""
    height, width = thumbnail.shape[:2]
    ax.imshow(thumbnail, extent=(0, width * scale, height * scale, 0))


def fade(colors):
    """Let the opacity of colours grow with the attention; a colour map that has opacities of its own keeps them."""
    from matplotlib.colors import ListedColormap

    rgba = colors.cmap(np.arange(colors.cmap.N))
    if (rgba[:, 3] < 1).any():
        return
    colors.autoscale_None()
    place = (np.arange(colors.cmap.N) + 0.5) / colors.cmap.N
    try:
        value = colors.norm.inverse(place)
    except ValueError:  # of steps, as of BoundaryNorm
        value = place * max(colors.norm.vmax, CLEAR)
    rgba[:, 3] = np.interp(value, [0, 1, max(colors.norm.vmax, CLEAR)], OPACITY)
    colors.set_cmap(ListedColormap(rgba, name=colors.cmap.name))


def draw_map(ax, colors, coords, tile_size, alpha):
    """Draw tiles as squares of their colours, in axes whose y grows downwards."""
    from matplotlib.collections import PolyCollection

    # The edge in the colour of the face closes the hairlines between neighbours; edges of transparent tiles would show.
    is_opaque = alpha is None and colors.cmap(np.arange(colors.cmap.N))[:, 3].min() == 1
    edge = {"edgecolor": "face", "lw": 0.2} if is_opaque else {"edgecolor": "none"}
    look = {"array": colors.get_array(), "cmap": colors.cmap, "norm": colors.norm, "alpha": alpha}
    tiles = PolyCollection(_squares(coords, tile_size), **look, **edge)
    ax.add_collection(tiles)
    ax.autoscale_view()
    ax.set_aspect("equal")
    # Slides count rows from the top, and a thumbnail below has turned the axis already.
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    return tiles


def outline(ax, coords, tile_size, label):
    """Draw the borders of marked tiles, and say in a legend above the map what they are."""
    from matplotlib.collections import PolyCollection

    look = {"facecolor": "none", "edgecolor": VERMILLION, "lw": 1.2, "label": wrap_mark(ax, label)}
    ax.add_collection(PolyCollection(_squares(coords, tile_size), **look))
    if len(coords):
        legend_above(ax, handlelength=1)


def wrap_mark(ax, label):
    """What marked tiles are, in lines that are not longer than the axes."""
    return textwrap.fill(str(label), max(n_small_letters(ax) - MARK, NARROWEST))


def draw_scale(ax, um_per_unit, coord_unit):
    """Replace the axes by a scale bar; without a known scale, the numbers of the axes are all that tells sizes."""
    if um_per_unit is None:
        ax.set(xlabel=f"x ({coord_unit})", ylabel=f"y ({coord_unit})")
        width, height = (np.ptp(limits) for limits in (ax.get_xlim(), ax.get_ylim()))
        # Five digits each, in a column of a journal, of which a tall map has a part only; a low one has few lines.
        ax.locator_params(axis="x", nbins=1 if height > 3 * width else 3)
        ax.locator_params(axis="y", nbins=2 if width > 3 * height else 5)
        return
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.spines[:].set_visible(False)
    draw_scale_bar(ax, um_per_unit)


def is_wide(width, height):
    """Whether a map is so much wider than high that its bar of colours is below it."""
    return width > WIDE * height


def draw_color_bar(ax, tiles, width, height):
    """Draw the bar of colours beside a map of this size, as high as it is; below a map that is wide and low."""
    from matplotlib.colors import LogNorm
    from matplotlib.transforms import ScaledTranslation

    if is_wide(width, height):
        points = BELOW_NUMBERS if ax.get_xlabel() else BELOW_BAR
        down = ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)
        place, orientation = ax.inset_axes([0, -0.07, 1, 0.07], transform=ax.transAxes + down), "horizontal"
    else:
        thickness = max(0.05, 0.03 * height / width)  # in widths of the map, of which a tall one has little
        place, orientation = ax.inset_axes([1 + 0.6 * thickness, 0, thickness, 1]), "vertical"
    bar = ax.figure.colorbar(tiles, cax=place, orientation=orientation)
    bar.set_label("Attention (1 = average tile)", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    if isinstance(tiles.norm, LogNorm):
        _number_log(bar)


def _number_log(bar):
    """Number a logarithmic bar of few decades at 1, 2 and 5; by default only powers of ten have a number."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    n_decades = np.log10(bar.norm.vmax / bar.norm.vmin)
    bar.set_ticks(LogLocator(subs=(1, 2, 5) if n_decades < FEW_DECADES else (1,)), minor=False)
    bar.formatter = FormatStrFormatter("%g")
    bar.minorticks_off()


def draw_bars(ax, relative, highlight, label):
    """Draw the weights of tiles without places, from the highest to the lowest."""
    from matplotlib.patches import Patch

    order = np.argsort(-relative, kind="stable")
    colors = GREY if highlight is None else np.where(highlight[order], VERMILLION, GREY)
    width = 0.8 if len(relative) <= 30 else 1.0  # gaps between many bars would only flicker
    bars = ax.bar(np.arange(1, len(relative) + 1), relative[order], width=width, color=colors)
    ax.axhline(1, color=ax.title.get_color(), linewidth=0.8, linestyle=":")
    ax.set(
        xlim=(0.5, len(relative) + 0.5),
        xlabel="Tile, from highest to lowest attention",
        ylabel="Attention (1 = average tile)",
    )
    if highlight is not None and highlight.any():
        handle = Patch(color=VERMILLION, label=wrap_mark(ax, label))
        ax.legend(handles=[handle], loc="upper right", frameon=False, fontsize="small")
    despine(ax)
    return bars


def _squares(coords, tile_size):
    corners = tile_size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return coords[:, None, :] + corners  # (n_tiles, 4, 2)
