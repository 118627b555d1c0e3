"""Masked values are missing, and complex numbers are no values."""

import numpy as np
import pandas as pd

from ._validation import subject


def filled(values):
    """Turn masked entries of an array, or of a list of arrays, into NaN; return anything else as it is.

    The data below a mask are not to be seen, but `numpy.asarray` returns them.
    """
    if isinstance(values, list | tuple) and any(isinstance(one, np.ma.MaskedArray) for one in values):
        values = np.ma.array(values)
    if not isinstance(values, np.ma.MaskedArray) or values.dtype.names is not None:
        return values
    if values.dtype.kind in "biu" and np.ma.is_masked(values):
        values = values.astype(np.float64)
    return values.filled(np.nan) if np.ma.is_masked(values) else values.data


def as_real(X):
    """X with NaN for masked values, once it is known to have no complex numbers.

    Parameters
    ----------
    X : DataFrame or array-like
        The table.

    Returns
    -------
    X : DataFrame or array-like
        The same object unless it is masked.

    Raises
    ------
    ValueError
        If a column has complex numbers; it is named.
    """
    X = filled(X)
    if isinstance(X, pd.DataFrame):
        dtypes = X.dtypes
        suspicious = {dtype for dtype in dtypes.unique() if getattr(dtype, "kind", "O") in "cO"}
        positions = [i for i, dtype in enumerate(dtypes) if dtype in suspicious] if suspicious else []
        columns = [X.columns[i] for i in positions if _is_complex(X.iloc[:, i])]
    elif isinstance(X, np.ndarray) and X.dtype.kind in "cO" and X.ndim == 2:
        columns = [i for i, column in enumerate(X.T) if _is_complex(column)]
    else:
        columns = []
    if columns:
        raise ValueError(
            f"{subject(columns, 'Column', 'of X has', 'of X have')} complex numbers. Complex data not supported: take "
            "their absolute values or real parts."
        )
    return X


def _is_complex(column):
    return pd.api.types.is_complex_dtype(column.dtype) or (
        column.dtype == object and any(isinstance(value, complex | np.complexfloating) for value in column)
    )
