"""Scores and measures of calibration, each a function of how often each patient was drawn.

Weights against censoring and the range of time remain those of the cohort as it is.
"""

import numpy as np

from ..outcome._outcome import Outcome
from ..predictions._checks import common_domain
from ..predictions._fold_outcome import ScoreDoesNotExist, brier_losses, brier_weights, mean_over_time
from ..statistics._calibration import calibration_slope, log_cumulative_hazard, running_windows, until
from ..statistics._kaplan_meier import event_probability, kaplan_meier, limits_of_certainty
from ..statistics._pair_sums import event_rank, weighted_concordance
from ..statistics._paired_tests import divide_or_nan

MOST_WINDOWS = 25  # of a calibration curve


def harrell(outcome, prediction):
    """Harrell's C-index."""
    event, time = Outcome.of(outcome.y_test)
    return weighted_concordance(event_rank(event, time), event.astype(float), [(1, prediction.risk)])


def uno(outcome, prediction):
    """Uno's C-index."""
    event, time = Outcome.of(outcome.truncated)
    # Squared, for both patients of a pair must have stayed uncensored until the earlier time.
    weight = event * outcome.censoring.predict_ipcw(outcome.truncated) ** 2
    return weighted_concordance(event_rank(event, time), weight, [(1, prediction.risk)])


def auc(outcome, prediction, horizon):
    """Cumulative/dynamic AUC: patients with an event by the horizon against those without one."""
    event, time = Outcome.of(outcome.truncated)
    weight = outcome.censoring.predict_ipcw(outcome.truncated) * (event & (time <= horizon))
    return weighted_concordance((time > horizon).astype(int), weight, [(1, prediction.risk)])


def brier(outcome, prediction, times):
    """Brier score at a time, or its mean over several."""
    check_times(times)
    loss = brier_losses(outcome, prediction.survival(times), times)
    return lambda drawn: drawn @ loss / drawn.sum(axis=1)


def marginal_brier(outcome, times):
    """Brier score of Kaplan-Meier's curve of the patients who are judged, estimated anew in each resample."""
    check_times(times)
    event, time = Outcome.of(outcome.y_test)
    weights = brier_weights(outcome, times)

    def score(drawn):
        survival = kaplan_meier(drawn, event, time, times)
        case, control = (drawn @ one / drawn.sum(axis=1, keepdims=True) for one in weights)
        return mean_over_time(survival**2 * case + (1 - survival) ** 2 * control, times)

    return score


def scaled_brier(outcome, prediction, times):
    """1 minus the ratio of the Brier score to Kaplan-Meier's: 0 of no use, 1 without any error."""
    own, marginal = brier(outcome, prediction, times), marginal_brier(outcome, times)
    return lambda drawn: 1 - divide_or_nan(own(drawn), marginal(drawn))


def times_of_all(outcome, predictions):
    """Times of the outcome that all curves reach, over which Brier scores are integrated; none if they are few."""
    times = outcome.times
    for prediction in predictions:
        if not isinstance(prediction.curves, str):
            start, end = common_domain(prediction.curves)
            times = times[(times >= start) & (times <= end)]
    return times if len(times) > 1 else times[:0]


def check_times(times):
    """Refuse to integrate over nothing."""
    if not len(times):
        raise ScoreDoesNotExist("the survival functions reach fewer than two times at which patients have events")


def event_risk(prediction, horizon):
    """Predicted probability of an event up to the horizon, shape (n_patients,)."""
    return 1 - np.clip(prediction.survival(horizon)[:, 0], 0, 1)


def expected(prediction, horizon):
    """Mean predicted probability of an event."""
    probability = event_risk(prediction, horizon)
    return lambda drawn: drawn @ probability / drawn.sum(axis=1)


def observed(outcome, horizon):
    """Kaplan-Meier's probability of an event."""
    event, time = Outcome.of(outcome.y_test)
    return lambda drawn: event_probability(drawn, event, time, horizon)


def observed_to_expected(outcome, prediction, horizon):
    """Calibration in the large: the ratio of both."""
    above, below = observed(outcome, horizon), expected(prediction, horizon)
    return lambda drawn: divide_or_nan(above(drawn), below(drawn))


def slope(outcome, prediction, horizon):
    """Calibration slope up to the horizon."""
    event, time = until(*Outcome.of(outcome.y_test), horizon)
    # Not by way of the probability of an event, which is 1 long before the hazard is infinite.
    score = log_cumulative_hazard(np.clip(prediction.survival(horizon)[:, 0], 0, 1))
    if np.ptp(score) < 1e-6:
        raise ScoreDoesNotExist("predictions are the same for everybody")
    return lambda drawn: calibration_slope(drawn, event, time, score)


def where_certain(found, event, time, horizon, confidence_level):
    """Value and limits of Kaplan-Meier's probability of an event, which may be 0 or 1 in all resamples."""
    if found[0] not in (0, 1):
        return found
    return np.array([found[0], *limits_of_certainty(found[0], event, time, horizon, confidence_level)])


def calibration_curve(outcome, probability, horizon, resamples):
    """Mean predicted and observed probabilities among patients with neighbouring predictions, from low to high.

    Returns
    -------
    predicted : ndarray of shape (n_windows,)
        Mean predicted probability in each window.
    observed : ndarray of shape (3, n_windows)
        The observed ones, with lower and upper limits.
    n_patients : ndarray of int, shape (n_windows,)
        How many patients are in each.
    """
    event, time = Outcome.of(outcome.y_test)
    n_patients = len(probability)
    # The rate at which windows of kernel estimates shrink, so that they hold ever more patients of ever fewer.
    size = max(1, round(n_patients**0.8))
    windows = running_windows(probability, size, MOST_WINDOWS)

    def statistic(drawn):
        found = [event_probability(drawn[:, one], event[one], time[one], horizon) for one in windows]
        return np.column_stack(found)

    columns = zip(resamples.summarise(statistic).T, windows)
    level = resamples.confidence_level
    observed = np.transpose([where_certain(one, event[w], time[w], horizon, level) for one, w in columns])
    return np.array([probability[one].mean() for one in windows]), observed, np.array([len(one) for one in windows])
