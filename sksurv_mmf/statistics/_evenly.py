"""Some of many times."""

import numpy as np

MOST_STEPS = 1000
"""Times at which a curve that falls continuously is told, so that curves of n patients are not n x n numbers."""


def evenly(times, n_times):
    """At most `n_times` of increasing times, evenly by rank, with the first and the last."""
    return times[np.unique(np.linspace(0, len(times) - 1, n_times).round().astype(int))]
