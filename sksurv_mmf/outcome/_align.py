"""The outcome of each patient, checked and in the order of the patients."""

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sksurv.util import Surv

from ..utils._frames import as_frame
from ..utils._identifiers import better_match, is_row_number
from ..utils._sklearn import num_samples
from ..utils._validation import shorten, subject
from ..utils._warnings import warn
from ._table import advise_event, advise_time, read_outcome

HOW = (
    "Make y with sksurv.util.Surv.from_dataframe(event, time, table) or Surv.from_arrays(event, time): the event first,"
    " as True or False, then the time. Or pass a DataFrame of these two columns whose index is the patient."
)


def align_outcome(y, X=None):
    """Check an outcome and bring it into the order of the patients.

    Parameters
    ----------
    y : structured array of shape (n_patients,) or DataFrame
        Event and time. The two columns of a frame are told apart by what they hold and how they are called. A table of
        polars has no index, and goes with rows without names.
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
    # Of a list, `index` is a method.
    patients = patients if isinstance(patients, pd.Index) else None
    if nw.dependencies.is_into_dataframe(y) and not isinstance(y, pd.DataFrame):
        if patients is not None and not is_row_number(patients):
            raise ValueError(
                "y is a table without an index, so that only its order tells whose outcome is whose. Name the patients "
                "by y.to_pandas().set_index('patient'); or, if the order is that of X, y.to_pandas().set_axis(X.index)."
            )
        y = as_frame(y)
    if isinstance(y, pd.DataFrame):
        outcome = read_outcome(y)
        if X is not None:
            outcome = _align(outcome, patients, num_samples(X))
        return make_outcome(outcome)
    _check_structured(y)
    if X is not None and len(y) != num_samples(X):
        raise ValueError(
            f"X has {num_samples(X)} patients and y has {len(y)} (inconsistent numbers of samples). Build y from the "
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
        # For what it says of missing patients; what it lets pass has more of them or another order.
        align_outcome(y, X)
        raise ValueError(
            "y has other patients than X, or the same in another order, and folds are numbers of rows of both. Pass "
            "y.loc[X.index]."
        )


def make_outcome(outcome):
    """The structured array of a table with the columns "event" and "time", once all of it is known and possible."""
    unknown = outcome.isna().any(axis=1)
    _refuse(outcome.index[unknown], "no event or no time (NaN)", "Drop such patients from X and y")
    event, time = outcome["event"].to_numpy() == 1, outcome["time"].to_numpy()
    _check_times(time, outcome.index)
    return Surv.from_arrays(event, time)


def _align(outcome, patients, n_patients):
    index = outcome.index
    # By position even if patients recur, as a resample has them, for both sides recur alike.
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
        # Of row numbers a match would be chance: row 1 is not patient P1.
        is_numbered = is_row_number(patients) or is_row_number(index)
        match = None if is_numbered else better_match(patients.unique(), index)
        raise ValueError(
            f"{subject(missing, 'Patient', 'of X is', 'of X are')} not in y, whose patients are {shorten(index, 2)}. "
            + ("Add them to y, or drop them from X." if match is None else f"Compared {match}.")
            + " If y and X were split by position, bring y into the order of X before: y.loc[X.index]."
        )
    extra = index.difference(patients, sort=False)
    if len(extra):
        warn(
            f"{subject(extra, 'Patient', 'is', 'are')} in y but not in X, and {'is' if len(extra) == 1 else 'are'} "
            f"left out: {len(patients)} of {len(index)} outcomes are used. If that is meant, pass y.loc[X.index].",
        )
    return outcome.iloc[position]


def _by_position(outcome, patients, n_patients):
    if len(outcome) != n_patients:
        raise ValueError(
            f"X has {n_patients} patients and y has {len(outcome)} (inconsistent numbers of samples). Pass X as a "
            "DataFrame whose index is the patient, or y of the same patients in the same order."
        )
    if patients is None and not is_row_number(outcome.index):
        warn(
            "y names its patients, but X does not, so rows are paired by position. Pass X as a DataFrame whose index "
            "is the patient; in a Pipeline, transformers keep it after set_output(transform='pandas'). If the order is "
            "the same, a structured array, made by sksurv.util.Surv, says so.",
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
    if event.ndim > 1 or time.ndim > 1:
        raise ValueError(f"The fields of y must hold one value each, but its dtype is {y.dtype}. {HOW}")
    if event.dtype.kind != "b":
        swapped = time.dtype.kind == "b"
        which = f"pandas.Series({names[0]})"
        advice = "Event and time are swapped." if swapped else advise_event(pd.unique(event), which)
        raise ValueError(
            f"y must be a structured array whose first field is the event, True or False, but {names[0]} has dtype "
            f"{event.dtype}. {advice} {HOW}"
        )
    if time.dtype.kind not in "fiu":
        raise ValueError(
            f"y must be a structured array whose second field is the time, a number, but {names[1]} has dtype "
            f"{time.dtype}. {advise_time(time, names[1])}"
        )


def _describe(y):
    if isinstance(y, np.ndarray):
        return f"an array of dtype {y.dtype} and shape {y.shape}"
    return f"a {type(y).__name__}"


def _check_times(time, patients):
    for what, bad in {"NaN": np.isnan(time), "infinite": np.isinf(time), "negative": time < 0}.items():
        _refuse(patients[bad], f"a time that is {what}", "Correct or drop such times")


def _refuse(patients, what, way_out):
    if len(patients):
        raise ValueError(f"{subject(patients, 'Patient', 'has', 'have')} {what}. {way_out}.")
