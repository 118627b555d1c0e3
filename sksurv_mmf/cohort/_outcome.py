"""Event and time of each patient, and every error about them."""

import numpy as np
from sksurv.util import check_y_survival

from ..utils._validation import subject


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
