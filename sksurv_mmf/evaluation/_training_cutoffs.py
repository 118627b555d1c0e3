"""Risks that separate groups of patients, learnt from those who trained the model and from nobody else."""

import numpy as np
from sklearn.base import clone

from ..model_selection._split import SurvivalKFold
from ..outcome._align import align_outcome
from ..predictions._ask import innermost, predict_risk
from ..predictions._checks import as_real_numbers
from ._own_columns import own_columns
from ._recalibrate import RecalibratedModel

N_FOLDS = 5


def find_cutoffs(model, X_train, y_train, cutoffs, n_groups):
    """Cut-offs for `n_groups` of equal size in training, and a sentence that says where they are from.

    Returns
    -------
    cutoffs : ndarray of shape (n_groups - 1,) or None
        None if nothing is known of the training patients.
    source : str
        Where they are from, or what is to be done.
    """
    if cutoffs is not None:
        cutoffs = np.atleast_1d(as_real_numbers(cutoffs, "cutoffs is"))
        if cutoffs.ndim != 1 or not len(cutoffs) or np.isnan(cutoffs).any():
            raise ValueError(f"cutoffs must be a list of risks without NaN, got {cutoffs!r:.80}.")
        return np.sort(cutoffs), "given as cutoffs"
    if X_train is None:
        return None, "cut-offs are learnt from training patients: pass X_train and y_train, or cutoffs"
    shares = np.arange(1, n_groups) / n_groups
    X_train = own_columns(model, X_train)
    if y_train is None:
        risk = predict_risk(model, X_train)
        return np.quantile(risk, shares), (
            "quantiles of the risks of the training patients by the model that has seen them, which lie too far apart; "
            "pass y_train for risks by models that have not"
        )
    if isinstance(innermost(model), RecalibratedModel):
        raise ValueError(
            "y_train asks for clones of the model, and those of a RecalibratedModel would have no model to correct. "
            "Pass cutoffs=validation.cutoffs of a validation of the model itself, or X_train alone."
        )
    y_train = align_outcome(y_train, X_train)
    found = []
    for train, held_out in SurvivalKFold(N_FOLDS, shuffle=True, random_state=0).split(X_train, y_train):
        fitted = clone(model).fit(_rows(X_train, train), y_train[train])
        found.append(np.quantile(predict_risk(fitted, _rows(X_train, held_out)), shares))
    # Quantiles of each fold, not of all risks together: scores of different fits may have different zeros.
    return np.mean(found, axis=0), (
        f"quantiles of the risks of the training patients, each by a model that was fitted without her, in {N_FOLDS} "
        "folds; means over the folds"
    )


def _rows(X, positions):
    return X.iloc[positions] if hasattr(X, "iloc") else X[positions]
