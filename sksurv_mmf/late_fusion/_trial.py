"""Whether a member predicts patients who were held out better than a curve that is the same for all."""

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from ..outcome._outcome import Outcome
from ..predictions._fold_outcome import FoldOutcome, ScoreDoesNotExist, brier_losses

MOST_BY_CHANCE = 2  # standard errors; with fewer, members that help are silenced, too, on cohorts of few events
ROUNDING = 1e-9  # by which a member that is Kaplan-Meier may seem worse


def marginal_curve(y, times):
    """Kaplan-Meier's curve of the patients at `times`; behind the last patient it stays as it is."""
    steps, survival = kaplan_meier_estimator(*Outcome.of(y))
    return np.append(1.0, survival)[np.searchsorted(steps, times, side="right")]


class Trial:
    """Gathers held-out curves of a member and of Kaplan-Meier, and compares their integrated Brier scores.

    The patients of all folds are judged together, because those of one fold have few events.

    Parameters
    ----------
    y : structured array of shape (n_patients,)
        Outcome of the training patients.
    rows : ndarray of bool, shape (n_patients,)
        Whom of them the member predicts.
    """

    def __init__(self, y, rows):
        self.rows = rows
        self.outcome = FoldOutcome(y[rows], y[rows])
        try:
            self.times, self.reason = self.outcome.times, ""
        except ScoreDoesNotExist as error:
            self.times, self.reason = np.empty(0), str(error)
        self.curves = np.full((2, len(y), len(self.times)), np.nan)

    def hear(self, rows, survival, y_train):
        """Note what a model says of held-out `rows`, and what Kaplan-Meier of those says who trained it."""
        self.curves[0, rows] = survival
        self.curves[1, rows] = marginal_curve(y_train, self.times)

    def scores(self):
        """Integrated Brier scores of the member and of Kaplan-Meier, and the standard error of their difference.

        NaN where no time can be judged.
        """
        if self.reason:
            return np.full(3, np.nan)
        member, marginal = (brier_losses(self.outcome, one[self.rows], self.times) for one in self.curves)
        error = (member - marginal).std(ddof=1) / np.sqrt(len(member)) if len(member) > 1 else np.inf
        return np.array([member.mean(), marginal.mean(), error])


def is_worse(scores):
    """Whether the first of two Brier scores is worse than the second by more than chance; `scores` as of a trial."""
    member, marginal, error = scores
    return bool(member > marginal + MOST_BY_CHANCE * error + ROUNDING)
