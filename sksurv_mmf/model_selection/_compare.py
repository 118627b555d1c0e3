"""Several survival models on the same folds."""

from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Memory

from ..outcome._align import align_outcome
from ..outcome._leak import warn_of_leak
from ..outcome._outcome import Outcome, check_teaches
from ..predictions._ask import will_predict
from ..predictions._checks import as_real_numbers
from ..utils._frames import as_frame, check_is_table
from ..utils._sklearn import HasMethods, Interval, validate_params
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._comparison import ModelComparison
from ._design import Design
from ._fits import fit_all
from ._folds import make_folds
from ._survival_scores import choose_scores

RUN_CONSTRAINTS = {
    "cv": [Interval(Integral, 2, None, closed="left"), HasMethods("split"), "array-like", HasMethods("__iter__")],
    "scoring": [str, list, tuple, None],
    "horizons": [Interval(Real, 0, None, closed="neither"), "array-like", None],
    "cache": [str, Path, Memory, None],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


@validate_params(
    {**RUN_CONSTRAINTS, "reference": [str, None], "groups": ["array-like", callable, None]},
    prefer_skip_nested_validation=True,
)
def compare_models(
    models,
    X,
    y,
    cv=5,
    *,
    groups=None,
    scoring=None,
    horizons=None,
    reference: str | None = None,
    cache=None,
    n_jobs: int | None = None,
    random_state=None,
    verbose: bool = False,
) -> ModelComparison:
    """Compare survival models on the same folds of the same patients.

    Use it to learn whether one model is really better than another on your patients. Every model is fitted to the
    training patients of a fold and judged on the test patients; put whatever learns from patients (scaling,
    imputation, selection of genes) into a Pipeline with the model, and tuning into a GridSearchCV, so that both happen
    inside the fold.

    Parameters
    ----------
    models : dict of estimator or list of (str, estimator)
        Models by name. Any estimator with scikit-survival's conventions: of this package, of scikit-survival, a
        Pipeline or a GridSearchCV, in any depth. A clone is fitted in every fold; its `random_state` remains the
        estimator's own. Of a model that predicts times, such as :class:`~sksurv.linear_model.IPCRidge`, the risk is
        minus the time.

    X : DataFrame or array-like of shape (n_patients, n_columns)
        One row per patient. The index of a DataFrame names the patients and must not repeat any.

    y : structured array of shape (n_patients,) or DataFrame
        Event and time, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its index.

    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds of `SurvivalKFold`. Folds are made once and are the same for all models.

    groups : Series or array-like of shape (n_patients,), or callable, default=None
        Who stays on one side of each fold, such as the patients of a hospital. A Series goes by its index if X is a
        DataFrame, an array by position; a function, such as `tissue_source_site`, makes them of the index of X. They
        are passed to `cv`, and folds that have a group on both sides are an error. A search within a model splits its
        training patients by its own `cv`, which gets no groups.

    scoring : str, list of str or None, default=None
        Scores to compute: "harrell", "uno", "auc", "ibs", and at each of `horizons` "auc", "brier", "calibration",
        which appear as ``"auc@365"``. None computes all, those at horizons if there are any. See Notes.

    horizons : float, list of float or None, default=None
        Times of interest, in the unit of y.

    reference : str, default=None
        Model that the others are compared with. None compares all pairs.

    cache : str, Path, joblib.Memory or None, default=None
        Folder in which finished fits are kept. An interrupted run that is started again goes on where it was, and
        other scores of the same fits cost nothing. Needs folds that are the same in every run, so give a splitter that
        shuffles an int as `random_state`. The folder holds joblib's pickles, so it must be trusted: one that others
        may write to is refused, and one that is not there yet is made for you alone. What a killed process was
        writing there is removed.

    n_jobs : int, default=None
        Number of fits at a time. None is one, unless `joblib.parallel_config` says otherwise; -1 is one per
        processor.

    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap in :meth:`ModelComparison.pairwise`. It has no influence on models and folds.

    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    ModelComparison
        Scores of all folds, out-of-fold predictions, tests and pictures.

    Raises
    ------
    ValueError
        If a patient is there twice, if models, folds or scores are not usable, if a fold tests a group that it trains
        on, if `reference` is no model, or if somebody else could write to the folder `cache`. Errors of a model are
        not raised: they are reported in `ModelComparison.fits`, and the other models go on.
    KeyboardInterrupt
        If the run is interrupted. What was finished stays in the cache, and nothing of the fit in progress.

    Warns
    -----
    UserWarning
        If models fail in folds, with counts and the first reason.
    UserWarning
        If fits cannot be kept in the cache, for example because the disk is full; the comparison is complete. And if
        there is a cache, but folds are others in each run, because the splitter shuffles without a seed.
    UserWarning
        If a column of X is the outcome in disguise: if it rises or falls with time or event without exception.

    See Also
    --------
    selection_leakage : What it would cost to select genes on all patients beforehand.
    RepeatedSurvivalKFold : Folds that reduce the luck of the split.
    tissue_source_site : Groups of patients of TCGA by hospital.

    Notes
    -----
    =================  =======================================================================================
    ``harrell``        Harrell's C-index. Equal risks count one half, with no tolerance, as in R's survival.
    ``uno``            Uno's C-index, weighted against censoring.
    ``auc``            Cumulative/dynamic AUC, averaged over time; ``auc@t`` is that at a horizon.
    ``ibs``            Integrated Brier score, the lower the better; needs survival functions.
    ``brier@t``        Brier score at a horizon; needs survival functions.
    ``calibration@t``  Mean predicted probability of an event by the horizon minus the Kaplan-Meier estimate of the
                       test patients. Above 0, risks are overestimated; needs survival functions.
    =================  =======================================================================================

    All but the first judge predictions up to the time at which only a tenth of the training patients of the fold is
    still followed, or the test fold ends: beyond, the weights against censoring explode or do not exist. They begin
    when both training and test patients have had an event. These times are the same for all models of a fold.

    A score that does not exist in a fold (no event, a model without survival functions, a horizon beyond the
    follow-up) is NaN with a reason, and takes no part in means and tests.

    The cache knows a fit by the parameters of the model, X, y and the fold, not by the code of the model. Empty the
    folder when you have changed code, or updated a library, that the models use. A fit that failed is tried again, and
    so is one whose entry is damaged. Files that parameters name, such as gene sets, count with their contents; feature
    files of bags, and those in a folder that a parameter names, with size, time and a checksum of parts. Files that
    callbacks name do not count.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.model_selection import compare_models
    >>> cohort = load_breast_cancer_cohort()
    >>> genes = cohort.X.filter(regex="^rna").iloc[:, :20]
    >>> models = {
    ...     "ridge": make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=100)),
    ...     "no penalty": make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1e-4)),
    ... }
    >>> comparison = compare_models(models, genes, cohort.y, cv=4, scoring=["harrell", "ibs"], random_state=0)
    >>> comparison.summary()[["mean", "sd", "n_folds"]].round(2)
                        mean    sd  n_folds
    score   model
    harrell ridge       0.67  0.10        4
            no penalty  0.62  0.11        4
    ibs     ridge       0.13  0.01        4
            no penalty  0.17  0.04        4
    >>> comparison.pairwise("ibs")[["difference", "better", "t_p"]].round(2)
                      difference better   t_p
    model other
    ridge no penalty       -0.04  ridge  0.21
    """
    models = check_models(models)
    X, y, patients = check_patients(X, y)
    scores = check_scores(scoring, horizons)
    if reference is not None and reference not in models:
        raise ValueError(f"reference={reference!r} is none of the models: {shorten(models, 10)}.")
    if cache is not None:
        warn_of_new_folds(cv)
    folds = make_folds(cv, X, y, groups)
    predictions = fit_all(models, dict.fromkeys(models, X), y, folds, cache=cache, n_jobs=n_jobs, verbose=verbose)
    design = Design.of(models, cv, groups, X, patients)
    return ModelComparison(
        predictions, y, patients, folds, scores, reference=reference, random_state=random_state, design=design
    )


def check_models(models):
    """Models as a dictionary, or an error that says what is wrong with them."""
    if not isinstance(models, dict | list | tuple) or not models:
        raise ValueError(f"models must be a dictionary such as {{'cox': CoxPHSurvivalAnalysis()}}, got {models!r}.")
    pairs = list(models.items()) if isinstance(models, dict) else list(models)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"models must be pairs of name and estimator, such as ('cox', ...); got {pair!r}.")
        name, model = pair
        if not isinstance(name, str) or not name:
            raise ValueError(f"The name of a model must be a string that is not empty, got {name!r}.")
        if isinstance(model, type):
            raise ValueError(f"models[{name!r}] is a class; make an estimator of it: {model.__name__}().")
        if not hasattr(model, "fit") or not will_predict(model):
            raise ValueError(f"models[{name!r}] must be a survival estimator with fit and predict, got {model!r}.")
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Names of models must differ, but these come twice: {shorten(twice)}.")
    return dict(pairs)


