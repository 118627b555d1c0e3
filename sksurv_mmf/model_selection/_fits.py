"""Fits of several models on the same folds: in parallel, with progress, and kept for the next run."""

import joblib

from ..predictions._ask import CURVES, has, predict_curves, predict_risk
from ._fit_cache import FitCache, keys_of_fits, warn_of_trouble
from ._folds import fit_and_look, run
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
    jobs = [(kept, keys[name], models[name], tables[name], y, *folds[fold]) for name, fold in fits]
    done = run(_attempt, jobs, n_jobs=n_jobs, verbose=verbose, desc="comparing models", unit="fit")
    troubles = {f"{name}, fold {fold}": trouble for (name, fold), (_, trouble) in zip(fits, done) if trouble}
    warn_of_trouble(troubles, kept.folder, len(fits))
    predictions = [prediction for prediction, _ in done]
    return {name: predictions[i * len(folds) : (i + 1) * len(folds)] for i, name in enumerate(models)}


def _predict(fold):
    """What is kept of a fitted model; a model without survival functions may be good for the scores of risks."""
    risk = predict_risk(fold.model, fold.X)
    try:
        curves = predict_curves(fold.model, fold.X)
    except Exception as error:
        curves = f"{CURVES} failed: {error}" if has(fold.model, CURVES) else f"no {CURVES}"
    return FoldPrediction(risk, curves, fold.seconds)


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
        prediction = fit_and_look(_predict, model, X, y, train, test)
    except Exception as error:
        return f"{type(error).__name__}: {error}", None
    return prediction, kept.keep(key, prediction)
