"""Sums of the first 0, 1, ... of many numbers."""

import numpy as np


def running_sum(values, axis=1):
    """Sums of the first 0, 1, ... columns, or rows with ``axis=0``; one more than there are of these."""
    shape = list(values.shape)
    shape[axis] += 1
    sums = np.zeros(shape)
    np.cumsum(values, axis=axis, out=sums[1:] if axis == 0 else sums[:, 1:])
    return sums
