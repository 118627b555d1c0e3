"""Outcomes of patients: from a structured array or a table to event and time in the order of the patients."""

import re
import warnings
from numbers import Number, Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import _num_samples
from sksurv.util import Surv

from ._identifiers import better_match, is_row_number
from ._validation import shorten, subject

HOW = (
    "Make y with sksurv.util.Surv.from_dataframe(event, time, table) or Surv.from_arrays(event, time): the event first, "
    "as True or False, then the time. Or pass a DataFrame of these two columns whose index is the patient."
)

NAMES_TIME = re.compile(r"time|day|week|month|year|durat|follow|surv", re.IGNORECASE)

NAMES_EVENT = re.compile(
    r"event|status|death|dead|died|deceas|relaps|recur|progress|(^|_)(os|dss|pfi|pfs|dfi|dfs|rfs|efs)(_|$)", re.IGNORECASE
)

NAMES_SURVIVOR = re.compile(r"cens|alive|living|surviv(?!al_?(status|event))", re.IGNORECASE)
"""Columns that may be 1 for those who had no event: PORPOISE has "censorship", METABRIC "overall_survival"."""


def align_outcome(y, X=None):
    """Check an outcome and bring it into the order of the patients.

    Parameters
    ----------
    y : structured array of shape (n_patients,) or DataFrame
        Event and time. The two columns of a frame are told apart by what they hold and how they are called.
    X : DataFrame, Series, Index or array-like, default=None
        The patients. None if nothing is known of them. Rows without names go with y by position.

    Returns
    -------
    y : structured array of shape (n_patients,)
        Event as bool and time, both known and no time negative. A structured array keeps its fields.

    Raises
    ------
    ValueError
        If event and time are not to be told, are missing or impossible, or belong to other patients than X.

    Warns
    -----
    UserWarning
        If y has patients that X lacks, or names its patients where X does not.
    """
    patients = X if isinstance(X, pd.Index) else getattr(X, "index", None)
    patients = patients if isinstance(patients, pd.Index) else None
    if isinstance(y, pd.DataFrame):
        outcome = read_outcome(y)
        if X is not None:
            outcome = _align(outcome, patients, _num_samples(X))
        return make_outcome(outcome)
    _check_structured(y)
    if X is not None and len(y) != _num_samples(X):
        raise ValueError(
            f"X has {_num_samples(X)} patients and y has {len(y)} (inconsistent numbers of samples). Build y from the "
            "same patients, for example with clinical.loc[X.index]."
        )
    patients = pd.RangeIndex(len(y)) if patients is None else patients
    if isinstance(y, np.ma.MaskedArray):
        masked = np.any([np.ma.getmaskarray(y[name]) for name in y.dtype.names], axis=0)
        _refuse(patients[masked], "no event or no time (masked)", "Drop such patients from X and y")
        y = y.data
    _check_times(y[y.dtype.names[1]], patients)
    return y


def check_same_rows(y, X):
    """Refuse a table of outcomes whose rows are not those of X, where row numbers will be used for both."""
    if isinstance(y, pd.DataFrame) and isinstance(X, pd.DataFrame | pd.Series) and not y.index.equals(X.index):
        align_outcome(y, X)
        raise ValueError(
            "y has other patients than X, or the same in another order, and folds are numbers of rows of both. Pass "
            "y.loc[X.index]."
        )


def make_outcome(outcome):
    """The structured array of a table with the columns "event" and "time", once all of it is known and possible."""
    unknown = outcome.isna().any(axis=1)
    _refuse(outcome.index[unknown], "no event or no time (NaN)", "Drop such patients from X and y")
    _check_times(outcome["time"].to_numpy(), outcome.index)
    return Surv.from_arrays(outcome["event"].to_numpy() == 1, outcome["time"].to_numpy())


def read_outcome(table, event=None, time=None, name="y"):
    """Read event and time, as numbers with NaN where they are unknown, from columns of a table.

    Parameters
    ----------
    table : DataFrame
        One row per patient.
    event, time : str, default=None
        The columns. None finds them if the table has no others.
    name : str, default="y"
        What messages call the table.

    Returns
    -------
    outcome : DataFrame of shape (n_patients, 2)
        With the columns "event" and "time".
    """
    if (event is None) != (time is None):
        raise ValueError(f"Name both columns or none, got event={event!r} and time={time!r}.")
    if event is None:
        event, time = _find_columns(table, name)
    for column in (event, time):
        if list(table.columns).count(column) != 1:
            raise ValueError(f"{name} must have one column {column!r}, but it has {shorten(table.columns, 10)}.")
    return pd.DataFrame({"event": _read_event(table, event, name), "time": _read_time(table, time, name)}, table.index)


