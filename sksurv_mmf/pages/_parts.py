"""What a page is made of. Values only: numbers and HTML are given to them by `render`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

TEXT_KINDS = ("text", "note", "code", "authors")


@dataclass(frozen=True, eq=False)
class Text:
    """Paragraphs, which empty lines separate.

    Parameters
    ----------
    text : str
        Plain text; what looks like HTML is shown as it is.
    kind : {"text", "note", "code", "authors"}, default="text"
        A "note" is small print. "code" keeps its lines and spaces. "authors" marks what the authors of a study have
        yet to write.

    Raises
    ------
    ValueError
        If `kind` is another one.

    Examples
    --------
    >>> from sksurv_mmf.pages import Text, render
    >>> "p &lt; 0.05" in render("Study", [Text("p < 0.05")])
    True
    """

    text: str
    kind: str = "text"

    def __post_init__(self):
        if self.kind not in TEXT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, TEXT_KINDS))}, got {self.kind!r}.")


@dataclass(frozen=True, eq=False)
class Table:
    """A numbered table with its caption.

    Parameters
    ----------
    frame : DataFrame
        The rows, whose index is shown, outer labels once where rows share them; levels of columns are joined by a
        comma. Missing values are shown as a dash. For numbers in a form of their own pass text, and a `Text` of the
        kind "authors" for what they have yet to write.
    caption : str
        What the table shows, in a sentence.
    digits : int or dict, default=3
        How many digits behind the point numbers have that are no integers, of all columns, or by column, with 3 for
        those not named.
    dash : str, default="does not exist, is not known, or does not apply"
        What a dash stands for in this table. It is said below the table if a cell is a dash.

    Raises
    ------
    TypeError
        If `frame` is no DataFrame.

    Examples
    --------
    >>> import pandas as pd
    >>> from sksurv_mmf.pages import Table, render
    >>> scores = pd.DataFrame({"C-index": [0.71234]}, ["Clinical Cox"])
    >>> "<td>0.712</td>" in render("Study", [Table(scores, "Scores.")])
    True
    """

    frame: pd.DataFrame
    caption: str
    digits: int | dict = 3
    dash: str = "does not exist, is not known, or does not apply"

    def __post_init__(self):
        if not isinstance(self.frame, pd.DataFrame):
            raise TypeError(f"frame must be a DataFrame, got {type(self.frame).__name__}. Use to_frame() of a Series.")


@dataclass(frozen=True, eq=False)
class Figure:
    """A numbered figure with its caption.

    Parameters
    ----------
    figure : matplotlib Figure
        The picture. pyplot forgets it when the page is made.
    caption : str
        What the figure shows, in a sentence or two.
    alt : str
        What it shows for those who cannot see it.
    format : {"png", "svg"}, default="png"
        Use "svg" for lines and few points.

    Raises
    ------
    TypeError
        If `figure` cannot be saved.
    ValueError
        If `format` is another one.

    Examples
    --------
    >>> from matplotlib.figure import Figure as Picture
    >>> from sksurv_mmf.pages import Figure, render
    >>> picture = Picture(figsize=(3, 2))
    >>> _ = picture.subplots().plot([0, 1], [1, 0.5])
    >>> 'alt="A curve that falls"' in render("Study", [Figure(picture, "Survival.", "A curve that falls")])
    True
    """

    figure: Any
    caption: str
    alt: str
    format: str = "png"

    def __post_init__(self):
        if not hasattr(self.figure, "savefig"):
            raise TypeError(
                f"figure must be a matplotlib Figure, got {type(self.figure).__name__}. Axes have theirs as ax.figure."
            )
        if self.format not in ("png", "svg"):
            raise ValueError(f"format must be 'png' or 'svg', got {self.format!r}.")


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what follows it.

    Parameters
    ----------
    title : str
        The heading.
    parts : sequence of Text, Table, Figure and Section
        What stands below it, in order. Sections within sections have smaller headings.

    Examples
    --------
    >>> from sksurv_mmf.pages import Section, Text, render
    >>> page = render("Study", [Section("Outcome", [Section("Follow-up", [Text("Three years.")])])])
    >>> "1.1 Follow-up" in page
    True
    """

    title: str
    parts: Sequence
