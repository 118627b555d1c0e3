"""Fits of several models on the same folds: in parallel, with progress, and kept for the next run."""

from dataclasses import replace

import joblib

from ..late_fusion._late_fusion import LateFusionSurvivalAnalysis
from ..late_fusion._shared_fits import shared_fits
from ..predictions._ask import CURVES, has, innermost, predict_curves, predict_risk
from ..utils._logging import logger
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
    groups = _groups(models)
    jobs = [
        (kept, [(keys[name], models[name], tables[name]) for name in group], y, *fold)
        for group in groups
        for fold in folds
    ]
    done = run(_attempt_all, jobs, n_jobs=n_jobs, verbose=verbose, desc="comparing models", unit="fit")
    found = {name: [] for name in models}
    for i, attempts in enumerate(done):
        for name, attempt in zip(groups[i // len(folds)], attempts):
            found[name].append(attempt)
    troubles = {
        f"{name}, fold {fold}": trouble
        for name, attempts in found.items()
        for fold, (_, trouble) in enumerate(attempts)
        if trouble
    }
    warn_of_trouble(troubles, kept.folder, len(models) * len(folds))
    return {name: [prediction for prediction, _ in attempts] for name, attempts in found.items()}


def _groups(models):
    """Names of models that are fitted one after the other: late fusions, which may share members, and others alone."""
    late = [name for name, model in models.items() if isinstance(innermost(model), LateFusionSurvivalAnalysis)]
    return [late] * bool(late) + [[name] for name in models if name not in late]


def _predict(fold):
    """What is kept of a fitted model; a model without survival functions may be good for the scores of risks."""
    risk = predict_risk(fold.model, fold.X)
    try:
        curves = predict_curves(fold.model, fold.X)
    except Exception as error:
        curves = f"{CURVES} failed: {error}" if has(fold.model, CURVES) else f"no {CURVES}"
    return FoldPrediction(risk, curves, fold.seconds)


def _attempt_all(kept, models, y, train, test):
    """Attempts of the models of a group, one after the other."""
    with shared_fits() as shared:
        return [_attempt(kept, *model, y, train, test, shared) for model in models]


def _attempt(kept, key, model, X, y, train, test, shared):
    """The prediction, or the error as text; and why it could not be kept, or None.

    An error is not kept, so that the next run tries again. `key` stands for model, X and y. It is made once, and not in
    a worker process, which does not know the classes of the user's script by name.
    """
    key = (key, joblib.hash((train, test)))
    prediction = kept.find(key)
    if prediction is not None:
        logger.info("A fit of %s is found in the cache %r.", type(model).__name__, str(kept.folder))
        return prediction, None
    spared = shared.spared
    try:
        prediction = fit_and_look(_predict, model, X, y, train, test)
        # As if it had been fitted by itself: what a model costs does not depend on what it is compared with.
        prediction = replace(prediction, seconds=prediction.seconds + shared.spared - spared)
    except Exception as error:
        return f"{type(error).__name__}: {error}", None
    return prediction, kept.keep(key, prediction)