def _find_columns(table, name):
    way_out = "y[['os', 'os_time']]" if name == "y" else "event='os', time='os_time'"
    if table.shape[1] != 2 or table.columns.has_duplicates:
        raise ValueError(
            f"{name} must have two columns, event and time, to be told apart without names, but has "
            f"{shorten(table.columns, 10)}. Say which, for example {way_out}."
        )
    one, two = table.columns
    likely = [column for column in table.columns if _is_event(table[column])]
    if len(likely) != 1:
        # Times of some few patients may all be 0 and 1, and codes of events anything: names have to tell.
        timelike = [column for column in table.columns if NAMES_TIME.search(str(column))]
        likely = [column for column in table.columns if column not in timelike and NAMES_EVENT.search(str(column))]
        if not likely and len(timelike) == 1:
            likely = [column for column in table.columns if column not in timelike]
    if len(likely) != 1:
        raise ValueError(
            f"Which of the columns {one!r} and {two!r} of {name} is the event, and which the time, is not clear: one "
            "should be True and False, or 1 and 0, the other a time. Rename them to 'event' and 'time'."
        )
    event = likely[0]
    time = two if event == one else one
    if NAMES_TIME.search(str(event)) and not NAMES_TIME.search(str(time)):
        raise ValueError(
            f"Column {event!r} of {name} is called a time but holds 0 and 1 only, and {time!r} does not. They seem to "
            "be swapped. Rename them to 'event' and 'time' as they are meant."
        )
    if NAMES_SURVIVOR.search(str(event)):
        raise ValueError(
            f"Column {event!r} of {name} may mark with 1 those who had the event or those who did not. Make a column "
            f"'event' that is 1 where it happened: {name}['{event}'] == 0 or {name}['{event}'] == 1."
        )
    return event, time


def _numbers(column):
    """A column as floats, NaN where values are missing; None if it holds anything but real numbers."""
    values = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if values.dtype == object:
        known = values.dropna()
        if not all(isinstance(value, Real | np.bool_) for value in known):
            return None
    elif not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_complex_dtype(values.dtype):
        return None
    return values.to_numpy(dtype=float, na_value=np.nan)


def _is_event(column):
    values = _numbers(column)
    return values is not None and bool(np.isin(values[~np.isnan(values)], [0, 1]).all())


def _read_event(table, column, name):
    if _is_event(table[column]):
        return _numbers(table[column])
    found = table[column].dropna().unique()
    raise ValueError(
        f"The event {column!r} of {name} must be True where the event happened and False where the patient was "
        f"censored, or 1 and 0, but holds {shorten([as_plain(value) for value in found], 3)}. "
        f"{_advise_event(found, f'{name}[{column!r}]')}"
    )


def _advise_event(values, which):
    """The way from other codes of events to True and False."""
    texts = {str(value) for value in values}
    if texts <= {"1", "2", "1.0", "2.0"}:
        return f"If 2 is the event, as in R, pass {which} == 2."
    if texts <= {"0", "1", "0.0", "1.0"}:
        return f"Pass {which} == {as_plain(max(values))!r}."
    if all(isinstance(value, Number) for value in values):
        return "If these are times, event and time are swapped; if they are kinds of events, choose one of them."
    if all(re.match("[01]:", text) for text in texts):
        return f"Pass {which}.str.startswith('1')."
    event = next((text for text in texts if NAMES_EVENT.search(text)), values[0])
    return f"Pass for example {which} == {as_plain(event)!r}."


def as_plain(value):
    """A number of numpy as one of Python, which prints as the number alone."""
    return value.item() if isinstance(value, np.generic) else value


def _read_time(table, column, name):
    values = _numbers(table[column])
    if values is None or pd.api.types.is_bool_dtype(table[column].dtype):
        raise ValueError(
            f"The time {column!r} of {name} must hold numbers such as days, but has dtype {table[column].dtype}. "
            f"{_advise_time(table[column].dtype, f'{name}[{column!r}]')}"
        )
    return values


def _advise_time(dtype, which):
    if getattr(dtype, "kind", "O") == "m":
        return f"Convert it: {which} / pandas.Timedelta(days=1)."
    if getattr(dtype, "kind", "O") == "M":
        return f"Subtract the date at which the follow-up starts: ({which} - start) / pandas.Timedelta(days=1)."
    if getattr(dtype, "kind", "O") == "b":
        return "Event and time seem to be swapped: the event comes first, then the time."
    if getattr(dtype, "kind", "O") == "c":
        return "Complex numbers are no times."
    return f"Convert it, for example with pandas.to_numeric({which})."


