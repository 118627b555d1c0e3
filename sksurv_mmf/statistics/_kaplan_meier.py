"""Kaplan-Meier estimates of many resamples of the same patients at once."""

import numpy as np


def kaplan_meier(weight, event, time, at):
    """Probability of no event up to each of the times `at`, shape (n_resamples, n_times).

    `weight`, shape (n_resamples, n_patients), says how often each resample has each patient. Where nobody is at risk
    any more, a curve stays as it is.
    """
    # Curves step at events alone; the censored count among those at risk.
    event_times = np.unique(time[event])
    at_risk = weight @ (time[:, np.newaxis] >= event_times)
    events = weight @ (event[:, np.newaxis] & (time[:, np.newaxis] == event_times))
    hazard = np.divide(events, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    curve = np.hstack([np.ones((len(weight), 1)), np.cumprod(1 - hazard, axis=1)])
    return curve[:, np.searchsorted(event_times, at, side="right")]
