"""From cohort tables to modalities, and every error about X and y."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data
from sksurv.util import check_y_survival

from .bags._array import BagArray, BagDtype
from .training._patients import BagColumn, Patients, VectorColumn
from .utils._validation import SEPARATOR, belongs_to, shorten, subject


def join_modalities(modalities, how="inner"):
    """Join the modalities of a cohort into one table, one row per patient.

    The usual first step: columns get the prefix of their modality, rows are matched by patient.

    Parameters
    ----------
    modalities : dict of str to (DataFrame or Series)
        Tables whose index is the patient. A frame's columns become ``<modality>__<column>``; a series of dtype
        "bag" becomes ``<modality>__tiles``, another series ``<modality>__<its name>``.
    how : {"inner", "outer"}, default="inner"
        Keep the patients who have every modality, or all patients; those who lack a modality then have NaN in
        its columns (boolean ones become 0.0 and 1.0) or NA in its bag column.

    Returns
    -------
    X : DataFrame of shape (n_patients, n_columns)
        In the order in which patients first appear.

    Raises
    ------
    TypeError
        If a modality has no index to match by.
    ValueError
        If patients are duplicated or numbered by position only, if no patient is common to all modalities, or
        if a name contains the separator.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf import join_modalities
    >>> bags = pd.Series([np.ones((5, 3)), np.ones((9, 3))], index=["P1", "P2"], dtype="bag")
    >>> rna = pd.DataFrame({"TP53": [0.1, 0.7]}, index=["P2", "P3"])
    >>> join_modalities({"wsi": bags, "rna": rna})
                            wsi__tiles  rna__TP53
    P2  Bag(9 tiles x 3 features)        0.1
    >>> join_modalities({"wsi": bags, "rna": rna}, how="outer").shape
    (3, 2)
    """
    if how not in ("inner", "outer"):
        raise ValueError(f"how must be 'inner' or 'outer', got {how!r}.")
    if not isinstance(modalities, Mapping):
        raise TypeError(f"modalities must be a dict such as {{'wsi': bags}}, got a {type(modalities).__name__}.")
    if not modalities:
        raise ValueError("modalities is empty; pass a dict such as {'wsi': bags, 'rna': table}.")
    tables = {name: _prefixed(name, table) for name, table in modalities.items()}
    if how == "outer":
        tables = {name: make_nullable(table) for name, table in tables.items()}
    X = pd.concat(tables.values(), axis=1, join=how, sort=False)
    if X.empty:
        examples = "; ".join(f"{name!r}: {shorten(table.index, 3)}" for name, table in tables.items())
        raise ValueError(
            f"No patient is common to all modalities. The patients are {examples}. Make the identifiers agree, or "
            "use how='outer'."
        )
    return X


def make_nullable(table):
    """Turn booleans into floats: pandas has no NaN among booleans and would make their column one of objects."""
    return table.astype(dict.fromkeys(table.select_dtypes(bool).columns, float))


def _prefixed(name, table):
    """One modality as a frame with prefixed columns, after checking its name and its patients."""
    if not isinstance(name, str) or not name or SEPARATOR in name:
        raise ValueError(f"A modality needs a name without {SEPARATOR!r}, got {name!r}.")
    if isinstance(table, pd.Series):
        default = "tiles" if isinstance(table.dtype, BagDtype) else "value"
        table = table.to_frame(default if default == "tiles" or table.name is None else table.name)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"Modality {name!r} is a {type(table).__name__} without patients to match by. Pass a DataFrame or Series "
            "whose index is the patient."
        )
    if table.index.name is None and pd.api.types.is_integer_dtype(table.index.dtype):
        raise ValueError(
            f"The index of modality {name!r} looks like a row number: whole numbers without a name. Pairing rows by "
            "position is not safe. Make the patient the index, for example with set_index('patient'); if these are "
            "patients, name the index, for example with rename_axis('patient')."
        )
    if table.index.hasnans:
        raise ValueError(f"The index of modality {name!r} has missing patient identifiers.")
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{subject(repeated, 'Patient', 'has', 'have')} several rows in modality {name!r}. Keep one row per "
            "patient; several slides of a patient belong into one bag."
        )
    return table.add_prefix(f"{name}{SEPARATOR}")


def check_table(estimator, X, reset):
    """X as a frame, after comparing its columns with those of `fit` or, if `reset`, remembering them."""
    if isinstance(X, pd.Series):
        raise ValueError(
            f"X is the Series {X.name!r}, but a frame is expected: X.iloc[[0]] selects the first patient, X[['a']] the "
            "column 'a'."
        )
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
    _check_feature_names(estimator, X, reset=reset)
    _check_n_features(estimator, X, reset=reset)
    repeated = X.index[X.index.duplicated()].unique()
    if reset and len(repeated):
        warnings.warn(
            f"{subject(repeated, 'Patient', 'has', 'have')} several rows in X, and each row counts as a patient. Keep "
            "one row per patient or, if patients were drawn repeatedly on purpose, pass X.reset_index(drop=True).",
            stacklevel=3,
        )
    return X


@dataclass(frozen=True)
class Modality:
    """Which columns of X form a modality.

    Attributes
    ----------
    name : str
        Name of the modality.
    columns : list of int
        Positions in X.
    is_bag : bool
        Whether it is a column of bags rather than a numeric block.
    n_features : int
        Number of columns of the block, or width of the tiles.
    feature_names : list of str
        Names of the columns of the block without the modality's prefix; empty for bags.
    """

    name: str
    columns: list
    is_bag: bool
    n_features: int
    feature_names: list


def prefixes(X):
    """Modality names in X in order of appearance, empty unless all columns have a prefix."""
    names = [column.partition(SEPARATOR) if isinstance(column, str) else ("", "", "") for column in X.columns]
    if not any(separator for _, separator, _ in names):
        return []
    loose = [column for column, (name, separator, _) in zip(X.columns, names) if not (name and separator)]
    if loose:
        raise ValueError(
            f"{subject(loose, 'Column', 'belongs', 'belong')} to no modality: some columns of X are named "
            "'<modality>__<feature>', others are not. Rename or drop these, or say "
            "modalities=[(name, encoder, columns), ...]."
        )
    return list(dict.fromkeys(name for name, _, _ in names))


def infer_columns(X):
    """Names and columns of the modalities of X, from the column names alone."""
    names = prefixes(X)
    if names:
        return [(name, columns_of(X, name)) for name in names]
    is_bag = [isinstance(dtype, BagDtype) for dtype in X.dtypes]
    if any(is_bag) and X.shape[1] > 1:
        raise ValueError(
            "X has a bag column beside other columns, and no column is named '<modality>__<feature>'. Build X with "
            "join_modalities, or say modalities=[(name, encoder, columns), ...]."
        )
    return [("tiles" if any(is_bag) else "features", list(range(X.shape[1])))]


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
        positions = list(_get_column_indices(X, columns[0](X) if callable(columns[0]) else columns[0]))
    else:
        positions = columns_of(X, name)
        if not positions and n_modalities == 1 and not prefixes(X):
            positions = list(range(X.shape[1]))
    if not positions:
        raise ValueError(
            f"Modality {name!r} is not in X: no column is named '{name}{SEPARATOR}...'. The modalities in X are "
            f"{shorten(prefixes(X)) or 'unnamed'}."
        )
    return positions


def describe(X, named_columns):
    """Make the `Modality` of each name and its columns; refuse columns that are neither bags nor numbers."""
    return [_describe(X, name, columns) for name, columns in named_columns]


def _describe(X, name, columns):
    dtypes = X.dtypes.iloc[columns]
    is_bag = [isinstance(dtype, BagDtype) for dtype in dtypes]
    if any(is_bag):
        if len(columns) > 1:
            raise ValueError(
                f"Modality {name!r} mixes a bag column with others: {shorten(X.columns[columns])}. A bag modality is a "
                "single column; give the others a modality of their own."
            )
        return Modality(name, columns, True, _bags(X, columns).n_features, [])
    _check_numeric(X, name, columns)
    feature_names = [str(column).removeprefix(f"{name}{SEPARATOR}") for column in X.columns[columns]]
    return Modality(name, columns, False, len(columns), feature_names)


def _check_numeric(X, name, columns):
    for column, dtype in X.dtypes.iloc[columns].drop_duplicates().items():
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            raise ValueError(
                f"Column {column!r} of modality {name!r} has dtype {dtype}, but numbers or bags are expected. Encode "
                "categories first, for example with sksurv.preprocessing.OneHotEncoder; convert a column of tile "
                "arrays with astype('bag')."
            )


def _bags(X, columns) -> BagArray:
    return X.iloc[:, columns[0]].array


def read_patients(X, layout, target=None):
    """Check the values of X and view them as `Patients`, modality by modality.

    Parameters
    ----------
    X : DataFrame
        The cohort.
    layout : list of Modality
        What the columns mean.
    target : tuple of Tensor, default=None
        What is to be learnt, one row per patient.

    Returns
    -------
    patients : Patients
        Numeric blocks as float32 arrays; bags as they are, read when needed.
    """
    if len(X) == 0:
        raise ValueError("X has no patients (0 sample(s)), while a minimum of 1 is required.")
    columns, present = [], np.empty((len(X), len(layout)), dtype=bool)
    for m, modality in enumerate(layout):
        read = _read_bags if modality.is_bag else _read_block
        column, present[:, m] = read(X, modality)
        columns.append(column)
    check_has_any(present, X.index, [modality.name for modality in layout])
    return Patients(columns, present, target)


def _read_bags(X, modality):
    dtype = X.dtypes.iloc[modality.columns[0]]
    if not isinstance(dtype, BagDtype):
        raise ValueError(f"Modality {modality.name!r} was a bag column in fit and now has dtype {dtype}.")
    bags = _bags(X, modality.columns)
    present = ~np.asarray(bags.isna())
    if present.any() and bags.n_features != modality.n_features:
        raise ValueError(
            f"The tiles of modality {modality.name!r} have {bags.n_features} features, but the model was fitted on "
            f"{modality.n_features}. Use the feature extractor of the training cohort."
        )
    return BagColumn(modality.name, bags, X.index), present


def _read_block(X, modality):
    _check_numeric(X, modality.name, modality.columns)
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which the next lines report
        values = X.iloc[:, modality.columns].to_numpy(dtype=np.float32, na_value=np.nan)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"Patient {X.index[row]!r} has an infinite value (infinity, or beyond float32) in column "
            f"{X.columns[modality.columns[column]]!r}. Clip the values or repair the table."
        )
    is_nan = np.isnan(values)
    present = ~is_nan.all(axis=1)
    partial = is_nan.any(axis=1) & present
    if partial.any():
        row = np.flatnonzero(partial)[0]
        raise ValueError(
            f"{subject(X.index[partial], 'Patient', 'has', 'have')} NaN in some columns of modality {modality.name!r}, "
            f"for example {X.columns[modality.columns[is_nan[row].argmax()]]!r}. Impute them, for example with "
            "SimpleImputer in make_modality_transformer; NaN in all columns of a modality means that the patient lacks "
            "it."
        )
    return VectorColumn(values), present


def check_reads(encoder, modality):
    """Refuse an encoder for bags on a numeric block and the reverse."""
    if encoder.reads not in ("bag", "vector"):
        raise ValueError(f"{type(encoder).__name__}.reads must be 'bag' or 'vector', got {encoder.reads!r}.")
    if (encoder.reads == "bag") != modality.is_bag:
        kinds = {"bag": "a bag column", "vector": "numeric columns"}
        found = kinds["bag" if modality.is_bag else "vector"]
        fitting = "AttentionMIL, MeanMIL or TileTokens" if modality.is_bag else "SNN, MLP, PathwaySNN or Identity"
        raise ValueError(
            f"Modality {modality.name!r} is {found}, but {type(encoder).__name__} reads {kinds[encoder.reads]}. Use "
            f"{fitting}."
        )


def check_has_any(present, patients, names):
    """Refuse patients who have none of the modalities `names`."""
    nothing = patients[~present.any(axis=1)]
    if len(nothing):
        raise ValueError(
            f"{subject(nothing, 'Patient', 'has', 'have')} none of the modalities {shorten(names)} that the model "
            "reads. Drop such patients from X and y."
        )


def check_present(present, names):
    """Refuse to train on a modality that nobody has."""
    for name, has_any in zip(names, present.any(axis=0)):
        if not has_any:
            raise ValueError(f"No patient has modality {name!r}, so it cannot be learnt. Leave it out.")


def check_outcome(y, patients):
    """Event and time of each patient.

    Parameters
    ----------
    y : structured array of shape (n_patients,)
        Event indicator and time, as made by `sksurv.util.Surv`.
    patients : Index of shape (n_patients,)
        Their names for messages.

    Returns
    -------
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    time : ndarray of float, shape (n_patients,)
        Time of the event or of censoring.

    Raises
    ------
    ValueError
        If y is not structured, has another length than X, has times that are missing, infinite or negative, has
        no event, or is of one patient only.
    """
    if y is None:
        raise ValueError(
            "A survival estimator requires y to be passed, but the target y is None. Make it with sksurv.util.Surv."
        )
    if isinstance(y, np.ndarray) and y.dtype.names is not None and len(y.dtype.names) == 2:
        _check_times(y[y.dtype.names[1]], patients)
    try:
        event, time = check_y_survival(y, allow_all_censored=True)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{error} (y is {_describe_outcome(y)}). Make y with sksurv.util.Surv.from_dataframe(event, time, table) "
            "or Surv.from_arrays(event, time): the event first, as True or False, then the time."
        ) from None
    if len(event) == 1:
        raise ValueError(f"X has one sample only, patient {patients[0]!r}, so there is no order to learn.")
    if not event.any():
        raise ValueError(
            f"None of the {len(event)} patients has an event: all samples are censored, so there is nothing to learn."
        )
    return event, time.astype(float)


def _describe_outcome(y):
    return f"an array of dtype {y.dtype}" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"


def _check_times(time, patients):
    if len(time) != len(patients):
        raise ValueError(
            f"X has {len(patients)} patients and y has {len(time)} (inconsistent numbers of samples). Build y from the "
            "same patients, for example with clinical.loc[X.index]."
        )
    if time.dtype.kind not in "fiu":
        return  # check_y_survival says what is wrong
    for what, bad in {"NaN": np.isnan(time), "infinite": np.isinf(time), "negative": time < 0}.items():
        if bad.any():
            raise ValueError(
                f"{subject(patients[bad], 'Patient', 'has', 'have')} a time that is {what}. Correct or drop such times."
            )


def weighed_modality(name, encoders, weighs):
    """Position of the modality whose tiles have weights.

    Parameters
    ----------
    name : str or None
        The modality that the user asks for.
    encoders : dict of str to str
        The encoder of each modality.
    weighs : list of bool
        Whether these weigh tiles.
    """
    if name is not None and name not in encoders:
        raise ValueError(f"modality={name!r} is not one of {shorten(encoders)}.")
    weighed = [one for one, has_weights in zip(encoders, weighs) if has_weights]
    if name is None and len(weighed) > 1:
        raise ValueError(f"Several modalities have weights of tiles: pass modality={' or '.join(map(repr, weighed))}.")
    if name is None and weighed:
        (name,) = weighed
    if name not in weighed:
        asked = [f"{encoder} ({one!r})" for one, encoder in encoders.items() if name in (None, one)]
        raise ValueError(
            f"{' and '.join(asked)} {'does' if len(asked) == 1 else 'do'} not weigh tiles. AttentionMIL, DeepAttnMISL "
            f"and TransformerMIL do. Modalities of this model that have weights of tiles: {shorten(weighed) or 'none'}."
        )
    return list(encoders).index(name)


def tile_table(bags, weights):
    """Attention and, where all bags know them, slide and coordinates of all tiles, indexed by patient and tile."""
    n_tiles = bags.array.n_tiles
    tile = np.concatenate([np.arange(n) for n in n_tiles]) if len(bags) else np.empty(0, dtype=int)
    index = pd.MultiIndex.from_arrays([bags.index.repeat(n_tiles), tile], names=["patient", "tile"])
    table = pd.DataFrame({"attention": weights}, index=index)
    slides = [bag.slides for bag in bags]
    if slides and all(one is not None for one in slides):
        table["slide"] = [name for one in slides for name, n in one.items() for _ in range(n)]
    coords = [bag.coords for bag in bags]
    if coords and all(one is not None for one in coords):
        table[["x", "y"]] = np.concatenate(coords)
    return table