def check_patients(X, y):
    """X, y and the Index of the patients."""
    check_is_table(X)
    X = as_frame(X)
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    patients = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(X))
    if patients.has_duplicates:
        twice = patients[patients.duplicated()].unique()
        raise ValueError(
            f"Patients must not come twice, but these do: {shorten(twice)}. One of their rows could train the model "
            "that another is tested with; keep one row per patient."
        )
    y = align_outcome(y, X)
    outcome = Outcome.of(y)
    check_teaches(outcome, patients)
    warn_of_leak(X, outcome)
    return X, y, patients


def check_scores(scoring, horizons):
    """Scores by name."""
    horizons = [] if horizons is None else np.atleast_1d(as_real_numbers(horizons, "horizons is")).tolist()
    wrong = [horizon for horizon in horizons if not (isinstance(horizon, float) and 0 < horizon < np.inf)]
    if wrong:
        raise ValueError(f"horizons must be positive times, got {wrong}.")
    return choose_scores([scoring] if isinstance(scoring, str) else scoring, horizons)


def warn_of_new_folds(cv):
    """Warn of a splitter that shuffles without a seed: of other folds nothing is kept."""
    if getattr(cv, "random_state", 0) is None and getattr(cv, "shuffle", True):
        warn(
            f"{cv!r} shuffles patients anew in each run, so that no fit of one run is found in the cache by the next. "
            "Give it a random_state."
        )
