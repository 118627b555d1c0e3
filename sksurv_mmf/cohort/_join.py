"""One table of a cohort from the tables of its modalities."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..bags._array import BagDtype
from ..outcome._align import make_outcome
from ..outcome._table import read_outcome
from ..utils._frames import check_one_level
from ..utils._identifiers import better_match, is_row_number
from ..utils._modality_names import SEPARATOR, column_name
from ..utils._real_numbers import as_real
from ..utils._validation import shorten, subject
from ..utils._warnings import warn
from ._anndata import as_table, modalities_of, obs_of
from ._overlap import check_overlap


def join_modalities(
    modalities, how: str = "inner", *, outcome=None, event: str | None = None, time: str | None = None
) -> Any:
    """Join the modalities of a cohort into one table, one row per patient, and perhaps the outcome with them.

    The usual first step: columns get the prefix of their modality, rows are matched by patient.

    Parameters
    ----------
    modalities : dict of str to (DataFrame, Series or AnnData), or MuData
        Tables whose index is the patient. A frame's columns become ``<modality>__<column>``; a series of dtype
        "bag" becomes ``<modality>__tiles``, another series ``<modality>__<its name>``. Of an AnnData ``X`` is taken,
        see Notes, and of a MuData each of its modalities.
    how : {"inner", "outer"}, default="inner"
        Keep the patients who have every modality, or all patients; those who lack a modality then have NaN in
        its columns (boolean ones become 0.0 and 1.0) or NA in its bag column.
    outcome : DataFrame, AnnData or MuData, default=None
        Table, or what has it as ``obs``, whose index is the patient, with event and time. Patients whose outcome is
        unknown are left out, and a warning names them; those of the table who have no modality are not needed.
    event, time : str, default=None
        Columns of `outcome`: whether the event happened (True and False, or 1 and 0), and the time of the event or of
        censoring. None finds them if the table has no other columns.

    Returns
    -------
    X : DataFrame of shape (n_patients, n_columns)
        In the order in which patients first appear.
    y : structured array of shape (n_patients,)
        Event and time in the order of X, as made by `sksurv.util.Surv`. Only if `outcome` is given.

    Raises
    ------
    TypeError
        If a modality or the outcome has no index to match by.
    ValueError
        If patients are duplicated, numbered by position only or named on several levels, if no patient is common to
        all modalities (for an outer join: has two of them), if a name contains the separator, if a column has complex
        numbers, or if event and time are not to be told, impossible, or unknown for all.

    Warns
    -----
    UserWarning
        If more patients would match were their identifiers written alike, cut to the same part, or looked for in the
        columns of a table; if an inner join keeps less than two thirds of the patients of the smallest modality; if
        less than half of a modality's patients have another one in an outer join (of two modalities the smaller one
        counts); if patients are left out for want of an outcome; and if the name of the event's column may mean the
        reverse. It counts who has which modalities.

    Notes
    -----
    The observations of an AnnData have to be patients, called by ``obs_names``. Neither ``layers`` nor ``raw`` is
    looked at: pass ``adata.to_df(layer="counts")``, or ``adata.raw.to_adata()``, if X is not what is wanted. Clinical
    variables are a modality of their own, ``adata.obs[["age", "stage"]]``. A sparse X becomes dense, if that takes no
    more than 4 GiB. The package anndata is not needed, and ``.h5ad`` files are read with it, by ``anndata.read_h5ad``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf import join_modalities
    >>> bags = pd.Series([np.ones((5, 3)), np.ones((9, 3))], index=["P1", "P2"], dtype="bag")
    >>> rna = pd.DataFrame({"TP53": [0.1, 0.7, 0.4]}, index=["P2", "P1", "P3"])
    >>> join_modalities({"wsi": bags, "rna": rna})
                            wsi__tiles  rna__TP53
    P1  Bag(5 tiles x 3 features)        0.7
    P2  Bag(9 tiles x 3 features)        0.1
    >>> clinical = pd.DataFrame({"age": 60, "os": [1, 0, 1], "os_time": [300, 500, 80]}, index=["P1", "P2", "P3"])
    >>> X, y = join_modalities({"wsi": bags, "rna": rna}, "outer", outcome=clinical, event="os", time="os_time")
    >>> X.index.tolist()
    ['P1', 'P2', 'P3']
    >>> y["time"]
    array([300., 500.,  80.])
    """
    if how not in ("inner", "outer"):
        raise ValueError(f"how must be 'inner' or 'outer', got {how!r}.")
    modalities = modalities_of(modalities)
    if not isinstance(modalities, Mapping):
        raise TypeError(f"modalities must be a dict such as {{'wsi': bags}}, got a {type(modalities).__name__}.")
    if not modalities:
        raise ValueError("modalities is empty; pass a dict such as {'wsi': bags, 'rna': table}.")
    tables = {name: _checked(name, table) for name, table in modalities.items()}
    check_overlap(tables, how)
    if how == "outer":
        tables = {name: make_nullable(table) for name, table in tables.items()}
    prefixed = [table.add_prefix(column_name(name, "")) for name, table in tables.items()]
    # Unsorted, patients stay in the order in which the tables name them.
    X = pd.concat(prefixed, axis=1, join=how, sort=False)
    if outcome is not None:
        return _with_outcome(X, outcome, event, time)
    if event is not None or time is not None:
        raise ValueError(f"event={event!r} and time={time!r} are columns of the outcome: pass outcome, a DataFrame.")
    return X


def _with_outcome(X, outcome, event, time):
    """The patients whose outcome is known, and their outcome."""
    outcome = obs_of(outcome)
    if not isinstance(outcome, pd.DataFrame):
        raise TypeError(
            f"outcome must be a DataFrame whose index is the patient, with the columns event and time, got a "
            f"{type(outcome).__name__}.{_convert(outcome)}"
        )
    _check_patients(outcome, "the outcome")
    known = read_outcome(outcome, event, time, name="outcome").reindex(X.index).dropna()
    unknown = X.index.difference(known.index, sort=False)
    if len(unknown):
        match = better_match(X.index, outcome.index)
        hint = "" if match is None else f" Of X and outcome, {match}."
        if not len(known):
            raise ValueError(
                f"None of the {len(X)} patients has an outcome. Patients are {shorten(X.index, 2)}, those of the "
                f"outcome {shorten(outcome.index, 2)}.{hint}"
            )
        warn(
            f"{len(unknown)} of {len(X)} patients have no outcome and are left out: {shorten(unknown, 2)}.{hint} Add "
            "event and time of these patients, or drop them from the modalities.",
        )
    return X.loc[known.index], make_outcome(known)


def make_nullable(table):
    """Turn booleans into floats: pandas has no NaN among booleans and would make their column one of objects."""
    return table.astype(dict.fromkeys(table.select_dtypes(bool).columns, float))


def _checked(name, table):
    """One modality as a frame, after checking its name, its patients and its numbers."""
    if not isinstance(name, str) or not name or SEPARATOR in name:
        raise ValueError(f"A modality needs a name without {SEPARATOR!r}, got {name!r}.")
    table = as_table(table, f"modality {name!r}")
    if isinstance(table, pd.Series):
        default = "tiles" if isinstance(table.dtype, BagDtype) else "value"
        table = table.to_frame(default if default == "tiles" or table.name is None else table.name)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"Modality {name!r} is a {type(table).__name__} without patients to match by. Pass a DataFrame or Series "
            f"whose index is the patient.{_convert(table)}"
        )
    check_one_level(table.columns)
    _check_patients(table, f"modality {name!r}")
    return as_real(table)


def _convert(table):
    return " Convert it: table.to_pandas().set_index('patient')." if hasattr(table, "to_pandas") else ""


def _check_patients(table, name):
    """Refuse an index that is not one identifier per patient."""
    if isinstance(table.index, pd.MultiIndex):
        raise ValueError(
            f"The index of {name} has {table.index.nlevels} levels, {shorten(table.index.names)}, for example "
            f"{table.index[0] if len(table) else ()}, but a patient is named by one. Keep one level, for example with "
            f"droplevel({list(range(1, table.index.nlevels))})."
        )
    if len(table) == 0:
        raise ValueError(f"There are no patients in {name}: it has no rows.")
    if is_row_number(table.index):
        raise ValueError(
            f"The index of {name} looks like a row number: whole numbers without a name. Pairing rows by "
            "position is not safe. Make the patient the index, for example with set_index('patient'); if these are "
            "patients, name the index, for example with rename_axis('patient')."
        )
    if table.index.hasnans:
        raise ValueError(f"The index of {name} has missing patient identifiers.")
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{subject(repeated, 'Patient', 'has', 'have')} several rows in {name}. Keep one row per "
            "patient; several slides of a patient belong into one bag."
        )
