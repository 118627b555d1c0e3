"""Event and time of each patient of a model that is to learn from them."""

from ..utils._outcome import align_outcome


def check_outcome(y, patients):
    """Event and time of each patient, from whom something can be learnt.

    Parameters
    ----------
    y : structured array of shape (n_patients,) or DataFrame
        Event and time, as `align_outcome` takes them.
    patients : Index of shape (n_patients,)
        The patients, also for messages.

    Returns
    -------
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    time : ndarray of float, shape (n_patients,)
        Time of the event or of censoring.

    Raises
    ------
    ValueError
        If `align_outcome` refuses y, if nobody has an event, or if there is one patient only.
    """
    y = align_outcome(y, patients)
    event, time = (y[name] for name in y.dtype.names)
    if len(event) == 1:
        raise ValueError(f"X has one sample only, patient {patients[0]!r}, so there is no order to learn.")
    if not event.any():
        raise ValueError(
            f"None of the {len(event)} patients has an event: all samples are censored, so there is nothing to learn."
        )
    return event, time.astype(float)
