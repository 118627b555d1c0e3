"""Scores of a test fold: each has a value, or a reason why it does not exist."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sksurv.metrics import (
    brier_score,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.nonparametric import SurvivalFunctionEstimator
from sksurv.util import check_y_survival

from ..outcome._outcome import Outcome
from ..predictions._checks import check_curves, common_domain, curve_values
from ..predictions._fold_outcome import ScoreDoesNotExist, brier_losses
from ..statistics._kaplan_meier import kaplan_meier
from ..statistics._pair_sums import PairSums, event_rank, weighted_concordance
from ..statistics._paired_tests import divide_or_nan
from ..statistics._running_sum import running_sum
from ..utils._validation import format_time, shorten
from ..utils._warnings import warn

# R's `concordance(timefix = FALSE)` takes risks as they are; a tolerance would make the index depend on their scale.
TIED_TOL = 0


@dataclass(frozen=True)
class FoldPrediction:
    """What a model predicts for the test patients of a fold.

    Attributes
    ----------
    risk : ndarray of shape (n_test,)
        Risk, higher for an earlier event.
    curves : ndarray of StepFunction, shape (n_test,), or str
        Survival functions, or the reason why there are none.
    seconds : float
        How long the model was trained.
    """

    risk: np.ndarray
    curves: np.ndarray | str
    seconds: float = np.nan

    def survival(self, times):
        """Probability of no event up to each of `times`, shape (n_test, n_times)."""
        if isinstance(self.curves, str):
            raise ScoreDoesNotExist(self.curves)
        times = np.atleast_1d(times)
        start, end = common_domain(self.curves)
        if not (start <= times.min() and times.max() <= end):
            raise ScoreDoesNotExist(
                "the survival functions reach from {} to {}, not from {} to {}".format(
                    *map(format_time, (start, end, times.min(), times.max()))
                )
            )
        return curve_values(self.curves, times)


def harrell(outcome, prediction):
    """Harrell's C-index: share of comparable pairs of patients that the risk orders rightly."""
    event, time = Outcome.of(outcome.y_test)
    if not event.any():
        raise ScoreDoesNotExist(f"no event among {len(event)} test patients")
    rank = event_rank(event, time)
    if not (rank[event] < rank.max()).any():
        raise ScoreDoesNotExist(
            f"no two of {len(event)} test patients can be compared: nobody is followed beyond the first event"
        )
    return _share_in_order(rank, event.astype(float), prediction.risk)


def uno(outcome, prediction):
    """Uno's C-index up to the end of the time range: pairs weighted against censoring."""
    event, time = check_y_survival(outcome.truncated)
    rank = event_rank(event, time)
    if not (rank[event] < rank.max(initial=0)).any():
        raise ScoreDoesNotExist("no two test patients can be compared within the time range")
    weight = outcome.censoring.predict_ipcw(outcome.truncated) ** 2
    return _share_in_order(rank, event * weight, prediction.risk)


def _share_in_order(rank, weight, risk):
    """Share of pairs whose patient of lower rank has the higher risk, by the weight of that patient.

    In n log n operations, where scikit-survival's functions look at each pair.
    """
    return weighted_concordance(rank, weight, [(1, risk)])(np.ones((1, len(risk))))[0]


def auc(outcome, prediction):
    """Mean over the time range of the cumulative/dynamic AUC, weighted by the drop in survival."""
    return cumulative_dynamic_auc(outcome.y_train, outcome.truncated, prediction.risk, outcome.times, TIED_TOL)[1]


def auc_at(outcome, prediction, horizon):
    """Cumulative/dynamic AUC: patients with an event by the horizon against those without one."""
    outcome.check_horizon(horizon)
    return cumulative_dynamic_auc(outcome.y_train, outcome.truncated, prediction.risk, horizon, TIED_TOL)[1]


def ibs(outcome, prediction):
    """Brier score, averaged over the time range."""
    survival = prediction.survival(outcome.times)
    return integrated_brier_score(outcome.y_train, outcome.truncated, survival, outcome.times)


def brier_at(outcome, prediction, horizon):
    """Squared error of the survival probability at the horizon, weighted against censoring."""
    outcome.check_horizon(horizon)
    return brier_score(outcome.y_train, outcome.truncated, prediction.survival(horizon), horizon)[1][0]


def calibration_at(outcome, prediction, horizon):
    """Mean predicted probability of an event by the horizon, minus the Kaplan-Meier estimate of the test patients."""
    outcome.check_horizon(horizon)
    observed = SurvivalFunctionEstimator().fit(outcome.y_test).predict_proba(np.array([horizon]))[0]
    # The difference of the risks, for those are 1 minus these.
    return observed - prediction.survival(horizon).mean()