def _align(outcome, patients, n_patients):
    index = outcome.index
    if patients is None or index.equals(patients):
        return _by_position(outcome, patients, n_patients)
    if is_row_number(index) and (len(index) != n_patients or not is_row_number(patients)):
        raise ValueError(
            f"y has {len(index)} rows with row numbers for an index and X {n_patients} patients such as "
            f"{shorten(patients, 2)}: who is who is not to be told. Make the patient the index of y, for example with "
            "y.set_index('patient'), or with y.set_axis(X.index) if the order is the same."
        )
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{subject(repeated, 'Patient', 'has', 'have')} several rows in y. Keep one row per patient.")
    position = index.get_indexer(patients)
    missing = patients[position < 0].unique()
    if len(missing):
        match = better_match(patients.unique(), index)
        raise ValueError(
            f"{subject(missing, 'Patient', 'of X is', 'of X are')} not in y, whose patients are {shorten(index, 2)}. "
            + ("Add them to y, or drop them from X." if match is None else f"Compared {match}.")
            + " If y and X were split by position, bring y into the order of X before: y.loc[X.index]."
        )
    extra = index.difference(patients, sort=False)
    if len(extra):
        warnings.warn(
            f"{subject(extra, 'Patient', 'is', 'are')} in y but not in X, and {'is' if len(extra) == 1 else 'are'} left "
            f"out: {len(patients)} of {len(index)} outcomes are used. If that is meant, pass y.loc[X.index].",
            stacklevel=4,
        )
    return outcome.iloc[position]


def _by_position(outcome, patients, n_patients):
    if len(outcome) != n_patients:
        raise ValueError(
            f"X has {n_patients} patients and y has {len(outcome)} (inconsistent numbers of samples). Pass X as a "
            "DataFrame whose index is the patient, or y of the same patients in the same order."
        )
    if patients is None and not is_row_number(outcome.index):
        warnings.warn(
            "y names its patients, but X does not, so rows are paired by position. Pass X as a DataFrame whose index is "
            "the patient; in a Pipeline, transformers keep it after set_output(transform='pandas'). If the order is the "
            "same, y as a structured array, made by sksurv.util.Surv, says so.",
            stacklevel=5,
        )
    return outcome


def _check_structured(y):
    """Refuse what is no structured array of a boolean event and a numeric time, one per patient."""
    if y is None:
        raise ValueError(
            "A survival estimator requires y to be passed, but the target y is None. Make it with sksurv.util.Surv."
        )
    if not isinstance(y, np.ndarray) or y.dtype.names is None:
        raise ValueError(f"y must be a structured array of event and time, but is {_describe(y)}. {HOW}")
    if y.ndim != 1:
        way_out = "Pass y.ravel()." if y.size == max(y.shape, default=0) else HOW
        raise ValueError(f"y must have one entry per patient, shape (n_patients,), but has shape {y.shape}. {way_out}")
    if len(y.dtype.names) != 2:
        raise ValueError(
            f"y must be a structured array with two fields, event and time, but has {shorten(y.dtype.names)}. Choose "
            "them, for example y[['event', 'time']]."
        )
    event, time = (y[name] for name in y.dtype.names)
    names = [f"y[{name!r}]" for name in y.dtype.names]
    if event.dtype.kind != "b":
        swapped = time.dtype.kind == "b"
        advice = "Event and time are swapped." if swapped else _advise_event(np.unique(event), names[0])
        raise ValueError(
            f"y must be a structured array whose first field is the event, True or False, but {names[0]} has dtype "
            f"{event.dtype}. {advice} {HOW}"
        )
    if time.dtype.kind not in "fiu":
        raise ValueError(
            f"y must be a structured array whose second field is the time, a number, but {names[1]} has dtype "
            f"{time.dtype}. {_advise_time(time.dtype, names[1])}"
        )


def _describe(y):
    if isinstance(y, np.ndarray):
        return f"an array of dtype {y.dtype} and shape {y.shape}"
    return f"a {type(y).__name__}"


def _check_times(time, patients):
    for what, bad in {"NaN": np.isnan(time), "infinite": np.isinf(time), "negative": time < 0}.items():
        _refuse(patients[bad], f"a time that is {what}", "Correct or drop such times")
    if len(time) > 2 and time.max() == 1 and set(np.unique(time)) == {0, 1}:
        raise ValueError(
            f"All {len(time)} times of y are 0 or 1, as if event and time were swapped. The event comes first, as True "
            "or False, then the time."
        )


def _refuse(patients, what, way_out):
    if len(patients):
        raise ValueError(f"{subject(patients, 'Patient', 'has', 'have')} {what}. {way_out}.")
