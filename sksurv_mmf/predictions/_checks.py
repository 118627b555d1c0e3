"""What models predict, those of other packages too, is checked before anything is computed from it."""

import numpy as np
from sksurv.functions import StepFunction

from ..utils._validation import format_time

TOLERANCE = 1e-6  # by which rounding, of float32 too, may leave [0, 1] or let a curve rise


def check_risk(risk, n_patients, name, names=None):
    """One finite number per patient, as floats.

    Parameters
    ----------
    risk : array-like
        What is to be checked.
    n_patients : int
        How many patients it is for.
    name : str
        What messages call it, with its verb: "predict of CoxPHSurvivalAnalysis returned".
    names : sequence of hashable, default=None
        Names of the patients; None names none.

    Returns
    -------
    ndarray of float, shape (n_patients,)

    Raises
    ------
    ValueError
        If it is masked, complex or no number, has another shape, or is NaN or infinite anywhere.
    """
    values = as_real_numbers(risk, name)
    if values.shape != (n_patients,):
        raise ValueError(f"{name} shape {values.shape} for {n_patients} patients; one risk per patient is needed.")
    wrong = ~np.isfinite(values)
    if wrong.any():
        who = "" if names is None else f", for example for {names[int(wrong.argmax())]!r}"
        raise ValueError(f"{name} NaN or infinity for {np.count_nonzero(wrong)} patients{who}.")
    return values


def check_probability(probability, n_patients, name, wanted):
    """One probability per patient, as floats; messages call it `name` and ask for what is `wanted`."""
    values = as_real_numbers(probability, f"{name} is")
    if values.shape != (n_patients,):
        raise ValueError(
            f"{name} has shape {values.shape}, but y has {n_patients} patients. Pass the probability of each patient "
            "at one time."
        )
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        raise ValueError(
            f"{name} of {np.count_nonzero(outside)} patients is no probability, for example {values[outside][0]:g}. "
            f"Pass {wanted}, not risks."
        )
    return values


def check_in_follow_up(name, at, event, time):
    """Refuse a time, called `name`, before the first event or after the last patient has left."""
    if not event.any() or not time[event].min() <= at <= time.max():
        first = f"the first event is at {format_time(time[event].min())}" if event.any() else "nobody has an event"
        raise ValueError(
            f"{name}={format_time(at)} is not within the follow-up of the {len(time)} patients: {first}, and the last "
            f"leaves at {format_time(time.max())}. Choose a time in between, in the unit of y; time_unit is only the "
            "word for it."
        )


def as_real_numbers(values, name):
    """An array of floats; masked, complex and other values that would lose something on the way are refused."""
    # np.asarray would pass on what lies under the mask.
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} masked values, {np.ma.count_masked(values)} of {np.size(values)}; numbers are needed."
        )
    array = np.asarray(values)
    try:
        # Objects may be numbers, as in columns of pandas' own dtypes, and the conversion says whether they are.
        if array.dtype.kind in "biufO":
            return array.astype(float)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name} {_describe(array)}; real numbers are needed.")


def _describe(array):
    return f"an array of dtype {array.dtype}" if array.ndim else f"{array.item()!r:.80}"


def common_domain(curves):
    """First and last time at which all curves are known; those that do not tell are taken to reach everywhere."""
    domains = np.array([_domain(curve) for curve in curves], dtype=float)
    return domains[:, 0].max(), domains[:, 1].min()


def _domain(curve):
    domain = getattr(curve, "domain", None)
    if domain is None:
        steps = steps_of(curve)
        return (steps[0], steps[-1]) if len(steps) else (0.0, np.inf)
    return domain


def steps_of(curve):
    """Times at which a curve steps, as `StepFunction` tells them; none of a curve that does not."""
    steps = getattr(curve, "x", None)
    return np.empty(0) if steps is None else np.atleast_1d(np.asarray(steps, dtype=float))


def check_curves(curves, times, patients=None):
    """Refuse survival functions that leave [0, 1], rise, are NaN, complex or masked, or cannot be evaluated.

    A curve is looked at where it steps, if it tells, and at those of `times` that lie in its domain, unless it is a
    `StepFunction`, of which its steps say all. `patients` are the names of the patients in messages; without them, they
    are numbered.
    """
    known = None
    for i, curve in enumerate(curves):
        start, end = _domain(curve)
        before, known = known, (steps_of(curve), type(curve))
        # The curves of a model share their times, which take longer to sort than to look at.
        if before is None or known[0] is not before[0] or known[1] is not before[1]:
            steps, kind = known
            looked_at = np.unique(steps) if kind is StepFunction else np.union1d(steps, times)
        _check_curve(curve, looked_at[(looked_at >= start) & (looked_at <= end)], _name(i, patients))


def curve_values(curves, times):
    """Values of survival functions, of those too that take one time only, at `times`; (n_patients, n_times)."""
    times = np.atleast_1d(np.asarray(times, dtype=float))
    return np.array([_evaluate(curve, times, _name(i)) for i, curve in enumerate(curves)])


def carried_forward(curves, times):
    """Values of survival functions at increasing `times`, those beyond the domain of a curve included.

    Before it a curve is 1, and behind it the curve keeps the last value that is known.
    """
    times = np.asarray(times, dtype=float)
    values = np.ones((len(curves), len(times)))
    for i, curve in enumerate(curves):
        start, end = _domain(curve)
        known = times >= start
        if known.any():
            values[i, known] = _evaluate(curve, np.minimum(times[known], end), _name(i))
    return values


def _name(i, patients=None):
    return f"The survival function of {f'test patient {i}' if patients is None else f'patient {patients[i]!r}'}"


def _check_curve(curve, times, name):
    values = _evaluate(curve, times, name)
    outside = ~((values >= -TOLERANCE) & (values <= 1 + TOLERANCE))
    if outside.any():
        value, time = values[outside][0], format_time(times[outside][0])
        raise ValueError(f"{name} is {'NaN' if np.isnan(value) else f'{value:g}'} at time {time}, no probability.")
    rises = np.flatnonzero(np.diff(values) > TOLERANCE)
    if len(rises):
        (before, after), (start, end) = values[rises[0] :][:2], times[rises[0] :][:2]
        raise ValueError(
            f"{name} rises from {before:g} at time {format_time(start)} to {after:g} at time {format_time(end)}."
        )


def _evaluate(curve, times, name):
    """Values of a curve, also of one that takes one time only."""
    try:
        values = curve(times)
        if np.shape(values) != times.shape:
            raise ValueError
    # Curves of other packages fail in ways of their own when several times are asked for.
    except Exception:
        try:
            values = [curve(float(time)) for time in times]
        except Exception as error:
            raise ValueError(f"{name} cannot be evaluated: {type(error).__name__}: {error}") from error
    one_by_one = isinstance(values, list) or np.asarray(values).dtype == object
    if one_by_one and any(np.ndim(value) and np.size(value) != 1 for value in values):
        raise ValueError(f"{name} has shape {np.shape(values[0])} at one time, where one number is needed.")
    if isinstance(values, list):
        values = np.ma.concatenate([np.ma.atleast_1d(one).ravel() for one in values])
    return as_real_numbers(values, f"{name} has")
