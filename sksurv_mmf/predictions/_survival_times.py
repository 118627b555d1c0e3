"""One number of a survival curve: the median, and the mean up to a horizon."""

import numpy as np

from ..utils._validation import format_time
from ._checks import carried_forward, check_curves, common_domain, steps_of


def median_survival_time(curves) -> np.ndarray:
    """Times at which survival functions have fallen to one half.

    Use it where one number of a patient is wanted and most curves fall below one half during follow-up; otherwise
    `restricted_mean_survival_time` has a number for everyone.

    Parameters
    ----------
    curves : sequence of StepFunction
        Survival functions, as `predict_survival_function` of any estimator with scikit-survival's conventions returns
        them.

    Returns
    -------
    ndarray of shape (n_patients,)
        The first time at which a curve is one half or less, in the unit of y; NaN of a curve that stays above.

    Raises
    ------
    ValueError
        If a curve leaves [0, 1], rises, or does not tell where it steps.

    See Also
    --------
    restricted_mean_survival_time : The area under a curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv.functions import StepFunction
    >>> from sksurv_mmf.predictions import median_survival_time
    >>> values = np.array([[0.9, 0.5, 0.2], [0.9, 0.8, 0.6]])
    >>> median_survival_time([StepFunction(np.array([1, 2, 5]), one) for one in values])
    array([ 2., nan])
    """
    curves = _checked(curves)
    return np.array([_first_at_half(curve) for curve in curves], dtype=float)


def restricted_mean_survival_time(curves, horizon: float) -> np.ndarray:
    """Mean times that patients live up to a horizon, the areas under survival functions from 0 to there.

    Use it to tell patients or treatments apart in units of time, whether or not curves fall to one half.

    Parameters
    ----------
    curves : sequence of StepFunction
        Survival functions, as `predict_survival_function` of any estimator with scikit-survival's conventions returns
        them. Before its first step a curve is taken to be 1.
    horizon : float
        Where the mean ends, in the unit of y; at most where the curves end, because nothing is known beyond.

    Returns
    -------
    ndarray of shape (n_patients,)
        Between 0 and `horizon`, in the unit of y.

    Raises
    ------
    ValueError
        If `horizon` is not positive or beyond the end of a curve, or if a curve leaves [0, 1], rises, or does not
        tell where it steps.

    See Also
    --------
    median_survival_time : When a curve falls to one half.

    References
    ----------
    .. [1] Royston, P., Parmar, M. K. B. (2013). Restricted mean survival time: an alternative to the hazard ratio for
       the design and analysis of randomized trials with a time-to-event outcome. BMC Medical Research Methodology 13,
       152.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv.functions import StepFunction
    >>> from sksurv_mmf.predictions import restricted_mean_survival_time
    >>> curve = StepFunction(np.array([1, 2, 5]), np.array([0.9, 0.5, 0.2]))
    >>> restricted_mean_survival_time([curve], horizon=4)  # 1 + 0.9 + 2 * 0.5
    array([2.9])
    """
    curves = _checked(curves)
    if not curves:
        return np.empty(0)
    end = common_domain(curves)[1]
    if not 0 < horizon <= end:
        raise ValueError(
            f"horizon must be above 0 and at most {format_time(end)}, where the first of the curves ends; got "
            f"{horizon!r}."
        )
    return np.array([_area(curve, horizon) for curve in curves])


def _checked(curves):
    """A list of the curves, which step and are survival functions."""
    curves = list(np.atleast_1d(np.asarray(curves, dtype=object)))
    for i, curve in enumerate(curves):
        if not len(steps_of(curve)):
            raise ValueError(
                f"curves must be step functions with times x, as predict_survival_function returns them, but curve {i} "
                f"is {curve!r:.80}."
            )
    check_curves(curves, [])
    return curves


def _first_at_half(curve):
    times = np.sort(steps_of(curve))
    # A product of many factors that is 1/2 may come out a little above.
    low = carried_forward([curve], times)[0] <= 0.5 * (1 + 1e-12)
    return times[low.argmax()] if low.any() else np.nan


def _area(curve, horizon):
    steps = np.sort(steps_of(curve))
    edges = np.r_[0, steps[(steps > 0) & (steps < horizon)], horizon]
    values = carried_forward([curve], edges[:-1])[0]
    values[edges[:-1] < steps[0]] = 1  # where StepFunction has the value of the first step
    return values @ np.diff(edges)  # a curve keeps the value of a step until the next one
