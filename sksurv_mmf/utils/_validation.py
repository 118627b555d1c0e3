"""Constraints and messages that several parts share."""

from collections import defaultdict
from numbers import Real

import numpy as np

from ._sklearn import Interval

SEPARATOR = "__"
"""Between modality and feature in the name of a column, as ColumnTransformer writes it."""

PROBABILITY = Interval(Real, 0, 1, closed="left")
"""Values a dropout probability may take."""


def belongs_to(column, modality):
    """Whether a column is named ``<modality>__<feature>``."""
    return isinstance(column, str) and column.startswith(modality + SEPARATOR)


def feature_of(column, modality):
    """Name of a column without the prefix of its modality, if it has it."""
    return str(column).removeprefix(f"{modality}{SEPARATOR}")


def columns_by_modality(columns):
    """The columns that are named ``<modality>__<feature>`` of each modality, in order of appearance."""
    found = defaultdict(list)
    for column in columns:
        name, separator, _ = column.partition(SEPARATOR) if isinstance(column, str) else ("", "", "")
        if name and separator:
            found[name].append(column)
    return found


def as_plain(value):
    """A number or text of numpy as one of Python, which prints as itself alone."""
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biufcUS" else value


def shorten(names, most=5):
    """List `names` for a message, the first few of them."""
    names = [repr(as_plain(name)) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def format_time(time):
    """Write a time in a few digits, or in all of them where a few would name another time."""
    short = f"{time:g}"
    return short if float(short) == time else repr(float(time))


def subject(names, noun, singular, plural):
    """Begin a sentence about `names`, such as "Patient 'A' has" or "Patients 'A', 'B' have"."""
    one = len(names) == 1
    return f"{noun}{'' if one else 's'} {shorten(names)} {singular if one else plural}"


def check_part(name, part, base):
    """Refuse the name or the class of a part of the model where an object of class `base` is expected."""
    if not isinstance(part, str | type):
        return  # scikit-learn's validation knows what to say
    known = sorted(cls.__name__ for cls in base.__subclasses__())
    wanted = (part.__name__ if isinstance(part, type) else str(part)).casefold()
    meant = [one for one in known if one.casefold().startswith(wanted)] or known
    raise ValueError(f"{name} must be an object or None, got {part!r}. Write {name}={'() or '.join(meant)}().")
