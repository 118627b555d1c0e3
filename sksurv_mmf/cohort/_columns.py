"""What the columns of X are: which form a modality, and which encoder may read it."""

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from ..bags._array import BagArray, BagDtype
from ..encoders._base import encoders_that
from ..patients._modality import Modality
from ..utils._frames import as_frame, check_is_table
from ..utils._modality_names import belongs_to, column_name, feature_of, prefixes
from ..utils._sklearn import check_feature_names, check_n_features, get_column_indices
from ..utils._validation import shorten, subject
from ..utils._warnings import warn


def check_table(estimator, X, reset):
    """X as a frame, after comparing its columns with those of `fit` or, if `reset`, remembering them."""
    check_is_table(X)
    X = as_frame(X)
    if not isinstance(X, pd.DataFrame):
        # float64 keeps values apart that float32 would turn into infinity without a word.
        X = validate_data(estimator, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return pd.DataFrame(X)
    if reset and (len(X) == 0 or X.shape[1] == 0):
        raise ValueError(f"Found array with shape {X.shape} while at least one patient and one column are required.")
    repeated = X.columns[X.columns.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{subject(repeated, 'Column', 'occurs', 'occur')} more than once in X. Rename or drop the others."
        )
    check_feature_names(estimator, X, reset=reset)
    check_n_features(estimator, X, reset=reset)
    repeated = X.index[X.index.duplicated()].unique()
    # In fit only: to predict for a patient twice does no harm.
    if reset and len(repeated):
        warn(
            f"{subject(repeated, 'Patient', 'has', 'have')} several rows in X, and each row counts as a patient. Keep "
            "one row per patient or, if patients were drawn repeatedly on purpose, pass X.reset_index(drop=True).",
        )
    return X


def infer_columns(X):
    """Names and columns of the modalities of X, from the column names alone."""
    names = prefixes(X.columns)
    if names:
        _warn_of_spellings(names)
        return [(name, columns_of(X, name)) for name in names]
    is_bag = [isinstance(dtype, BagDtype) for dtype in X.dtypes]
    if any(is_bag) and X.shape[1] > 1:
        raise ValueError(
            "X has a bag column beside other columns, and no column is named '<modality>__<feature>'. Build X with "
            "join_modalities, or say modalities=[(name, encoder, columns), ...]."
        )
    return [("tiles" if any(is_bag) else "features", list(range(X.shape[1])))]


def _warn_of_spellings(names):
    """Warn of modalities whose names differ in nothing but case and spaces: they may be meant to be one."""
    spellings = {}
    for name in names:
        spellings.setdefault(name.strip().casefold(), []).append(name)
    alike = [shorten(some, 2) for some in spellings.values() if len(some) > 1]
    if alike:
        warn(
            f"Of {len(names)} modalities of X, {'; '.join(alike[:2])} differ by upper case or spaces alone, and each "
            "is encoded by itself. If one is meant, rename its columns; if not, list the modalities."
        )


def columns_of(X, name):
    """Positions of the columns of modality `name`, by their prefix."""
    return [i for i, column in enumerate(X.columns) if belongs_to(column, name)]


def select_columns(X, modalities):
    """Names and columns of the modalities that the user listed; every column of X must be in one."""
    selected = [(name, _selected(X, name, columns, len(modalities))) for name, _, *columns in modalities]
    used = {i for _, columns in selected for i in columns}
    unused = [column for i, column in enumerate(X.columns) if i not in used]
    if unused:
        raise ValueError(
            f"{subject(unused, 'Column', 'is', 'are')} in X, but in no modality of "
            f"{shorten([name for name, _ in selected])}. Add a modality, or drop what is not to be read."
        )
    return selected


def _selected(X, name, columns, n_modalities):
    if columns:
        positions = list(get_column_indices(X, columns[0](X) if callable(columns[0]) else columns[0]))
    else:
        positions = columns_of(X, name)
        if not positions and n_modalities == 1 and not prefixes(X.columns):
            positions = list(range(X.shape[1]))
    if not positions:
        raise ValueError(
            f"Modality {name!r} is not in X: no column is named {column_name(name, '...')!r}. {_modalities_in(X)}"
        )
    return positions


def _modalities_in(X):
    names = prefixes(X.columns)
    if names:
        return f"The modalities in X are {shorten(names)}."
    return (
        f"The columns of X name no modality: {shorten(X.columns, 3)}. In a Pipeline, steps keep names after "
        "pipeline.set_output(transform='pandas'); otherwise say which columns: (name, ..., columns)."
    )


def describe(X, named_columns, encoders=None):
    """Make the `Modality` of each name and its columns; refuse columns that are neither bags nor numbers."""
    encoders = [None] * len(named_columns) if encoders is None else encoders
    return [_describe(X, *named, encoder) for named, encoder in zip(named_columns, encoders)]


def _describe(X, name, columns, encoder):
    dtypes = X.dtypes.iloc[columns]
    is_bag = [isinstance(dtype, BagDtype) for dtype in dtypes]
    if any(is_bag):
        if len(columns) > 1:
            raise ValueError(
                f"Modality {name!r} mixes a bag column with others: {shorten(X.columns[columns])}. A bag modality is a "
                "single column; give the others a modality of their own."
            )
        bags = bags_of(X, columns)
        return Modality(name, encoder, columns, True, bags.n_features, [], bags.tiling)
    check_numeric(X, name, columns)
    feature_names = [feature_of(column, name) for column in X.columns[columns]]
    return Modality(name, encoder, columns, False, len(columns), feature_names)


def check_numeric(X, name, columns):
    # One column of each dtype is enough, and tables of genes have thousands.
    for column, dtype in X.dtypes.iloc[columns].drop_duplicates().items():
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            raise ValueError(
                f"Column {column!r} of modality {name!r} has dtype {dtype}, but numbers or bags are expected. "
                f"{_advise(X[column])}"
            )


def _advise(column):
    """How to make numbers of a column."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return "Make numbers of dates and spans, for example (date - start) / pandas.Timedelta(days=1)."
    known = column.dropna().astype(object)
    if not known.map(np.ndim).any() and pd.to_numeric(known, errors="coerce").notna().all():
        return "Its values are numbers all the same: convert it with pandas.to_numeric."
    return (
        "Encode categories first, for example with sksurv.preprocessing.OneHotEncoder; convert a column of tile arrays "
        "with astype('bag')."
    )


def bags_of(X, columns) -> BagArray:
    return X.iloc[:, columns[0]].array


def check_reads(modality):
    """Refuse an encoder for bags on a numeric block and the reverse."""
    encoder = modality.encoder
    reads = getattr(encoder, "reads", None)
    if reads not in ("bag", "vector"):
        raise ValueError(f"{type(encoder).__name__}.reads must be 'bag' or 'vector', got {reads!r}.")
    if (reads == "bag") != modality.is_bag:
        kinds = {"bag": "a bag column", "vector": "numeric columns"}
        needed = "bag" if modality.is_bag else "vector"
        raise ValueError(
            f"Modality {modality.name!r} is {kinds[needed]}, but {type(encoder).__name__} reads {kinds[reads]}. Use "
            f"{' or '.join(encoders_that(reads=needed))}."
        )
