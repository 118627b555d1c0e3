"""Event and time from the columns of a table."""

import re
from decimal import Decimal
from numbers import Number, Real

import numpy as np
import pandas as pd

from ..utils._validation import as_plain, shorten
from ..utils._warnings import warn

NAMES_TIME = re.compile(r"time|day|week|month|year|durat|follow|surv", re.IGNORECASE)

NAMES_EVENT = re.compile(
    r"event|status|death|dead|died|deceas|relaps|recur|progress|(^|_)(os|dss|pfi|pfs|dfi|dfs|rfs|efs)(_|$)",
    re.IGNORECASE,
)

NEGATES = re.compile(r"(^|\b)(no|not|non|without|free)(\b|_|$)", re.IGNORECASE)

POSITIVE = re.compile(r"1(\.0)?|y|yes|t|true|\+|pd", re.IGNORECASE)
"""Codes of the event where no word names it."""

NAMES_SURVIVOR = re.compile(r"cens|alive|living|surviv(?!al_?(status|event))", re.IGNORECASE)
"""Columns that may be 1 for those who had no event: PORPOISE has "censorship", METABRIC "overall_survival"."""

NAMES_STATE = re.compile(rf"{NAMES_SURVIVOR.pattern}|vital", re.IGNORECASE)
"""The same, and names that say as little: a "vital_status" of 1 may be the dead or the living."""


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
    is_named = event is not None
    if not is_named:
        event, time = _find_columns(table, name)
    for column in (event, time):
        if list(table.columns).count(column) != 1:
            raise ValueError(f"{name} must have one column {column!r}, but it has {shorten(table.columns, 10)}.")
    if is_named and NAMES_STATE.search(str(event)):
        warn(
            f"Column {event!r} of {name} is read as 1 where the event happened, but its name may mean that 1 marks "
            f"those without one, as PORPOISE's 'censorship' does. If so, turn it round: {name}['event'] = 1 - "
            f"{name}[{event!r}]. If it is right, rename the column to 'event'."
        )
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
        # pandas takes numpy's masked constant for a value.
        values = values.mask(values.map(lambda value: value is np.ma.masked))
        if not all(isinstance(value, Real | np.bool_ | Decimal) for value in values.dropna()):
            return None
    elif not _is_real(values.dtype):
        return None
    return values.to_numpy(dtype=float, na_value=np.nan)


def _is_real(dtype):
    if pd.api.types.is_complex_dtype(dtype):
        return False
    return pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)


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
        f"{advise_event(found, f'{name}[{column!r}]')}"
    )


def advise_event(values, which):
    """The way from other codes of events, of which `values` are the different ones, to True and False."""
    texts = {str(value) for value in values}
    if any(isinstance(value, complex | np.complexfloating) for value in values):
        return "Complex numbers are no events."
    if texts <= {"1", "2", "1.0", "2.0"}:
        return f"If 2 is the event, as in R, pass {_as_map(values, which, lambda value: str(value)[0] == '2')}."
    # cBioPortal writes 0:LIVING and 1:DECEASED.
    if all(re.match("[01]:", text) for text in texts):
        return f"Pass {_as_map(values, which, lambda value: str(value)[0] == '1')}."
    if texts <= {"True", "False"} or all(isinstance(value, Number | np.bool_) for value in values):
        if len(values) <= 2:
            event = max(values)
            return f"If {as_plain(event)!r} is the event, pass {_as_map(values, which, lambda value: value == event)}."
        return "If these are times, event and time are swapped; if they are kinds of events, choose one of them."
    event = _likely_event(values)
    return f"If {as_plain(event)!r} is the event, pass {_as_map(values, which, lambda value: value == event)}."


def _likely_event(values):
    """Which of several codes is most likely the event; only who made the table knows."""
    named = [value for value in values if NAMES_EVENT.search(str(value)) and not NEGATES.search(str(value))]
    positive = [value for value in values if POSITIVE.fullmatch(str(value).strip())]
    return [*named, *positive, *values][0]


def _as_map(values, which, is_event):
    """How to turn codes into 1 and 0; what is missing, a comparison would count as censored."""
    pairs = [f"{as_plain(value)!r}: {int(is_event(value))}" for value in values]
    rest = ", ..." if len(pairs) > 5 else ""
    return f"{which}.map({{{', '.join(pairs[:5])}{rest}}}), which keeps missing values"


def _read_time(table, column, name):
    values = _numbers(table[column])
    if values is None or pd.api.types.is_bool_dtype(table[column].dtype):
        raise ValueError(
            f"The time {column!r} of {name} must hold numbers such as days, but has dtype {table[column].dtype}. "
            f"{advise_time(table[column], f'{name}[{column!r}]')}"
        )
    return values


def advise_time(values, which):
    """The way from something else to times."""
    kind = getattr(values.dtype, "kind", "O")
    if kind == "c" or any(isinstance(value, complex | np.complexfloating) for value in values):
        return "Complex numbers are no times."
    if kind == "m":
        return f"Convert it: {which} / pandas.Timedelta(days=1)."
    if kind == "M":
        return f"Subtract the date at which the follow-up starts: ({which} - start) / pandas.Timedelta(days=1)."
    if kind == "b":
        return "Event and time seem to be swapped: the event comes first, then the time."
    values = pd.Series(values)
    no_numbers = values[values.notna() & pd.to_numeric(values, errors="coerce").isna()].unique()
    if len(no_numbers):
        unknown = shorten(no_numbers, 2)
        return f"Convert it with pandas.to_numeric({which}, errors='coerce'), to which {unknown} is missing."
    return f"Convert it, for example with pandas.to_numeric({which})."
