"""How much a C-index owes to genes that were selected on all patients."""

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..utils._sklearn import validate_params
from ..utils._validation import shorten
from ._compare import RUN_CONSTRAINTS, check_patients, check_scores, warn_of_new_folds
from ._comparison import ModelComparison
from ._fits import fit_all
from ._folds import make_folds

INSIDE, BEFOREHAND = "selection inside folds", "selection beforehand"


@validate_params(
    {**RUN_CONSTRAINTS, "step": [str, None], "groups": ["array-like", callable, None]},
    prefer_skip_nested_validation=True,
)
def selection_leakage(
    pipeline,
    X,
    y,
    cv=5,
    *,
    groups=None,
    step: str | None = None,
    scoring="harrell",
    horizons=None,
    cache=None,
    n_jobs: int | None = None,
    random_state=None,
    verbose: bool = False,
) -> ModelComparison:
    """Measure what a score gains when genes are selected on all patients before cross-validation.

    Genes that were selected on all patients have seen the outcomes of the test patients. This function runs the same
    model twice on the same folds: once as it should be, with the selection fitted to the training patients of each
    fold, and once with the selection fitted to all patients beforehand. The difference is the leak: the part of the
    C-index that new patients would not confirm. Use it to judge published numbers whose selection was done beforehand,
    or to see what such a selection would do to yours.

    Parameters
    ----------
    pipeline : Pipeline
        Pipeline of transformers, at least one of which learns from the outcome, and a survival estimator.

    X : DataFrame or array-like of shape (n_patients, n_columns)
        One row per patient, before any selection.

    y : structured array of shape (n_patients,) or DataFrame
        Event and time, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its index.

    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds of `SurvivalKFold`.

    groups : Series or array-like of shape (n_patients,), or callable, default=None
        Who stays on one side of each fold, as in `compare_models`.
    step : str, default=None
        Name of the last step that is fitted beforehand, with all steps in front of it. None fits all transformers
        beforehand.

    scoring : str, list of str or None, default="harrell"
        Scores to compute, as in `compare_models`.

    horizons : float, list of float or None, default=None
        Times of interest, as in `compare_models`.

    cache : str, Path, joblib.Memory or None, default=None
        Folder in which finished fits are kept, as in `compare_models`. It must be trusted.

    n_jobs : int, default=None
        Number of fits at a time.

    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap. It has no influence on models and folds.

    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    ModelComparison
        Comparison of the models "selection beforehand" and "selection inside folds"; the latter is the reference, so
        that the difference in :meth:`ModelComparison.pairwise` is the leak.

    Raises
    ------
    ValueError
        If the pipeline has no transformer, or no step of that name, or if somebody else could write to the folder
        `cache`.

    See Also
    --------
    compare_models : Compares models on the same folds, and fits the whole of each inside the fold.

    Notes
    -----
    Scaling and imputation that stand in front of the selection are fitted beforehand with it. They leak as well, but
    hardly: they do not see the outcome.

    Examples
    --------
    Genes that are pure noise, and a C-index to be proud of:

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.model_selection import selection_leakage
    >>> from sksurv_mmf.preprocessing import CoxElasticNetSelector
    >>> rng = np.random.default_rng(0)
    >>> X, time = rng.normal(size=(80, 300)), rng.exponential(size=80)
    >>> y = Surv.from_arrays(rng.random(80) < 0.6, time)
    >>> select = CoxElasticNetSelector(cv=3, n_alphas=20, min_features=5, random_state=0)
    >>> leak = selection_leakage(make_pipeline(select, CoxPHSurvivalAnalysis(alpha=1.0)), X, y, cv=4)
    >>> leak.summary()[["mean"]].round(2)
                                    mean
    score   model
    harrell selection beforehand    0.75
            selection inside folds  0.56
    """
    _check_pipeline(pipeline)
    X, y, patients = check_patients(X, y)
    scores = check_scores(scoring, horizons)
    if cache is not None:
        warn_of_new_folds(cv)
    folds = make_folds(cv, X, y, groups)
    n_steps = _steps_until(pipeline, step)
    selected = clone(pipeline[:n_steps]).fit(X, y).transform(X)
    predictions = fit_all(
        {BEFOREHAND: pipeline[n_steps:], INSIDE: pipeline},
        {BEFOREHAND: selected, INSIDE: X},
        y,
        folds,
        cache=cache,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return ModelComparison(predictions, y, patients, folds, scores, reference=INSIDE, random_state=random_state)


def _check_pipeline(pipeline):
    if not isinstance(pipeline, Pipeline) or len(pipeline) < 2:
        raise ValueError(
            f"pipeline must be a Pipeline of at least one transformer and a survival estimator, got {pipeline!r}. A "
            "search for parameters belongs inside, as the last step of the pipeline."
        )


def _steps_until(pipeline, step):
    """Number of steps that are fitted beforehand."""
    transformers = [name for name, _ in pipeline.steps[:-1]]
    if step is None:
        return len(transformers)
    if step not in transformers:
        raise ValueError(f"step={step!r} is no transformer of the pipeline; there are {shorten(transformers, 20)}.")
    return transformers.index(step) + 1
