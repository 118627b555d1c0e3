"""Cells of a table as text."""

from numbers import Integral, Number

import pandas as pd

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def heads_and_rows(table):
    """Names of the columns of the index and of the others, with whether they hold text; and the rows, as text.

    Returns
    -------
    heads : list of str
        Names of the levels of the index.
    columns : list of (str, bool)
        Name of each column, and whether it is to be set flush left.
    rows : list of (list of str, list of str)
        Cells of the index and of the columns.
    """
    frame = table.frame
    heads = ["" if name is None else str(name) for name in frame.index.names]
    cells = [
        [write_cell(value, _digits(table.digits, name)) for value in frame.iloc[:, i]]
        for i, name in enumerate(frame.columns)
    ]
    columns = [(_join(name), any(cell[:1].isalpha() for cell in column)) for name, column in zip(frame.columns, cells)]
    labels = [label if isinstance(label, tuple) else (label,) for label in frame.index]
    rows = [([str(part) for part in label], [column[i] for column in cells]) for i, label in enumerate(labels)]
    return heads, columns, rows


def write_cell(value, digits):
    """Write a value; a missing one is a dash, and a number that is no integer has `digits` behind the point."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return DASH
    if isinstance(value, Number) and not isinstance(value, Integral | complex):
        text = f"{value:.{digits}f}"
        # What rounds to zero has no sign.
        return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(value).replace("-", MINUS)
    return str(value)


def _digits(digits, name):
    return digits.get(name, 3) if isinstance(digits, dict) else digits


def _join(name):
    return ", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
