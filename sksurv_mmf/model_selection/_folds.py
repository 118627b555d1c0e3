"""Fit models fold by fold and look at each with the patients that it has not seen."""

import time
from dataclasses import dataclass
from itertools import repeat
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from tqdm.auto import tqdm

from ..predictions._ask import check_model
from ..utils._sklearn import StrOptions
from ._check_folds import check_folds, check_splitter
from ._groups import check_folds_keep_groups, read_groups
from ._split import SurvivalKFold

CV_OR_PREFIT = ["cv_object", StrOptions({"prefit"})]
"""What `cv` may be: as of `make_folds`, or "prefit" for a fitted estimator and patients it was not trained on."""


@dataclass(frozen=True)
class FittedFold:
    """A fitted model and the patients that it has not seen.

    Attributes
    ----------
    model : estimator
        The model, fitted to the training patients.
    X : DataFrame or ndarray of shape (n_test, n_columns)
        The test patients.
    y : structured array of shape (n_test,) or None
        Their outcome; None if it is not needed.
    seconds : float
        How long the model was trained; NaN if it came fitted.
    """

    model: BaseEstimator
    X: pd.DataFrame | np.ndarray
    y: np.ndarray | None
    seconds: float = np.nan


def fit_and_look(look, model, X, y, train, test, *more):
    """Fit a clone to the training patients and return ``look(FittedFold, *more)``; without `train` it is fitted."""
    if train is None:
        return look(FittedFold(model, X, y), *more)
    start = time.perf_counter()
    fitted = clone(model).fit(_rows(X, train), y[train])
    seconds = time.perf_counter() - start
    return look(FittedFold(fitted, _rows(X, test), y[test], seconds), *more)


def _rows(X, positions):
    return X.iloc[positions] if hasattr(X, "iloc") else X[positions]


def run(function, jobs, *, n_jobs=None, verbose=False, **bar):
    """Results of ``function(*job)`` for each of `jobs`, in their order: in parallel, and with progress."""
    results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(function)(*job) for job in jobs)
    return list(tqdm(results, total=len(jobs), disable=not verbose, **bar))


def look_at_folds(look, estimator, X, y, folds, *, seeds=None, n_jobs=None, verbose=False):
    """Results of ``look(FittedFold)`` in each of `folds`, which `split` makes.

    With `seeds`, one per fold, `look` gets its seed as the second argument.
    """
    check_model(estimator, fitted=folds[0][0] is None)
    seeds = repeat(()) if seeds is None else zip(seeds)
    jobs = [(look, estimator, X, y, *fold, *seed) for fold, seed in zip(folds, seeds)]
    return run(fit_and_look, jobs, n_jobs=n_jobs, verbose=verbose, unit="fold")


def split(cv, X, y, groups=None):
    """List of (training, test) positions; a fitted estimator needs no training patients and gets None."""
    if isinstance(cv, str) and groups is not None:
        raise ValueError("cv='prefit' makes no folds, so that groups have no effect. Leave them out.")
    if isinstance(cv, str):
        return [(None, slice(None))]
    return make_folds(cv, X, y, groups)


def make_folds(cv, X, y, groups=None):
    """The folds as a list of positions (train, test), none of which has a group on both sides."""
    check_splitter(cv)
    if isinstance(cv, Integral):
        cv = SurvivalKFold(int(cv))
    if groups is None:
        return check_folds(cv.split(X, y) if hasattr(cv, "split") else cv, len(y))
    numbers, names = read_groups(groups, X, len(y))
    groups = names[numbers]
    folds = check_folds(cv.split(X, y, groups) if hasattr(cv, "split") else cv, len(y))
    check_folds_keep_groups(folds, numbers, names)
    return folds
