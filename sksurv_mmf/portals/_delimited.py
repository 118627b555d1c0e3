"""Rows of text tables with tabs or commas, as portals write them."""

import csv
import math
import os
import re
from difflib import get_close_matches
from itertools import chain, islice

from ..files._text_files import read_lines
from ..utils._validation import shorten

MISSING = {
    *("", "na", "n/a", "#n/a", "nan", "null", "none", "--", "'--", "unknown", "not reported", "not available"),
    *("[not available]", "[not applicable]", "[not evaluated]", "[unknown]", "[discrepancy]", "[pending]"),
}
"""What portals write where nothing is known, in lower case."""


_QUOTED = re.compile(r'"[^"]*"')


def is_missing(text):
    """Whether a cell says that nothing is known."""
    return text.strip().casefold() in MISSING


def as_number(text):
    """The number in a cell, NaN where nothing is known, None where there is something else."""
    if is_missing(text):
        return math.nan
    try:
        # Python's own notation of thousands, 1_000, is no number of a table, and may be a name.
        return None if "_" in text else float(text)
    except ValueError:
        return None


def open_table(path):
    """Read the header of a table.

    Lines in front that begin with "#" are comments. The separator is the tab if the header has one; otherwise it is
    the comma or the semicolon, whichever is there more often.

    Parameters
    ----------
    path : path
        Text in UTF-8, perhaps compressed by gzip.

    Returns
    -------
    columns : list of str
        Names of the columns. The first is "" where the header has one name less than rows have cells, as R writes it.
    rows : iterator of (int, list of str)
        Number of the line in the file, from 1, and its cells. Empty lines are passed over.
    n_comments : int
        Number of comment lines before the header.
    """
    lines = enumerate(read_lines(path), start=1)
    n_comments = 0
    for header in lines:
        line = header[1]
        if line.strip() and not line.startswith("#"):
            break
        n_comments += line.startswith("#")
    else:
        raise ValueError(f"{os.fspath(path)!r} has no header: all {n_comments} lines begin with '#' or are empty.")
    separator = "\t" if "\t" in line else max(",;", key=line.count)
    columns = _split(*header, separator, path)
    rows = ((number, _split(number, line, separator, path)) for number, line in lines if line.strip())
    first = list(islice(rows, 1))
    if first and len(first[0][1]) == len(columns) + 1:
        columns = ["", *columns]
    return columns, _checked(chain(first, rows), columns, path), n_comments


def _split(number, line, separator, path):
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(separator)
    if separator == "\t":
        # Portals do not quote cells between tabs, and R quotes whole ones: a lone quote, as in remarks, is a character.
        return [cell[1:-1] if _QUOTED.fullmatch(cell) else cell for cell in line.split(separator)]
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise ValueError(
            f"{os.fspath(path)!r}, line {number}: its quotes do not close, or are in the middle of a cell ({error}). "
            'Write such a quote twice and its cell in quotes, "5"" tumor", or save the table with tabs.'
        ) from None


def _checked(rows, columns, path):
    for number, cells in rows:
        if len(cells) != len(columns):
            raise ValueError(
                f"{os.fspath(path)!r}, line {number}: {len(cells)} cells, but the header has {len(columns)} columns. "
                "The file is cut off or no table; download it again."
            )
        yield number, cells


def find_column(columns, wanted, path, what):
    """Position of the one column that is called as one of `wanted`, the first of these that is there.

    Upper and lower case count as alike.
    """
    names = [name.strip().casefold() for name in columns]
    for name in wanted:
        found = [i for i, one in enumerate(names) if one == name.casefold()]
        if len(found) > 1:
            raise ValueError(
                f"{os.fspath(path)!r} has {len(found)} columns {name!r}; {what} must be in one. Rename one."
            )
        if found:
            return found[0]
    by_name = dict(zip(names, columns))
    close = [by_name[one] for name in wanted for one in get_close_matches(name.casefold(), names, n=2)]
    hint = f" Is it one of {shorten(list(dict.fromkeys(close)), 3)}?" if close else ""
    raise ValueError(
        f"{os.fspath(path)!r} has no column of {what}: expected one of {shorten(wanted, 12)}, but it has "
        f"{shorten(columns, 12)}.{hint}"
    )
