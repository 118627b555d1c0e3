"""Tables from users: frames of other libraries become pandas', and what is no table is told apart."""

from collections.abc import Mapping
from functools import partial
from os import PathLike

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from ._modality_names import SEPARATOR, column_name
from ._real_numbers import as_real
from ._validation import shorten


def as_frame(X):
    """X as pandas' frame if it is a frame of any library, such as polars, and anything else as it is.

    Frames without an index, as polars has them, get row numbers for patients. Masked values become NaN.

    Raises
    ------
    ValueError
        If the names of columns have several levels, or if a column has complex numbers.
    """
    if not isinstance(X, pd.DataFrame):
        if not nw.dependencies.is_into_dataframe(X):
            return as_real(X)
        columns = nw.from_native(X, eager_only=True)
        X = pd.DataFrame({name: _values(columns[name]) for name in columns.columns}, index=range(len(columns)))
    check_one_level(X.columns)
    return as_real(X)


def _values(column):
    """Values for a column of a pandas frame; this needs no pyarrow, which polars' own conversion does."""
    # numpy has no missing boolean, and would make objects of the column.
    if column.dtype == nw.Boolean and column.null_count():
        column = column.cast(nw.Float64)
    return column.to_numpy() if column.dtype.is_numeric() or column.dtype == nw.Boolean else column.to_list()


def check_one_level(columns):
    """Refuse names of columns that are tuples, as those of a MultiIndex are."""
    # Names of texts or numbers are told by their type, which spares a walk through thousands of columns.
    levels = [column for column in columns if isinstance(column, tuple)] if columns.dtype == object else []
    if levels:
        raise ValueError(
            f"The columns have several levels (a MultiIndex): {shorten(levels, 2)}. Modalities are told by names "
            f"such as {column_name('rna', 'TP53')!r}; join the levels: "
            f"X.columns = ['{SEPARATOR}'.join(map(str, column)) for column in X.columns]."
        )


def column_names(X):
    """Names of the columns of a frame of any library; none if X is no frame."""
    if isinstance(X, pd.DataFrame):
        return X.columns
    return nw.from_native(X).columns if nw.dependencies.is_into_dataframe(X) else []


def who_has(X, columns=slice(None)):
    """Which patients have a modality: those of whom not all of it is missing, NaN in a number and NA in a bag.

    `columns` are its positions in X, a frame or array; by default X is the modality.
    """
    block = X.iloc[:, columns] if isinstance(X, pd.DataFrame) else X[:, columns]
    return ~np.asarray(pd.isna(block)).all(axis=1)


def check_is_table(X):
    """Refuse what is neither a frame nor a numeric array, and say how to make a frame of it."""
    what, way_out = _describe(X)
    if what:
        raise ValueError(f"X is {what}, but a frame is expected, with one row per patient.{way_out and f' {way_out}'}")


def _describe(X):
    """What X is and how it becomes a frame; nothing if it may be a table."""
    if X is None:
        return "None", "join_modalities makes one."
    if isinstance(X, pd.Series):
        return f"the Series {X.name!r}", (
            "X.iloc[[0]] selects the first patient, X[['a']] the column 'a'; join_modalities({'wsi': series}) makes a "
            "column of a Series."
        )
    if isinstance(X, str | bytes | PathLike):
        return (
            f"the text {str(X)!r:.80}",
            "Read the file first, for example with pd.read_csv(path, index_col='patient').",
        )
    if isinstance(X, Mapping):
        way_out = "Make one with join_modalities(X) of tables by modality, or with pd.DataFrame(X, index=patients)."
        return f"a {type(X).__name__} with the keys {shorten(X, 3)}", way_out
    fields = getattr(getattr(X, "dtype", None), "names", None)
    if fields or (isinstance(X, list | tuple) and len(X) and isinstance(X[0], Mapping)):
        fields = shorten(fields or X[0], 3)
        return f"a {type(X).__name__} of records with the fields {fields}", "Make one: pd.DataFrame(X, index=patients)."
    if hasattr(X, "obs_names"):
        return f"of the type {type(X).__name__}", "Make one: join_modalities({'rna': X})."
    if nw.dependencies.is_polars_lazyframe(X):
        return "a LazyFrame", "Make one: X.collect()."
    if _holds_bags(X):
        return f"a {type(X).__name__} of bags of tiles", (
            "Bags are a column of it: pd.DataFrame({'wsi__tiles': pd.Series(list(X), index=patients, dtype='bag')})."
        )
    is_array = isinstance(X, list | tuple) or any(map(partial(hasattr, X), ("__array__", "toarray", "columns")))
    return (None, None) if is_array else (f"of the type {type(X).__name__}", "")


def _holds_bags(X):
    """Whether X looks like a sequence of arrays of tiles rather than of rows."""
    if getattr(X, "ndim", None) == 3 or getattr(getattr(X, "dtype", None), "name", None) == "bag":
        return True
    if not (isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object)):
        return False
    cells = X.ravel() if isinstance(X, np.ndarray) else X
    # By its attribute, because this part may not know the class of bags.
    return any(getattr(cell, "ndim", 0) == 2 or hasattr(cell, "n_tiles") for cell in cells)
