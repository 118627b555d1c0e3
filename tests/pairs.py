"""What sums over pairs of patients are to be: those over the matrix of all pairs."""

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


def ratio_of_sums(numerator, denominator):
    """From how often each patient was drawn, (n_bootstrap, n_patients), to the ratio of two sums over pairs, or NaN."""

    def ratio(weight):
        above, below = (((weight @ terms) * weight).sum(axis=1) for terms in (numerator, denominator))
        return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)

    return ratio
