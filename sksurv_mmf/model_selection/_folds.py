"""Look at a model fold by fold."""

from itertools import repeat

from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import check_cv
from tqdm.auto import tqdm

from ..predictions._models import check_frame, check_lengths, check_model
from ..utils._frames import as_frame
from ..utils._sklearn import StrOptions
from ._check_folds import check_folds, check_splitter

CV_OBJECT = ["cv_object", StrOptions({"prefit"})]
"""What `cv` may be: as in scikit-learn, or "prefit" for a fitted estimator and patients it was not trained on."""


def split(cv, X, y):
    """List of (training, test) positions; a fitted estimator needs no training patients and gets None."""
    X = check_frame(X)
    if isinstance(cv, str):
        return [(None, slice(None))]
    check_lengths(X, y)
    check_splitter(cv)
    return check_folds(check_cv(cv).split(X, y), len(X))


def on_test_folds(look, estimator, X, y, folds, *, seeds=None, n_jobs=None, verbose=False):
    """Results of ``look(fitted estimator, test patients, their outcome)`` in each of `folds`, which `split` makes.

    With `seeds`, one per fold, `look` gets its seed as the fourth argument.
    """
    X = as_frame(X)
    check_model(estimator, fitted=folds[0][0] is None)
    arguments = repeat(()) if seeds is None else zip(seeds)
    jobs = [delayed(_fit_and_look)(look, estimator, X, y, *fold, *more) for fold, more in zip(folds, arguments)]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    return list(tqdm(results, total=len(jobs), unit="fold", disable=not verbose))


def _fit_and_look(look, estimator, X, y, train, test, *more):
    if train is None:
        return look(estimator, X, y, *more)
    fitted = clone(estimator).fit(X.iloc[train], y[train])
    return look(fitted, X.iloc[test], y[test], *more)
