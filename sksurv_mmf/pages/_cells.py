"""Cells of a table as text."""

from numbers import Integral, Number

import numpy as np
import pandas as pd

from ._parts import Text

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def heads_and_rows(table):
    """Names of the columns of the index and of the others, with how they are set; and the rows, as text.

    Returns
    -------
    heads : list of str
        Names of the levels of the index.
    columns : list of (str, str)
        Name of each column and its class: "text", which stands left, or none, for numbers.
    rows : list of (list of str, list of (str, str))
        Cells of the index, and those of the columns with their classes.
    """
    frame = table.frame
    heads = ["" if name is None else str(name) for name in frame.index.names]
    columns, cells = [], []
    for i, name in enumerate(frame.columns):
        values = frame.iloc[:, i]
        column = [write_cell(value, _digits(table.digits, name)) for value in values]
        own = "text" if any(cell[:1].isalpha() for cell in column) else ""
        columns.append((_join(name), own))
        cells.append([(cell, f"{own} authors" if _is_theirs(value) else own) for cell, value in zip(column, values)])
    labels = [label if isinstance(label, tuple) else (label,) for label in frame.index]
    rows = []
    for i, label in enumerate(labels):
        before = labels[i - 1] if i else ()
        # An outer label is written once, as one reads it.
        shown = ["" if label[: j + 1] == before[: j + 1] else str(part) for j, part in enumerate(label[:-1])]
        rows.append(([*shown, str(label[-1])], [column[i] for column in cells]))
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
    return value.text if isinstance(value, Text) else str(value)


def write_interval(lower, upper, digits=3):
    """Write an interval; a dash where there is none."""
    if np.isnan(lower) or np.isnan(upper):
        return DASH
    return f"{write_cell(lower, digits)} to {write_cell(upper, digits)}"


def write_estimate(value, lower, upper, digits=3):
    """Write a number with its interval; a dash where there is none."""
    return DASH if np.isnan(value) else f"{write_cell(value, digits)} ({write_interval(lower, upper, digits)})"


def _is_theirs(value):
    return isinstance(value, Text) and value.kind == "authors"


def _digits(digits, name):
    return digits.get(name, 3) if isinstance(digits, dict) else digits


def _join(name):
    return ", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
