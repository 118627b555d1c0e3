"""How far predicted hazards are from those of patients: their level, and their spread."""

import numpy as np

from ._paired_tests import divide_or_nan
from ._running_sum import running_sum

LEAST_HAZARD, LEAST_SURVIVAL = 1e-6, 1e-300
"""To which cumulative hazards and survival probabilities are raised, because logarithms of 0 are infinite."""
MOST_STEPS = 50
CONVERGED = 1e-8  # change of the slope, in standard deviations of the score


def log_cumulative_hazard(survival):
    """log(-log S) of survival probabilities, also where these are 0 or 1."""
    return np.log(np.maximum(-np.log(np.maximum(survival, LEAST_SURVIVAL)), LEAST_HAZARD))


def until(event, time, horizon):
    """Event and time of patients who are followed up to `horizon` at most."""
    return event & (time <= horizon), np.minimum(time, horizon)


def calibration_slope(weight, event, time, score):
    """Coefficient of a score in a Cox model, of many resamples at once.

    Of log cumulative hazards at one time this is the calibration slope: 1 if hazard ratios are what the model says,
    less if predictions are too far apart. The baseline hazard takes no part in it. Ties are Breslow's.

    Parameters
    ----------
    weight : ndarray of shape (n_resamples, n_patients)
        How often each resample has each patient.
    event, time : ndarray of shape (n_patients,)
        Their outcome.
    score : ndarray of shape (n_patients,)
        The covariate, finite.

    Returns
    -------
    ndarray of shape (n_resamples,)
        The maximum of the partial likelihood; NaN where there is none, as without events, for scores that are all
        equal, or where a score orders all events.
    """
    scale = score.std()
    if not event.any() or scale <= 1e-9 * max(1, np.abs(score).max()):
        return np.full(len(weight), np.nan)
    order = np.argsort(-time, kind="stable")  # who is at risk at a time comes before
    weight, event, time, score = weight[:, order], event[order], time[order], (score[order] - score.mean()) / scale
    n_at_risk = np.searchsorted(-time, -time[event], side="right")
    cases = weight[:, event]
    slope, step = np.zeros(len(weight)), np.full(len(weight), np.inf)
    for _ in range(MOST_STEPS):
        mean, variance = _moments_at_risk(weight, score, slope, n_at_risk)
        gradient = (cases * (score[event] - mean)).sum(axis=1)
        # Far from the maximum a step of Newton's method may be far too long.
        step = np.clip(divide_or_nan(gradient, (cases * variance).sum(axis=1)), -1, 1)
        slope = slope + step
        if not (np.abs(step) > CONVERGED).any():
            break
    return np.where(np.abs(step) <= CONVERGED, slope, np.nan) / scale


def _moments_at_risk(weight, score, slope, n_at_risk):
    """Mean and variance of the score among those at risk, weighted by their hazards; (n_resamples, n_events)."""
    exponent = slope[:, np.newaxis] * score
    hazard = weight * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    total, first, second = (running_sum(hazard * score**power)[:, n_at_risk] for power in range(3))
    mean, square = (np.divide(one, total, out=np.zeros_like(total), where=total > 0) for one in (first, second))
    return mean, np.maximum(square - mean**2, 0)


def running_windows(values, size, most):
    """Patients whose values are neighbours: positions of at least `size` of them, at most `most` times.

    Patients of equal values stay together.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.unique(np.linspace(0, len(values) - size, most).round().astype(int))
    first = np.searchsorted(ordered, ordered[starts], side="left")
    stop = np.searchsorted(ordered, ordered[starts + size - 1], side="right")
    return [order[slice(*ends)] for ends in dict.fromkeys(zip(first, stop))]
