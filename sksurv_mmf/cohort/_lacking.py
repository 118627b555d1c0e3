"""Modalities that none of the new patients has, whether their columns are absent or empty."""

import pandas as pd

from ..bags._array import BagArray, BagDtype
from ..utils._frames import as_frame, check_is_table
from ..utils._lacking_columns import add_lacking_columns


def fill_in_lacking(X, names, modalities, bags):
    """X, in which modalities without any column become missing for all, and empty columns of bags are bags.

    An empty column has no type that tells bags from numbers: ``X["wsi__tiles"] = pandas.NA`` makes objects of it.

    Parameters
    ----------
    X : DataFrame or array-like
        New patients.
    names : ndarray of str or None
        Columns that the model was fitted on; None if they had no names, and then nothing is filled in.
    modalities : list of list of int
        Positions of the columns of each modality.
    bags : list of int
        Positions of the columns of bags.
    """
    check_is_table(X)
    X = as_frame(X)
    if names is None or not isinstance(X, pd.DataFrame) or X.columns.has_duplicates:
        return X
    X = add_lacking_columns(X, list(names), [list(names[columns]) for columns in modalities])
    for name in names[bags]:
        if name in X.columns and not isinstance(X.dtypes[name], BagDtype) and X[name].isna().all():
            X = X.assign(**{name: BagArray([None] * len(X))})
    return X