# For the bootstrap over patients: the difference of two models, as a function of how often each test patient was drawn,
# shape (n_bootstrap, n_test). Weights against censoring and the time range remain those of the fold as it is.


def harrell_difference(outcome, a, b):
    """Difference of Harrell's C-index."""
    event, time = check_y_survival(outcome.y_test)
    return _difference_of_order(event_rank(event, time), event.astype(float), a, b)


def uno_difference(outcome, a, b):
    """Difference of Uno's C-index."""
    event, time = check_y_survival(outcome.truncated)
    # Squared, for both patients of a pair must have stayed uncensored until the earlier time.
    weight = outcome.censoring.predict_ipcw(outcome.truncated) ** 2
    return _difference_of_order(event_rank(event, time), event * weight, a, b)


def auc_difference(outcome, a, b):
    """Difference of the mean AUC: where a resample lacks controls at late times, the mean ends before."""
    event, time = check_y_survival(outcome.truncated)
    case_weight, times = outcome.censoring.predict_ipcw(outcome.truncated) * event, outcome.times
    order = np.argsort(time, kind="stable")
    upto = np.searchsorted(time[order], times, side="right")  # number of patients up to each time
    before = np.searchsorted(times, time)  # number of times before each patient's own
    sums = PairSums(np.unique(time, return_inverse=True)[1], [(1, a.risk), (-1, b.risk)], event)

    def difference(drawn):
        case = drawn * case_weight
        n_cases, n_gone = (running_sum(one[:, order])[:, upto] for one in (case, drawn))
        n_pairs = n_cases * (drawn.sum(axis=1, keepdims=True) - n_gone)
        # scikit-survival weighs times by the fall of the test patients' curve; here it falls anew in each resample.
        drops = -np.diff(kaplan_meier(drawn, event, time, times), axis=1, prepend=1)
        share = np.divide(drops, n_pairs, out=np.zeros_like(drops), where=n_pairs > 0)
        # A case and a control are compared at all times from hers to before his: a difference of two running sums.
        shares = running_sum(share)[:, before]
        total = sums(case.T, (drawn * shares).T) - sums((case * shares).T, drawn.T)
        return divide_or_nan(total, np.where(n_pairs > 0, drops, 0).sum(axis=1))

    return difference


def auc_difference_at(outcome, a, b, horizon):
    """Difference of the AUC at a horizon."""
    outcome.check_horizon(horizon)
    event, time = check_y_survival(outcome.truncated)
    case = outcome.censoring.predict_ipcw(outcome.truncated) * (event & (time <= horizon))
    return _difference_of_order((time > horizon).astype(int), case, a, b)


def brier_difference_at(outcome, a, b, horizon):
    """Difference of the Brier score at a horizon."""
    outcome.check_horizon(horizon)
    return _difference_of_losses(outcome, a, b, np.array([horizon]))


def ibs_difference(outcome, a, b):
    """Difference of the integrated Brier score."""
    return _difference_of_losses(outcome, a, b, outcome.times)


def calibration_difference_at(outcome, a, b, horizon):
    """Difference of the absolute errors of the mean predicted risk at a horizon.

    The errors have the signs that they have in the fold as it is: absolute values of resampled errors are too large
    where the error is small, and their difference would not scatter around that of the fold.
    """
    outcome.check_horizon(horizon)
    event, time = check_y_survival(outcome.y_test)
    signs = [np.sign(calibration_at(outcome, one, horizon)) for one in (a, b)]

    def difference(drawn):
        observed = kaplan_meier(drawn, event, time, [horizon])[:, 0]
        survival = (divide_or_nan(drawn @ one.survival(horizon)[:, 0], drawn.sum(axis=1)) for one in (a, b))
        return np.subtract(*(sign * (observed - one) for sign, one in zip(signs, survival)))

    return difference


def _difference_of_order(rank, weight, a, b):
    return weighted_concordance(rank, weight, [(1, a.risk), (-1, b.risk)])


def _difference_of_losses(outcome, a, b, times):
    loss = np.subtract(*(brier_losses(outcome, one.survival(times), times) for one in (a, b)))
    return lambda drawn: divide_or_nan(drawn @ loss, drawn.sum(axis=1))


