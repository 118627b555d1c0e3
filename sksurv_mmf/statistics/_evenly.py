"""Some of many times."""

import numpy as np


def evenly(times, n_times):
    """At most `n_times` of increasing times, evenly by rank, with the first and the last."""
    return times[np.unique(np.linspace(0, len(times) - 1, n_times).round().astype(int))]
