"""Kaplan-Meier estimates of many resamples of the same patients at once."""

import numpy as np

from ._running_sum import running_sum


def kaplan_meier(weight, event, time, at):
    """Probability of no event up to each of the times `at`, shape (n_resamples, n_times).

    `weight`, shape (n_resamples, n_patients), says how often each resample has each patient. Where nobody is at risk
    any more, a curve stays as it is.
    """
    # Curves step at events alone; the censored count among those at risk.
    event_times = np.unique(time[event])
    order, cases = np.argsort(time, kind="stable"), np.flatnonzero(event)
    gone = running_sum(weight[:, order])[:, np.searchsorted(time[order], event_times)]
    at_risk = weight.sum(axis=1, keepdims=True) - gone
    cases = cases[np.argsort(time[cases], kind="stable")]
    events = np.diff(running_sum(weight[:, cases])[:, np.searchsorted(time[cases], [*event_times, np.inf])], axis=1)
    hazard = np.divide(events, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    curve = np.hstack([np.ones((len(weight), 1)), np.cumprod(1 - hazard, axis=1)])
    return curve[:, np.searchsorted(event_times, at, side="right")]


def event_probability(weight, event, time, horizon):
    """Kaplan-Meier's probability of an event up to `horizon`, shape (n_resamples,).

    NaN of nobody, and where the last patient leaves before without an event: what comes then is not known.
    """
    survival = kaplan_meier(weight, event, time, [horizon])[:, 0]
    known = (weight[:, time >= horizon] > 0).any(axis=1) | (survival <= 0)
    return np.where(known & (weight > 0).any(axis=1), 1 - survival, np.nan)


def limits_of_certainty(value, event, time, at, confidence_level):
    """Limits of a probability of 0 or 1, of those who are known to have had the event by a time or to be without it.

    Clopper and Pearson's: Kaplan-Meier's own limits, and resamples, would call 0 and 1 certain, however few the
    patients are.
    """
    n_known = np.count_nonzero((time >= at) | event)
    far = (0.5 - confidence_level / 2) ** (1 / max(1, n_known))
    return (far, 1.0) if value == 1 else (0.0, 1 - far)
