"""Patients who are to be judged: at which times they can be, and how wrong a curve is about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv, check_y_survival

from ..outcome._outcome import Outcome
from ..statistics._evenly import evenly
from ..utils._validation import format_time

AT_RISK = 0.1  # share of the training patients who must still be followed; weights explode where hardly anyone is
MOST_TIMES = 100  # of an integral over time


class ScoreDoesNotExist(ValueError):
    """A score is not defined here; the message says why."""


@dataclass(frozen=True)
class FoldOutcome:
    """Outcome of the patients of a fold, and the times at which test patients can be judged.

    Attributes
    ----------
    y_train, y_test : structured array
        Event and time of training and of test patients.
    patients : Index or None
        Names of the test patients, for messages.
    """

    y_train: np.ndarray
    y_test: np.ndarray
    patients: Sequence | None = None

    @cached_property
    def time_range(self):
        """First time, and the time before which scores over time end.

        Weights against censoring come from the training patients and are known as long as these are followed; the end
        is where a tenth of them is left, or where the test fold ends. Before the first event nothing can be compared.
        """
        event_train, time_train = Outcome.of(self.y_train)
        event, time = Outcome.of(self.y_test)
        for who, has_event in (("training", event_train), ("test", event)):
            if not has_event.any():
                raise ScoreDoesNotExist(f"no event among {len(has_event)} {who} patients")
        start = max(time_train[event_train].min(), time[event].min())
        end = min(np.quantile(time_train, 1 - AT_RISK, method="lower"), time.max())
        if start >= end:
            raise ScoreDoesNotExist(
                f"no time at which test patients can be judged: training and test patients both have events from "
                f"{start:g} on, but are followed until {end:g} only"
            )
        return float(start), float(end)

    @cached_property
    def truncated(self):
        """Outcome of the test patients, all followed until the end of `time_range` at most."""
        _, end = self.time_range
        event, time = Outcome.of(self.y_test)
        # The range is open: who has the event at its end counts as followed until then.
        return Surv.from_arrays(event & (time < end), np.minimum(time, end))

    @cached_property
    def times(self):
        """Times over which scores are integrated: event times of training patients within `time_range`."""
        start, end = self.time_range
        event, time = check_y_survival(self.y_train)
        times = np.unique(time[event & (time >= start) & (time < end)])
        if len(times) < 2:
            raise ScoreDoesNotExist(f"training patients have fewer than two event times from {start:g} to {end:g}")
        # Evenly by rank, so that they lie where the events do.
        return evenly(times, MOST_TIMES)

    @cached_property
    def censoring(self):
        """Probability of not being censored, from the training patients."""
        return CensoringDistributionEstimator().fit(self.y_train)

    def check_horizon(self, horizon):
        """Refuse a horizon at which test patients cannot be judged."""
        start, end = self.time_range
        if not start <= horizon < end:
            raise ScoreDoesNotExist(
                f"horizon {format_time(horizon)} is not within {start:g} and {end:g}, where training and test patients "
                "of this fold have events and are followed"
            )


def brier_weights(outcome, times):
    """Weights against censoring of the squared errors of each patient at `times`: as a case, and as a control.

    Two arrays of shape (n_test, n_times). A case has had the event, and S(t)^2 is her error; (1 - S(t))^2 is a
    control's.
    """
    _, time = check_y_survival(outcome.truncated)
    # Cases weigh by the censoring up to their own time, controls by that up to the time looked at.
    case = outcome.censoring.predict_ipcw(outcome.truncated)[:, np.newaxis] * (time[:, np.newaxis] <= times)
    return case, (time[:, np.newaxis] > times) / outcome.censoring.predict_proba(times)


def brier_losses(outcome, survival, times):
    """Squared error of each patient, weighted against censoring and averaged over `times`."""
    case, control = brier_weights(outcome, times)
    return mean_over_time(survival**2 * case + (1 - survival) ** 2 * control, times)


def mean_over_time(error, times):
    """Mean over `times`, the last axis, by the trapezoidal rule; of a single time, what it has."""
    return error[:, 0] if len(times) == 1 else np.trapezoid(error, times) / (times[-1] - times[0])
