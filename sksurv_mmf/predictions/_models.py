"""The model and the patients that inspection functions are given."""

from collections.abc import Hashable

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..utils._frames import as_frame, check_is_table


def check_model(estimator, method="predict", fitted=True):
    """Refuse what is no estimator, has no such `method`, or is not `fitted`."""
    if isinstance(estimator, type):
        raise TypeError(
            f"estimator is the class {estimator.__name__}; pass an object, such as {estimator.__name__}(...)"
            f"{'.fit(X, y)' if fitted else ''}."
        )
    if not (hasattr(estimator, "fit") or hasattr(estimator, "predict")):
        raise TypeError(
            f"estimator must be a {'fitted ' if fitted else ''}survival estimator or a Pipeline that ends with one, "
            f"got {type(estimator).__name__}: {estimator!r:.80}."
        )
    if fitted and hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    if not hasattr(estimator, method):
        best = (
            f" Pass its best_estimator_ if that is one with {method}." if hasattr(estimator, "best_estimator_") else ""
        )
        raise AttributeError(f"estimator is a {type(estimator).__name__}, which has no {method}.{best}")


def check_frame(X):
    """X as a frame of pandas; refuse what is no frame, where patients or modalities are found by name."""
    check_is_table(X)
    X = as_frame(X)
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"X must be a DataFrame with one row per patient, got {type(X).__name__}.")
    return X


def check_lengths(X, y):
    """Refuse an outcome of other patients than X."""
    if not hasattr(y, "__len__"):
        raise ValueError(f"y must be the outcome of the patients, made with sksurv.util.Surv, got {y!r}.")
    if len(y) != len(X):
        raise ValueError(f"X has {len(X)} patients and y has {len(y)}. Pass the outcome of the patients of X.")


def check_hashable(name, value):
    """Refuse a list or a dict where one name is asked for."""
    if not isinstance(value, Hashable):
        raise ValueError(f"{name} must be a single name, got {type(value).__name__}: {value!r:.80}.")
