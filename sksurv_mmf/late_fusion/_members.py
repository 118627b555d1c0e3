"""What the members of a late fusion see, and how much each of them counts."""

from numbers import Real

import numpy as np

from ..utils._modality_names import columns_by_modality, modality_of
from ..utils._validation import shorten


def seen_by(X, member):
    """A member as ``(name, estimator, columns)``, with positions in place of names of columns and of modalities."""
    name, estimator, *columns = member
    given = [columns[0]] if columns and isinstance(columns[0], str) else columns[0] if columns else None
    if not (isinstance(given, list) and given and all(isinstance(one, str) for one in given)):
        return member  # as ColumnTransformer has it
    modalities = columns_by_modality(X.columns)
    unknown = [one for one in given if one not in X.columns and one not in modalities]
    if unknown:
        raise ValueError(
            f"Member {name!r} is to see {shorten(unknown)}, which X has neither as a column nor as a modality. The "
            f"modalities in X are {shorten(modalities) if modalities else 'without names'}."
        )
    names = [column for one in given for column in ([one] if one in X.columns else modalities[one])]
    return name, estimator, list(dict.fromkeys(X.columns.get_indexer(names).tolist()))


def measured_together(names, members):
    """Positions of the columns of each modality, all of which a new patient has or lacks.

    Names tell modalities. A member that sees part of one, such as the age of the clinical columns, makes no modality of
    it: without that column something is wrong. Of columns whose names tell none, members do.

    Parameters
    ----------
    names : sequence of str or None
        Names of all columns; None if they have none.
    members : list of (str, list of int)
        Names of the members and positions of what they see.
    """
    named = [modality_of(name) for name in names] if names is not None else []
    by_name = [[i for i, one in enumerate(named) if one == modality] for modality in dict.fromkeys(named) if modality]
    by_member = [[i for i in columns if named and named[i] is None] for _, columns in members]
    return by_name + [columns for columns in by_member if columns]


def shares(weights, names):
    """Fixed weights as an array with the sum 1, in the order of the members `names`; equal if `weights` is None."""
    if weights is None:
        return np.full(len(names), 1 / len(names))
    if isinstance(weights, dict):
        if weights.keys() != set(names):
            raise ValueError(
                f"weights names {shorten(weights)}, but the members are {shorten(names)}. Give each of them a weight."
            )
        weights = [weights[name] for name in names]
    if len(weights) != len(names):
        raise ValueError(
            f"weights has {len(weights)} numbers, but there are {len(names)} members, {shorten(names)}. Give each of "
            "them a weight."
        )
    for name, weight in zip(names, weights):
        if not isinstance(weight, Real) or not 0 <= weight < np.inf:
            raise ValueError(f"weights has {weight!r} for {name!r}; a weight must be a finite number, 0 or more.")
    weights = np.array(weights, dtype=float)
    if not weights.any():
        raise ValueError("All weights are 0; give at least one member a positive weight.")
    return weights / weights.sum()
