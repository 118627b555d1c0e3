"""Fits of several models on the same folds: in parallel, with progress, and kept for the next run."""

import time

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from ..predictions._checks import check_risk
from ._fit_cache import FitCache, keys_of_fits, warn_of_trouble
from ._survival_scores import FoldPrediction


def fit_all(models, tables, y, folds, *, cache=None, n_jobs=None, verbose=False):
    """Fit every model in every fold and predict the fold's test patients.

    Parameters
    ----------
    models : dict of estimator
        The models by name.
    tables : dict of DataFrame or ndarray
        For each model the X that it is given.
    y : structured array of shape (n_patients,)
        Outcome.
    folds : list of (train, test)
        Positions of training and test patients.
    cache : str, Path, Memory or None, default=None
        Where finished fits are kept.
    n_jobs : int or None, default=None
        Number of fits at a time.
    verbose : bool, default=False
        Whether to show progress.

    Returns
    -------
    dict of list
        For each model one `FoldPrediction` per fold, or the text of the error that it raised there.
    """
    kept = FitCache(cache)
    keys = keys_of_fits(models, tables, y) if kept.is_used else dict.fromkeys(models)
    fits = [(name, fold) for name in models for fold in range(len(folds))]
    jobs = [delayed(_attempt)(kept, keys[name], models[name], tables[name], y, *folds[fold]) for name, fold in fits]
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    done = list(tqdm(done, total=len(jobs), desc="comparing models", unit="fit", disable=not verbose))
    troubles = {f"{name}, fold {fold}": trouble for (name, fold), (_, trouble) in zip(fits, done) if trouble}
    warn_of_trouble(troubles, kept.folder, len(fits))
    predictions = [prediction for prediction, _ in done]
    return {name: predictions[i * len(folds) : (i + 1) * len(folds)] for i, name in enumerate(models)}


def fit_and_predict(model, X, y, train, test):
    """Fit a clone to the training patients and predict the test patients."""
    start = time.perf_counter()
    model = clone(model).fit(_rows(X, train), y[train])
    seconds = time.perf_counter() - start
    X_test = _rows(X, test)
    risk = check_risk(model.predict(X_test), len(test), "predict returned", getattr(X_test, "index", None))
    return FoldPrediction(risk, survival_functions(model, X_test), seconds)


def survival_functions(model, X):
    """Survival functions of patients, also from searches and pipelines; or the reason why there are none."""
    if hasattr(model, "predict_survival_function"):
        try:
            curves = model.predict_survival_function(X)
        except Exception as error:  # offered, but not after this fit: the risk is good all the same
            return f"predict_survival_function failed: {error}"
        if np.ndim(curves) != 1 or len(curves) != len(X) or not all(map(callable, curves)):
            return "predict_survival_function did not return one function per patient"
        return np.array(curves, dtype=object)
    if hasattr(model, "best_estimator_"):
        return survival_functions(model.best_estimator_, X)
    if isinstance(model, Pipeline) and len(model) > 1:
        return survival_functions(model[-1], model[:-1].transform(X))
    return "no predict_survival_function"


def _rows(X, positions):
    return X.iloc[positions] if hasattr(X, "iloc") else X[positions]


def _attempt(kept, key, model, X, y, train, test):
    """The prediction, or the error as text; and why it could not be kept, or None.

    An error is not kept, so that the next run tries again. `key` stands for model, X and y. It is made once, and not in
    a worker process, which does not know the classes of the user's script by name.
    """
    key = (key, joblib.hash((train, test)))
    prediction = kept.find(key)
    if prediction is not None:
        return prediction, None
    try:
        prediction = fit_and_predict(model, X, y, train, test)
    except Exception as error:
        return f"{type(error).__name__}: {error}", None
    return prediction, kept.keep(key, prediction)
