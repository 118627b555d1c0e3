"""Look at a model fold by fold."""

from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

CV_OBJECT = ["cv_object", StrOptions({"prefit"})]
"""What `cv` may be: as in scikit-learn, or "prefit" for a fitted estimator and patients it was not trained on."""


def split(cv, X, y):
    """List of (training, test) positions; a fitted estimator needs no training patients and gets None."""
    if isinstance(cv, str):
        return [(None, slice(None))]
    return list(check_cv(cv).split(X, y))


def on_test_folds(function, estimator, X, y, folds, *, n_jobs=None, verbose=False):
    """Results of ``function(fitted estimator, test patients, their outcome)`` in each of `folds`, as `split` makes."""
    jobs = [delayed(_fit_and_look)(function, estimator, X, y, *fold) for fold in folds]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    return list(tqdm(results, total=len(jobs), unit="fold", disable=not verbose))


def _fit_and_look(function, estimator, X, y, train, test):
    if train is None:
        check_is_fitted(estimator)
        return function(estimator, X, y)
    fitted = clone(estimator).fit(X.iloc[train], y[train])
    return function(fitted, X.iloc[test], y[test])
