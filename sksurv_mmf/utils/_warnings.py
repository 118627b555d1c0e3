"""Warnings that point to the line of the user's that they are about."""

import sys
import warnings
from contextlib import contextmanager

_NOT_THE_USERS = {
    __name__.partition(".")[0],
    "sklearn",
    "sksurv",
    "skorch",
    "joblib",
    "tqdm",
    "concurrent",
    "contextlib",
}


def warn(message, category=UserWarning):
    """Warn with the place of the first frame outside of the package and of what stands between it and the user.

    Decorators and scikit-learn call the package in between, so that a fixed number of frames would point to them.
    """
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_USERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def each_once():
    """Let a warning that comes several times inside the block come once, after it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            first = {(str(one.message), one.category): one for one in reversed(caught)}
    for one in reversed(first.values()):
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
