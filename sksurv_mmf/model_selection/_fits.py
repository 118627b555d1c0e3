"""Fits of several models on the same folds: in parallel, with progress, and kept for the next run."""

import time

import joblib
import numpy as np
from joblib import Memory, Parallel, delayed
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from ..utils._predictions import check_risk
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
    verbose : bool or int, default=False
        Whether to show progress.

    Returns
    -------
    dict of list
        For each model one `FoldPrediction` per fold, or the text of the error that it raised there.
    """
    memory = cache if isinstance(cache, Memory) else Memory(cache, verbose=0)
    fit = memory.cache(fit_and_predict, ignore=["model", "X", "y"])
    keys = _cache_keys(models, tables, y) if cache is not None else dict.fromkeys(models)
    jobs = [
        delayed(_attempt)(fit, model, tables[name], y, train, test, keys[name])
        for name, model in models.items()
        for train, test in folds
    ]
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    done = list(tqdm(done, total=len(jobs), desc="comparing models", unit="fit", disable=not verbose))
    return {name: done[i * len(folds) : (i + 1) * len(folds)] for i, name in enumerate(models)}


def fit_and_predict(model, X, y, train, test, key=None):
    """Fit a clone to the training patients and predict the test patients.

    `key` stands for model, X and y in the cache. It is made once, and not in a worker process, which does not know the
    classes of the user's script by name.
    """
    start = time.perf_counter()
    model = clone(model).fit(_rows(X, train), y[train])
    seconds = time.perf_counter() - start
    X_test = _rows(X, test)
    risk = check_risk(model.predict(X_test), len(test), "predict returned")
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


def _attempt(fit, *arguments):
    """The prediction, or the error as text. An error is not kept, so that the next run tries again."""
    try:
        return fit(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _cache_keys(models, tables, y):
    data = {id(X): joblib.hash((X, y)) for X in tables.values()}
    keys = {}
    for name, model in models.items():
        try:
            keys[name] = joblib.hash(model), data[id(tables[name])]
        except Exception as error:
            raise ValueError(
                f"Fits of model {name!r} cannot be kept in the cache: {error}. Replace lambdas and local functions by "
                "functions of a module, or leave cache out."
            ) from error
    return keys
