"""Folds of patients, as positions (train, test), are checked before anything is fitted."""

import numpy as np

from ..utils._validation import shorten


def check_splitter(cv):
    """Refuse a text or a class, which have a length or a method `split`, but no folds."""
    if isinstance(cv, str | type):
        raise ValueError(
            f"cv must be a number of folds, a splitter such as SurvivalKFold(5), or a list of pairs (train, test), got "
            f"{cv!r}."
        )


def check_folds(folds, n_patients):
    """List of the folds, each a pair of arrays of positions, once all are usable.

    Parameters
    ----------
    folds : iterable of (train, test)
        Positions of training and test patients.
    n_patients : int
        Number of patients.

    Returns
    -------
    folds : list of tuple of ndarray of int

    Raises
    ------
    ValueError
        If there is no fold, or if one is no pair, names nobody, somebody twice or on both sides, or nobody's position.
    """
    folds = list(map(_as_pair, folds))
    if not folds:
        raise ValueError("cv gave no fold; a generator can be used only once, so pass a list.")
    for number, fold in enumerate(folds):
        _check_fold(number, fold, n_patients)
    return folds


def _as_pair(fold):
    if not isinstance(fold, tuple | list | np.ndarray):
        raise ValueError(f"cv must give pairs (train, test) of positions, got {fold!r}.")
    return tuple(map(np.asarray, fold))


def _check_fold(number, fold, n_patients):
    if len(fold) != 2:
        raise ValueError(f"Fold {number} of cv must be a pair (train, test), got {len(fold)} parts.")
    for part, name in zip(fold, ("training", "test")):
        if part.ndim != 1 or part.dtype.kind not in "iu" or not len(part):
            raise ValueError(f"Fold {number} of cv must name {name} patients by their positions in X, got {part!r}.")
        if part.min() < 0 or part.max() >= n_patients or len(np.unique(part)) < len(part):
            raise ValueError(
                f"Fold {number} of cv must name {name} patients by positions from 0 to {n_patients - 1}, none twice; "
                f"got {part!r}."
            )
    both = np.intersect1d(*fold)
    if len(both):
        raise ValueError(
            f"Fold {number} of cv tests {len(both)} patients that it also trains on, at positions "
            f"{shorten(both.tolist())}."
        )
