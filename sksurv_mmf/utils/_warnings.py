"""Warnings that point to the line of the user's that they are about."""

import sys
import warnings

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
