"""Modalities that none of the new patients has, whether their columns are absent or empty."""

import pandas as pd

from ..bags._array import BagArray, BagDtype
from ..utils._frames import as_frame, check_is_table
from ..utils._lacking_columns import add_lacking_columns


def fill_in_lacking(X, modalities, names):
    """X, in which modalities without any column become missing for all, and empty columns of bags are bags.

    An empty column has no type that tells bags from numbers: ``X["wsi__tiles"] = pandas.NA`` makes objects of it.

    Parameters
    ----------
    X : DataFrame or array-like
        New patients.
    modalities : list of Modality
        What the model reads.
    names : ndarray of str or None
        Columns that the model was fitted on; None if they had no names, and then nothing is filled in.
    """
    check_is_table(X)
    X = as_frame(X)
    if names is None or not isinstance(X, pd.DataFrame) or X.columns.has_duplicates:
        return X
    X = add_lacking_columns(X, list(names), [list(names[modality.columns]) for modality in modalities])
    for name in (names[modality.columns[0]] for modality in modalities if modality.is_bag):
        if name in X.columns and not isinstance(X.dtypes[name], BagDtype) and X[name].isna().all():
            X = X.assign(**{name: BagArray([None] * len(X))})
    return X
