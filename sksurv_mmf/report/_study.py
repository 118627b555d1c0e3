"""What a report is made of."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..bags._array import BagDtype
from ..outcome._outcome import Outcome
from ..pages._cells import DASH
from ..utils._modality_names import columns_by_modality
from ..utils._validation import format_time


@dataclass(frozen=True, eq=False)
class Study:
    """A comparison with its patients, and what else a user has. Each section of the report reads what it needs.

    Attributes
    ----------
    comparison : ModelComparison
    X : DataFrame
        The patients in the order of the comparison.
    outcome : Outcome
    modalities : dict of str to list of str
        Columns of each modality.
    present : DataFrame of bool
        Who has which modality.
    time_unit : str or None
    cohort, clinical, by, model, validation, added_value
        As of `study_report`.
    horizons : list of float
    show : list of str
        Models of which there are pictures.
    n_groups : int
    """

    comparison: Any
    X: pd.DataFrame
    outcome: Outcome
    modalities: dict
    present: pd.DataFrame
    time_unit: str | None
    cohort: Any
    clinical: pd.DataFrame | None
    by: pd.Series | None
    horizons: list
    show: list
    n_groups: int
    model: Any
    validation: Any
    added_value: Any

    def at(self, time):
        """A time with its unit."""
        return format_time(time, self.time_unit)


def modalities_of(X):
    """Columns of each modality of X; all are one where names have no prefix."""
    return dict(columns_by_modality(X.columns)) or {"features": list(X.columns)}


def who_has_what(X, modalities):
    """Patients x modalities: whether any value is there."""
    return pd.DataFrame({name: X[columns].notna().any(axis=1) for name, columns in modalities.items()}, X.index)


def is_bags(X, columns):
    """Whether a modality is a column of bags."""
    return len(columns) == 1 and isinstance(X[columns[0]].dtype, BagDtype)


def count(n, noun):
    """Write a number of things."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def describe_columns(X, columns):
    """What a modality is made of."""
    if is_bags(X, columns):
        return f"one column of bags, {count(X[columns[0]].array.n_features, 'feature')} per tile"
    return count(len(columns), "column")


def without_addresses(code):
    """Code in which functions have their names alone, and objects their classes, as they have in every process.

    An object that shows an address does not show its parameters, hence the dots.
    """
    address = r" at 0x[0-9a-fA-F]+"
    code = re.sub(rf"<function ([^ ]+){address}>", r"\1", code)
    code = re.sub(rf"<(?:[\w<>]+\.)*(\w+) object{address}>", r"\1(...)", code)
    return re.sub(address, "", code)


def percent(n, of):
    """Write a count with its share."""
    return f"{n} ({100 * n / of:.1f}%)" if of else f"{n}"


def quartiles(values, digits=3):
    """Write median and interquartile range in a few digits."""
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return DASH
    found = np.quantile(values, [0.25, 0.5, 0.75])
    low, middle, high = (format(one, f".{digits}g" if abs(one) < 10**digits - 0.5 else ".0f") for one in found)
    return f"{middle} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")
