"""Net benefit of treating whose predicted probability reaches a threshold, with censored outcomes."""

import numpy as np

from ._kaplan_meier import event_probability


def reaches(probability, threshold):
    """Whose probability reaches a threshold; 1 - 0.8 reaches 0.2, although it is a little less in floating point."""
    return probability >= threshold - 1e-12


def net_benefits(weight, event, time, probability, horizon, thresholds):
    """Net benefit at each threshold in many resamples at once.

    Parameters
    ----------
    weight : ndarray of shape (n_resamples, n_patients)
        How often each resample has each patient.
    event, time : ndarray of shape (n_patients,)
        Their outcome.
    probability : ndarray of shape (n_patients,)
        Predicted probability of an event up to `horizon`.
    horizon : float
        When.
    thresholds : ndarray of shape (n_thresholds,)
        Probabilities from which on patients are treated, each below 1.

    Returns
    -------
    net_benefit, treated : ndarray of shape (n_resamples, n_thresholds)
        The net benefit, NaN where none of the treated is followed up to the horizon; and the share who is treated.
    """
    total = weight.sum(axis=1)
    benefit, share = (np.zeros((len(weight), len(thresholds))) for _ in range(2))
    last = None
    for i, threshold in enumerate(thresholds):
        treated = reaches(probability, threshold)
        if last is None or not np.array_equal(treated, last):
            last, inside = treated, weight[:, treated]
            n_treated = inside.sum(axis=1) / total
            at_risk = event_probability(inside, event[treated], time[treated], horizon)
            # Whom nobody treats has neither benefit nor harm, whatever is known of her.
            positive = np.where(n_treated > 0, at_risk * n_treated, 0)
        share[:, i] = n_treated
        benefit[:, i] = positive - (n_treated - positive) * threshold / (1 - threshold)
    return benefit, share