@dataclass(frozen=True)
class Score:
    """A score with what a reader must know about it.

    Attributes
    ----------
    name : str
        Name in tables.
    title : str
        Name for an axis.
    better : {"higher", "lower", "zero"}
        Which values are good.
    compute : callable
        ``compute(outcome, prediction)`` gives the value or raises `ScoreDoesNotExist`.
    difference : callable
        ``difference(outcome, a, b)`` gives the difference of two predictions as the bootstrap wants it, a function of
        how often each test patient was drawn.
    chance : float or None
        Value of a model that knows nothing.
    limits : tuple of (float, float)
        Between which its values lie. A Brier score may exceed 1 by its weights against censoring.
    """

    name: str
    title: str
    better: str
    compute: Callable
    difference: Callable
    chance: float | None = None
    limits: tuple[float, float] = (-np.inf, np.inf)

    def at(self, horizon):
        """Fix the horizon."""
        compute, difference = (partial(one, horizon=horizon) for one in (self.compute, self.difference))
        time = format_time(horizon)
        name, title = f"{self.name}@{time}", self.title.format(time)
        return replace(self, name=name, title=title, compute=compute, difference=difference)


SHARE = (0, 1)
OVER_TIME = [
    Score("harrell", "Harrell's C-index", "higher", harrell, harrell_difference, 0.5, SHARE),
    Score("uno", "Uno's C-index", "higher", uno, uno_difference, 0.5, SHARE),
    Score("auc", "Time-dependent AUC", "higher", auc, auc_difference, 0.5, SHARE),
    # Weights against censoring may lift a Brier score above 1.
    Score("ibs", "Integrated Brier score", "lower", ibs, ibs_difference, limits=(0, np.inf)),
]
AT_HORIZON = [
    Score("auc", "AUC at\N{NO-BREAK SPACE}{}", "higher", auc_at, auc_difference_at, 0.5, SHARE),
    Score("brier", "Brier score at\N{NO-BREAK SPACE}{}", "lower", brier_at, brier_difference_at, limits=(0, np.inf)),
    Score(
        "calibration",
        "Predicted \N{MINUS SIGN} observed risk at\N{NO-BREAK SPACE}{}",
        "zero",
        calibration_at,
        calibration_difference_at,
        0,
        (-1, 1),
    ),
]
KNOWN = list(dict.fromkeys(score.name for score in OVER_TIME + AT_HORIZON))


def choose_scores(scoring, horizons):
    """Scores by name, those at a horizon as ``"auc@365"``.

    Parameters
    ----------
    scoring : list of str or None
        Names of scores; None is all that exist with these horizons.
    horizons : list of float
        Times of the scores at a horizon.

    Returns
    -------
    dict of Score
    """
    if scoring is not None and not len(scoring):
        raise ValueError(f"scoring names no score; the scores are {', '.join(KNOWN)}.")
    chosen = []
    for name in KNOWN if scoring is None else scoring:
        if name not in KNOWN:
            at = " The time of a score goes into horizons=, not into its name." if "@" in str(name) else ""
            raise ValueError(f"scoring names {name!r}, which is no score; the scores are {', '.join(KNOWN)}.{at}")
        found = [score for score in OVER_TIME if score.name == name]
        found += [score.at(horizon) for score in AT_HORIZON if score.name == name for horizon in horizons]
        if scoring is not None and not found:
            raise ValueError(f"The score {name!r} needs a time: pass those of interest, such as horizons=[365].")
        chosen += found
    _warn_of_repeats("horizons", [format_time(horizon) for horizon in horizons])
    _warn_of_repeats("scoring", scoring or [])
    return {score.name: score for score in chosen}


def _warn_of_repeats(argument, values):
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        # the caller of the function that compares models, which scikit-learn's validation wraps
        warn(
            f"{argument} names {shorten(twice, 2)} more than once; each counts once. Leave out the others.",
        )


def compute_scores(scores, outcome, prediction):
    """Yield (name, value, reason); the value is NaN where the reason is not empty."""
    prediction = without_flawed_curves(outcome, prediction)
    for name, score in scores.items():
        try:
            value, reason = float(score.compute(outcome, prediction)), ""
        except ValueError as error:  # one's own, or what scikit-survival says of predictions that are not finite
            value, reason = np.nan, str(error)
        if not reason and not np.isfinite(value):
            value, reason = np.nan, f"it came out as {value}"
        yield name, value, reason


def without_flawed_curves(outcome, prediction):
    """The prediction; if its curves are no survival functions, with the reason in their place."""
    if isinstance(prediction.curves, str):
        return prediction
    _, times = Outcome.of(outcome.y_train)
    try:
        check_curves(prediction.curves, np.unique(times), outcome.patients)
    except ValueError as error:
        return replace(prediction, curves=str(error))
    return prediction
