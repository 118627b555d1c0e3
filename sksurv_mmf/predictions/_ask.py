"""One way to ask any survival estimator: for risks, for survival functions, or for the model that a search hides.

What is asked is fitted, and of this package, of scikit-survival, or of others that follow its conventions. Pipelines,
searches and the scorers of scikit-survival hold another estimator, in any depth, and do not hand on all that it offers.
"""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from sksurv.metrics import (
    as_concordance_index_ipcw_scorer,
    as_cumulative_dynamic_auc_scorer,
    as_integrated_brier_score_scorer,
)

from ..utils._frames import as_frame, check_is_table
from ..utils._sklearn import num_samples
from ._checks import check_risk

CURVES = "predict_survival_function"
SCORERS = (as_concordance_index_ipcw_scorer, as_cumulative_dynamic_auc_scorer, as_integrated_brier_score_scorer)


def predict_risk(estimator, X):
    """Risk scores, higher for an earlier event; of an estimator that predicts times, minus these.

    Parameters
    ----------
    estimator : estimator
        A fitted survival estimator.
    X : DataFrame or array-like
        Patients as it reads them.

    Returns
    -------
    ndarray of float, shape (n_patients,)

    Raises
    ------
    ValueError
        If it predicts anything but one finite number per patient.
    """
    name = f"predict of {type(estimator).__name__} returned"
    patients = X.index if isinstance(X, pd.DataFrame) else None
    prediction = check_risk(estimator.predict(X), num_samples(X), name, patients)
    return prediction if _predicts_risk(estimator) else -prediction


def _predicts_risk(estimator):
    """Whether predictions rise with the risk.

    scikit-survival says so in an attribute, which its mixin, `score` and Pipeline know and no search hands on. What
    does not say predicts risks.
    """
    told = [one._predict_risk_score for one in _nested(estimator) if hasattr(one, "_predict_risk_score")]
    return told[0] if told else True


def predict_curves(estimator, X):
    """Survival functions.

    Parameters
    ----------
    estimator : estimator
        A fitted survival estimator.
    X : DataFrame or array-like
        Patients as it reads them.

    Returns
    -------
    ndarray of object, shape (n_patients,)
        One function of time per patient; its values are not looked at, see `check_curves`.

    Raises
    ------
    AttributeError
        If neither the estimator nor what it holds predicts survival functions.
    ValueError
        If it predicts something else.
    """
    model, X = unwrap(estimator, X, CURVES)
    curves = model.predict_survival_function(X)
    if np.shape(curves) != (num_samples(X),) or not all(map(callable, curves)):
        raise ValueError(
            f"{CURVES} of {type(model).__name__} returned no functions, but shape {np.shape(curves)} for "
            f"{num_samples(X)} patients; one function of time per patient is needed, such as a StepFunction."
        )
    return np.array(curves, dtype=object)


def innermost(estimator):
    """The model that makes the predictions: the last step of a Pipeline, the best estimator of a search."""
    return _nested(estimator)[-1]


def has(estimator, method):
    """Whether the estimator, or one that it holds, has `method`."""
    return any(hasattr(one, method) for one in _nested(estimator))


def will_predict(estimator):
    """Whether an estimator predicts, or may once it is fitted, as a search of one of scikit-survival's scorers."""
    return hasattr(estimator, "predict") or hasattr(estimator, "estimator")


def unwrap(estimator, X, method=None):
    """The outermost estimator that has `method`, or the innermost, and X as that sees it."""
    if method is not None:
        _check_has(estimator, method)
    nested = _nested(estimator)
    for one in nested[:-1]:
        if method is not None and hasattr(one, method):
            return one, X
        if isinstance(one, Pipeline) and len(one) > 1:
            X = one[:-1].transform(X)
    return nested[-1], X


def _nested(estimator):
    """The estimator, what it asks to predict, what that asks, and so on."""
    nested = [estimator]
    while (inner := _inner(nested[-1])) is not None:
        nested.append(inner)
    return nested


def _inner(estimator):
    if isinstance(estimator, Pipeline):
        return estimator[-1]
    if isinstance(estimator, SCORERS):  # forests have an attribute of this name, too, which is a template
        return getattr(estimator, "estimator_", None)
    return getattr(estimator, "best_estimator_", None)


def check_model(estimator, method="predict", fitted=True):
    """Refuse what is no estimator, is not `fitted`, or has no such `method`, nor holds an estimator that has."""
    if isinstance(estimator, type):
        raise TypeError(
            f"estimator is the class {estimator.__name__}; pass an object, such as {estimator.__name__}(...)"
            f"{'.fit(X, y)' if fitted else ''}."
        )
    if not (hasattr(estimator, "fit") or hasattr(estimator, "predict")):
        raise TypeError(
            f"estimator must be a {'fitted ' if fitted else ''}survival estimator, or a Pipeline or search of one, "
            f"got {type(estimator).__name__}: {estimator!r:.80}."
        )
    if fitted and hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    if fitted or not will_predict(estimator):
        _check_has(estimator, method)


def _check_has(estimator, method):
    if not has(estimator, method):
        last = innermost(estimator)
        held = "which" if last is estimator else f"whose {type(last).__name__}"
        raise AttributeError(f"estimator is a {type(estimator).__name__}, {held} has no {method}.")


def check_frame(X):
    """X as a frame of pandas; refuse what is no frame, where patients or modalities are found by name."""
    check_is_table(X)
    X = as_frame(X)
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"X must be a DataFrame with one row per patient, got {type(X).__name__}.")
    return X


def check_hashable(name, value):
    """Refuse a list or a dict where one name is asked for."""
    if not isinstance(value, Hashable):
        raise ValueError(f"{name} must be a single name, got {type(value).__name__}: {value!r:.80}.")
