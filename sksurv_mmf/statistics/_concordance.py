"""Harrell's concordance index as a ratio of sums over pairs of patients, which a bootstrap can weigh."""

import numpy as np


def comparable(event, time):
    """Whether patient i is known to have the event before patient j, shape (n_patients, n_patients)."""
    later = time[:, np.newaxis] < time
    # Who is censored at the time of another's event was without one then, and has it later if ever.
    tied = time[:, np.newaxis] == time
    return event[:, np.newaxis] & (later | (tied & ~event))


def higher(risk):
    """1 where patient i has the higher risk than patient j, 0.5 where risks are equal; (n_patients, n_patients)."""
    return (risk[:, np.newaxis] > risk) + 0.5 * (risk[:, np.newaxis] == risk)


def concordance(pairs, order):
    """C-index: the share of `pairs`, as `comparable` gives them, whose `order`, as `higher` gives it, is right."""
    return float((pairs * order).sum() / pairs.sum())
