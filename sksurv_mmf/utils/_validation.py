"""Constraints and messages that several parts share."""

from inspect import isabstract
from numbers import Integral, Real

import numpy as np

from ._sklearn import Interval


class WholeNumber(Interval):
    """An int within bounds that is not True or False, which Python counts as 1 and 0."""

    def __init__(self, left, right=None):
        super().__init__(Integral, left, right, closed="left" if right is None else "both")

    def is_satisfied_by(self, val):
        """Whether `val` is one."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


PROBABILITY = Interval(Real, 0, 1, closed="left")
"""Values a dropout probability may take."""


WIDTH = Interval(Integral, 1, 2**16, closed="both")
"""How wide a layer may be. A slip of digits is an error that names the parameter, and takes no memory."""

DEPTH = Interval(Integral, 1, 1000, closed="both")
"""How many layers, heads or steps there may be."""

RESAMPLES = Interval(Integral, 1, 100_000, closed="both")
"""How many resamples of patients a bootstrap may draw; all are in memory at once."""


def as_plain(value):
    """A number or text of numpy as one of Python, which prints as itself alone."""
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biufcUS" else value


def shorten(names, most=5):
    """List `names` for a message, the first few of them."""
    names = [repr(as_plain(name)) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def format_time(time, unit=None):
    """Write a time in a few digits, or in all of them where a few would name another time, and its unit if there is."""
    short = f"{time:g}"
    number = short if float(short) == time else repr(float(time))
    return number if unit is None else f"{number} {unit}"


def subject(names, noun, singular, plural):
    """Begin a sentence about `names`, such as "Patient 'A' has" or "Patients 'A', 'B' have"."""
    one = len(names) == 1
    return f"{noun}{'' if one else 's'} {shorten(names)} {singular if one else plural}"


def names_of(base, **attributes):
    """Names of the public classes below `base`, those of users too, whose class attributes have these values."""
    found, classes = set(), [base]
    while classes:
        classes += (cls := classes.pop()).__subclasses__()
        # A user's class may lack an attribute that has no default; a set, because a notebook's cell that runs twice
        # defines its class twice.
        is_meant = all(getattr(cls, name, None) == value for name, value in attributes.items())
        if is_meant and not isabstract(cls) and not cls.__name__.startswith("_"):
            found.add(cls.__name__)
    return sorted(found)


def check_part(name, part, base):
    """Refuse the name or the class of a part of the model where an object of class `base` is expected."""
    if not isinstance(part, str | type):
        return  # scikit-learn's validation knows what to say
    known = names_of(base)
    wanted = (part.__name__ if isinstance(part, type) else str(part)).casefold()
    meant = [one for one in known if one.casefold().startswith(wanted)] or known
    raise ValueError(f"{name} must be an object or None, got {part!r}. Write {name}={'() or '.join(meant)}().")


def say(error: Exception) -> str:
    """The message of an error as a part of another one, without its full stop."""
    return str(error).removesuffix(".") or type(error).__name__
