"""Constraints and messages that several parts share."""

from numbers import Real

from sklearn.utils._param_validation import Interval

SEPARATOR = "__"
"""Between modality and feature in the name of a column, as ColumnTransformer writes it."""

PROBABILITY = Interval(Real, 0, 1, closed="left")
"""Values a dropout probability may take."""


def belongs_to(column, modality):
    """Whether a column is named ``<modality>__<feature>``."""
    return isinstance(column, str) and column.startswith(modality + SEPARATOR)


def shorten(names, most=5):
    """List `names` for a message, the first few of them."""
    names = [repr(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
