"""Text that fits, however long the names are and however narrow the axes."""

import textwrap
from itertools import chain, zip_longest

import numpy as np

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# Part of the axes' width, as they are before names are written beside them, that these may take.
PART_OF_NAMES = 0.45
# Names that would read alike may be so many times longer than others, or so many letters where others are very short.
LONGER, FEWEST = 1.5, 12
# In small letters: what is free to the left of axes before anything is written there, from one number of the x axis to
# the next, and the narrowest label.
MARGIN, TICK, NARROWEST = 6, 9, 27


def shorten_middle(name, n_letters):
    """A name of at most so many letters; of a longer one the middle is left out, because names differ at the ends."""
    name = str(name)
    if len(name) <= n_letters:
        return name
    n_letters = max(n_letters, 1)  # very narrow axes have room for less than nothing
    n_last = (n_letters - 1) // 2
    return name[: n_letters - 1 - n_last] + ELLIPSIS + name[len(name) - n_last :]


def shorten_apart(names, n_letters):
    """Names of at most so many letters; those that would read alike are `LONGER` and show where they differ."""
    names = [str(name) for name in names]
    alike, shown = {}, {}
    for name in dict.fromkeys(names):
        alike.setdefault(shorten_middle(name, n_letters), []).append(name)
    for short, group in alike.items():
        shown |= {group[0]: short} if len(group) == 1 else dict(zip(group, _tell_apart(group, n_letters)))
    return [shown[name] for name in names]


def _tell_apart(names, n_letters):
    """Different short forms of different names: a longer beginning and end, or else the letters where they differ."""
    longest = max(int(LONGER * n_letters), FEWEST)
    first = next(at for at, letters in enumerate(zip_longest(*names)) if len(set(letters)) > 1)
    n_seen = longest // 2
    n_begin = longest - n_seen - 2  # beside two ellipses
    longer = ([shorten_middle(name, n) for name in names] for n in range(n_letters + 1, longest + 1))
    starts = range(max(first - n_seen // 4, n_begin), max(map(len, names)))
    windows = ([_excerpt(name, n_begin, start, n_seen) for name in names] for start in starts)
    for short in chain(longer, windows):
        if len(set(short)) == len(names):
            return short
    # They differ at places that no excerpt has together.
    return [f"{shorten_middle(name, n_letters)} ({number})" for number, name in enumerate(names, 1)]


def _excerpt(name, n_begin, start, n_seen):
    end = start + n_seen
    return name[:n_begin] + ELLIPSIS + name[start:end] + (ELLIPSIS if end < len(name) else "")


def points(size):
    """Points of a size of text such as "small"."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(size=size).get_size_in_points()


def n_small_letters(ax, side="width"):
    """About how many letters of small text are as long as the width or height of the axes."""
    letter = 0.55 * points("small")
    return int(getattr(ax.get_window_extent(), side) * 72 / ax.figure.dpi / letter)


def label_below(ax, text, n_letters):
    """Label the x axis in lines of so many small letters. Lines that are longer than the axes end where these end."""
    place = "center" if n_letters >= NARROWEST else "right"
    ax.set_xlabel(textwrap.fill(text, max(n_letters, NARROWEST)), loc=place, fontsize="small")


def name_rows(ax, names, xlabel, ends=None):
    """Name the rows of a figure, and write below it what the x axis shows.

    Names that are too long for the axes are shortened; `ends` are what stands behind them.

    Returns
    -------
    n_letters : int
        About how many small letters are as wide as what is left of the axes.
    """
    ends = [""] * len(names) if ends is None else ends
    width = n_small_letters(ax)
    names = shorten_apart(names, max(int(PART_OF_NAMES * width) - max(map(len, ends)), 8))
    labels = [name + end for name, end in zip(names, ends)]
    longest = max(map(len, labels))
    left = width - longest + MARGIN
    ax.set_yticks(range(len(labels)), labels, fontsize="small")
    label_below(ax, xlabel, left)
    ax.locator_params(axis="x", nbins=int(np.clip(left / TICK, 2, 6)))
    return left


def label_legend(n_letters, labels, title=None):
    """Keywords of a small legend that is about so many letters wide."""
    column = max(map(len, labels)) + 5  # the coloured mark and the space between columns
    look = {"ncols": int(np.clip(n_letters // column, 1, len(labels))), "handlelength": 1, "columnspacing": 1}
    if title is None:
        return look
    title = textwrap.fill(title, max(n_letters, 16))
    return {**look, "title": title, "title_fontsize": "small", "alignment": "left"}
