"""Survival probabilities of patients at given times, as a table."""

import numpy as np
import pandas as pd

from ..utils._validation import format_time, shorten
from ._checks import as_real_numbers


def check_horizons(horizons, end):
    """Horizons as an array, once all lie between 0 and the end of the curves."""
    horizons = np.atleast_1d(as_real_numbers(horizons, "horizons is"))
    wrong = horizons[~((horizons >= 0) & (horizons <= end))] if horizons.ndim == 1 else horizons.ravel()
    if len(wrong) or not len(horizons):
        raise ValueError(
            f"horizons must be one or several times from 0 to {format_time(end)}, where the survival functions end; "
            f"got {shorten(wrong) or 'none'}."
        )
    return horizons


def survival_table(values, patients, horizons):
    """The table of probabilities, or of these and their limits.

    Parameters
    ----------
    values : ndarray of shape (1 or 3, n_patients, n_horizons)
        Probabilities, and where there are limits the lower and the upper ones.
    patients : Index
        Who they are.
    horizons : ndarray of shape (n_horizons,)
        When.
    """
    row = pd.MultiIndex.from_arrays(
        [patients.repeat(len(horizons)), np.tile(horizons, len(patients))], names=[patients.name or "patient", "time"]
    )
    columns = ["survival", "lower", "upper"][: len(values)]
    return pd.DataFrame(values.reshape(len(values), -1).T, row, columns)
