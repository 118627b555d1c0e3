"""Risks of two models for patients whom they have not seen, ready for Cox models with folds as strata."""

from dataclasses import dataclass

import numpy as np

from ..outcome._outcome import Outcome
from ..utils._validation import subject


@dataclass(frozen=True)
class OutOfFold:
    """Outcomes and risks of patients, each of whom comes once.

    Attributes
    ----------
    rows : ndarray of int, shape (n_patients,)
        Positions of the patients in the comparison.
    fold : ndarray of int, shape (n_patients,)
        The fold in which each was tested.
    outcome : Outcome
        Event and time.
    risks : ndarray of shape (n_patients, 2)
        Risk of the reference and of the model, in standard deviations from the mean of the fold; 0 where all patients
        of a fold have the same.
    """

    rows: np.ndarray
    fold: np.ndarray
    outcome: Outcome
    risks: np.ndarray

    def take(self, which):
        """Some of the patients; risks keep the unit that they have."""
        return OutOfFold(self.rows[which], self.fold[which], self.outcome.take(which), self.risks[which])


def repetitions(comparison, names):
    """Put test patients of all folds together, such that each comes once in each `OutOfFold`.

    Folds of a repeated cross-validation become one `OutOfFold` per repetition; those of random splits, whose test
    patients overlap, one per split.

    Parameters
    ----------
    comparison : ModelComparison
        Predictions in folds.
    names : tuple of (str, str)
        Reference and model, whose fits have all succeeded.

    Returns
    -------
    list of OutOfFold
    """
    groups = []
    for fold, (_, test) in enumerate(comparison.folds):
        seen = set(test)
        # The first repetition that has tested none of these patients yet.
        group = next((group for group in groups if not seen & group["patients"]), None)
        if group is None:
            group = {"patients": set(), "folds": []}
            groups.append(group)
        group["patients"] |= seen
        group["folds"].append(fold)
    return [_put_together(comparison, names, group["folds"]) for group in groups]


def _put_together(comparison, names, folds):
    rows = np.concatenate([np.asarray(comparison.folds[fold][1]) for fold in folds])
    sizes = [len(comparison.folds[fold][1]) for fold in folds]
    risks = [np.concatenate([_per_sd(comparison, name, fold) for fold in folds]) for name in names]
    return OutOfFold(rows, np.repeat(folds, sizes), Outcome.of(comparison.y[rows]), np.column_stack(risks))


def _per_sd(comparison, name, fold):
    """Risks of a fold's test patients in standard deviations from their mean."""
    risk = np.asarray(comparison._predictions[name][fold].risk, dtype=float)
    unknown = comparison.patients[comparison.folds[fold][1]][~np.isfinite(risk)]
    if len(unknown):
        raise ValueError(
            f"{subject(unknown, 'Patient', 'has', 'have')} a risk of the model {name!r} that is NaN or infinite, in "
            f"fold {fold}. Correct the model, and compare again."
        )
    deviation = risk - risk.mean()
    # Compared with the risks themselves, because a mean of equal numbers is rounded.
    if np.ptp(risk) <= 1e-12 * np.abs(risk).max():
        return np.zeros(len(risk))
    return deviation / deviation.std(ddof=1)
