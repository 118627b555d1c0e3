"""One table of a cohort from the tables of its modalities."""

from collections.abc import Mapping

import pandas as pd

from ..bags._array import BagDtype
from ..utils._frames import check_one_level
from ..utils._validation import SEPARATOR, shorten, subject


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
        way_out = " Convert it: table.to_pandas().set_index('patient')." if hasattr(table, "to_pandas") else ""
        raise TypeError(
            f"Modality {name!r} is a {type(table).__name__} without patients to match by. Pass a DataFrame or Series "
            f"whose index is the patient.{way_out}"
        )
    check_one_level(table.columns)
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
