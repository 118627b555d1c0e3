"""Names that have changed, and are understood for one more release."""

from ._warnings import warn


def warn_of_old_name(old, new):
    """Say that `old` is called `new` from now on."""
    warn(f"{old} is now called {new}, and its old name goes with the next release.", FutureWarning)
