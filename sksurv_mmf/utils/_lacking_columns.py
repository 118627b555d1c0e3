"""New patients for whom a whole modality was never measured, so that their table has no column of it."""

import numpy as np
import pandas as pd


def add_lacking_columns(X, names, modalities):
    """X with columns of NaN for every modality of which it has none.

    Nothing is guessed: if X has a column that is not known, which may be a misspelt one, it stays as it is, and so it
    does if it has nothing of any modality. What is then absent is for the caller's check of names to report, and so are
    modalities of which some columns are there.

    Parameters
    ----------
    X : DataFrame
        New patients.
    names : list of str
        All columns that are known, in their order.
    modalities : list of list of str
        The columns of each modality.

    Returns
    -------
    DataFrame
        In the order of `names` if the columns of X were.
    """
    there = set(X.columns)
    lacking = [columns for columns in modalities if there.isdisjoint(columns)]
    if not lacking or len(lacking) == len(modalities) or not there.issubset(names):
        return X
    added = list(dict.fromkeys(name for columns in lacking for name in columns))
    in_order = list(X.columns) == [name for name in names if name in there]
    X = pd.concat([X, pd.DataFrame(np.nan, X.index, added)], axis=1)
    return X[[name for name in names if name in X.columns]] if in_order else X
