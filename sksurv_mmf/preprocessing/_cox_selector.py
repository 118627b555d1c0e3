"""Selection of genes by elastic-net Cox regression."""

import warnings
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import FLOAT_DTYPES, check_is_fitted, validate_data
from sksurv.util import check_array_survival

from ..outcome._align import align_outcome
from ..outcome._deal import deal, train_and_test
from ..outcome._leak import warn_of_leak
from ..outcome._outcome import Outcome
from ..utils._frames import who_has
from ..utils._sklearn import HasMethods, Interval, StrOptions, check_feature_names_in
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._checks import numbers
from ._cox_path import cox_path, cross_validated_deviance, interpolate_path


class CoxElasticNetSelector(SelectorMixin, BaseEstimator):
    """Keep the genes that a cross-validated elastic-net Cox model uses.

    Use it where genes are many and patients few, as a step of a pipeline so that the selection is learnt inside each
    fold: chosen on all patients, test patients included, the genes have seen the answers. Penalties, deviance curve
    and genes are those of ``cv.glmnet(family="cox")`` [1]_ for the same folds; scikit-survival's Coxnet does the
    fitting.

    A patient whose genes are all missing lacks the modality: such patients take no part in the fit and come out of
    `transform` missing as before.

    Parameters
    ----------
    l1_ratio : float, default=0.5
        Share of the lasso in the penalty, above 0 and up to 1. Small values keep groups of correlated genes together,
        1 picks one of them. glmnet calls it alpha.
    n_alphas : int, default=100
        Number of penalties on the path, from the smallest that selects nothing downwards. As in glmnet the path ends
        early where further genes hardly explain more.
    alpha_min_ratio : float or "auto", default="auto"
        The smallest penalty as a fraction of the largest. "auto" is 0.01 with fewer patients than genes, else 1e-4.
        With many more genes than patients the lower half of the path takes most of the time: 0.1, with half of the
        penalties, is several times as fast, and enough if `alpha_min_` is well above the last of `alphas_`.
    cv : int, splitter or iterable, default=10
        The folds. An int is their number; they are then drawn with the same share of events in each. A splitter
        receives X and y. An iterable gives pairs of training and left-out row numbers of X, so that the folds of
        another analysis can be used.
    rule : {"min", "1se"}, default="min"
        Which penalty decides: that of the smallest deviance, or the largest whose deviance is within one standard
        error of it. "1se" selects fewer genes, in small cohorts often none.
    min_features : int, default=0
        Fewest genes to select: the rule looks only at penalties with at least so many non-zero coefficients. With 0,
        the rule may prefer the model without genes, which is an error; with 1 it takes the best model that has any.
    max_features : int, default=None
        Most genes to select: the rule looks only at penalties with at most so many non-zero coefficients. None sets no
        limit.
    standardize : bool, default=True
        Whether the penalty applies to genes scaled to unit variance (with divisor n, within each fold), so that the
        unit of measurement does not matter.
    tol : float, default=1e-7
        Tolerance of the solver, as in scikit-survival. The default is glmnet's; 1e-10 costs several times as much.
    n_jobs : int, default=None
        Number of processes among which the folds are divided; the result is the same for all. None means 1 unless in
        a joblib context, -1 all cores.
    random_state : int, RandomState instance or None, default=None
        Draws the folds when `cv` is an int. Pass an int for the same genes at every call.

    Attributes
    ----------
    alphas_ : ndarray of shape (n_penalties,)
        Penalties of the path, decreasing.
    deviance_mean_ : ndarray of shape (n_penalties,)
        Cross-validated partial-likelihood deviance per event.
    deviance_std_ : ndarray of shape (n_penalties,)
        Its standard error over folds.
    n_nonzero_ : ndarray of int of shape (n_penalties,)
        Number of genes with a non-zero coefficient in the model of all patients.
    alpha_min_ : float
        Penalty of the smallest deviance among those that `min_features` and `max_features` allow.
    alpha_1se_ : float
        Largest of these penalties whose deviance is within one standard error of the smallest.
    alpha_ : float
        The penalty that `rule` chose.
    coef_ : ndarray of shape (n_features,)
        Coefficients at `alpha_`, for genes in their own units. Genes with a coefficient other than 0 are selected.
    n_features_in_ : int
        Number of genes seen during fit.
    feature_names_in_ : ndarray of str
        Their names, if X was a frame.

    See Also
    --------
    sksurv.linear_model.CoxnetSurvivalAnalysis : The solver, and a survival model of its own.
    make_modality_transformer : Applies the selector to one modality of a cohort.

    Notes
    -----
    Path, curve and selected genes agree with those of glmnet 4.1 to about eight digits on the cohorts of the tests,
    with and without ties. Both stop at a finite tolerance: at the penalties that the rules choose, the
    optimality conditions hold to about 0.0003 of the penalty, but far down a path with many more genes than patients
    they are missed by tenths. A smaller `tol` mends that.

    Each fold is fitted on its own path of penalties and its coefficients are interpolated to those of the whole
    cohort. The deviance of a fold is that of all patients minus that of the training patients under the fold's model,
    so left-out patients are judged in full risk sets [2]_. Ties are Breslow's.

    References
    ----------
    .. [1] Simon, N. et al. "Regularization paths for Cox's proportional hazards model via coordinate descent",
           Journal of Statistical Software 39, 2011.
    .. [2] Verweij, P. J. M. and van Houwelingen, H. C. "Cross-validation in survival analysis", Statistics in Medicine
           12, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.preprocessing import CoxElasticNetSelector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(80, 30))
    >>> y = Surv.from_arrays(np.ones(80, dtype=bool), rng.exponential(np.exp(-2 * X[:, 3] - 2 * X[:, 8])))
    >>> selector = CoxElasticNetSelector(rule="1se", max_features=2, random_state=0).fit(X, y)
    >>> selector.get_support(indices=True)
    array([3, 8])
    """

    _parameter_constraints: dict = {
        "l1_ratio": [Interval(Real, 0, 1, closed="right")],
        "n_alphas": [Interval(Integral, 2, 10_000, closed="both")],
        "alpha_min_ratio": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"]), Iterable],
        "rule": [StrOptions({"min", "1se"})],
        "min_features": [Interval(Integral, 0, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "standardize": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        l1_ratio=0.5,
        *,
        n_alphas=100,
        alpha_min_ratio="auto",
        cv=10,
        rule="min",
        min_features=0,
        max_features=None,
        standardize=True,
        tol=1e-7,
        n_jobs=None,
        random_state=None,
    ):
        self.l1_ratio = l1_ratio
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.cv = cv
        self.rule = rule
        self.min_features = min_features
        self.max_features = max_features
        self.standardize = standardize
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y):
        """Select genes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Expression of the genes. A row that is all missing is a patient without this modality.
        y : structured array of shape (n_patients,) or DataFrame
            Event and time, as scikit-survival has it, or a table of the two that is aligned with X by its index.

        Returns
        -------
        CoxElasticNetSelector
            Itself.

        Raises
        ------
        ValueError
            If only some genes of a patient are missing or a value is infinite, if nobody has an event, if a fold lacks
            events, if no gene varies, or if no gene is selected.

        Warns
        -----
        UserWarning
            If a gene is the outcome in disguise: if it rises or falls with time or event without exception.
        """
        self._validate_params()
        if y is None:
            raise ValueError(
                "This CoxElasticNetSelector estimator requires y to be passed, but the target y is None. "
                "Pass a structured array of event and time, see sksurv.util.Surv."
            )
        table = X
        X, present = self._check_X(X, reset=True, ensure_min_samples=2, dtype=np.float64)
        y = align_outcome(y, table)
        outcome = Outcome(*check_array_survival(X, y))
        if not outcome.event[present].any():
            raise ValueError(
                f"No patient who has the genes has an event ({present.sum()} of {len(present)} patients have the "
                "genes). Genes cannot be selected."
            )
        splits = self._splits(X, y, outcome.event, present)
        X, outcome = X[present], outcome.take(present)
        warn_of_leak(pd.DataFrame(X, columns=check_feature_names_in(self)), outcome)

        alphas, coef, linear_predictors = self._fit_paths(X, outcome, splits)
        mean, standard_error = cross_validated_deviance(linear_predictors, splits, *outcome)
        n_nonzero = np.count_nonzero(coef, axis=0)
        allowed = self._allowed(n_nonzero)
        at_min, at_1se = _choose(mean, standard_error, allowed)
        chosen = at_min if self.rule == "min" else at_1se
        if n_nonzero[chosen] == 0:
            raise ValueError(self._nothing_selected(n_nonzero[allowed], n_nonzero[at_min], outcome))

        self.alphas_, self.deviance_mean_, self.deviance_std_, self.n_nonzero_ = alphas, mean, standard_error, n_nonzero
        self.alpha_min_, self.alpha_1se_, self.alpha_ = (float(alphas[i]) for i in (at_min, at_1se, chosen))
        self.coef_ = coef[:, chosen].copy()
        return self

    def transform(self, X):
        """Keep the selected genes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Expression of the genes seen during fit.

        Returns
        -------
        ndarray or DataFrame of shape (n_patients, n_selected)
            The selected genes; missing for patients who lack the modality.

        Raises
        ------
        ValueError
            If only some genes of a patient are missing or a value is infinite.
        """
        check_is_fitted(self)
        X, _ = self._check_X(X, reset=False)
        return self._transform(X)

    def inverse_transform(self, X):
        """Put the selected genes back in their places, with zeros for the others.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_selected)
            Values of the selected genes.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
            All genes; missing for patients who lack the modality.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=FLOAT_DTYPES, ensure_all_finite="allow-nan")
        absent = ~who_has(X)
        restored = super().inverse_transform(np.where(absent[:, np.newaxis], 0, X))
        restored[absent] = np.nan
        return restored

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.coef_ != 0

    def _check_X(self, X, reset, dtype=FLOAT_DTYPES, **checks):
        """X as an array and who has the genes; refuses half-missing patients and infinite values by name."""
        X = numbers(X, self)
        patients = getattr(X, "index", None)
        X = validate_data(self, X, reset=reset, dtype=dtype, ensure_all_finite=False, **checks)
        if np.isfinite(X).all():
            return X, np.ones(len(X), dtype=bool)
        patients = range(len(X)) if patients is None else patients
        genes = check_feature_names_in(self)
        infinite, missing = np.isinf(X), np.isnan(X)
        if infinite.any():
            i, j = np.argwhere(infinite)[0]
            raise ValueError(
                f"Input X contains infinity: patient {patients[i]!r} has {X[i, j]} for gene {genes[j]!r}. Replace it, "
                "for instance take log(x + 1) rather than log(x)."
            )
        present = who_has(X)
        half = np.flatnonzero(present & missing.any(axis=1))
        if len(half):
            names = genes[missing[half[0]]]
            others = f" ({len(half) - 1} more patients have gaps too)" if len(half) > 1 else ""
            raise ValueError(
                f"Input X contains NaN: patient {patients[half[0]]!r} lacks {len(names)} of {len(genes)} genes "
                f"({shorten(names)}){others}. Impute them first, for instance with sklearn.impute.SimpleImputer; only "
                "a patient without any gene is taken to lack the modality."
            )
        if reset and present.sum() < 2:
            raise ValueError(f"Genes are needed of at least 2 patients; {present.sum()} of {len(X)} has any.")
        return X, present

    def _splits(self, X, y, event, present):
        """Training and left-out patients of each fold, numbered among the patients who have the genes."""
        rows = np.flatnonzero(present)
        event = event[rows]
        if isinstance(self.cv, Integral):
            return _stratified_folds(event, self.cv, check_random_state(self.random_state))
        if hasattr(self.cv, "get_n_splits"):
            splits = [(np.asarray(train), np.asarray(test)) for train, test in self.cv.split(X[rows], y[rows])]
        else:  # rows of the whole X, as the user numbers them
            number = np.where(present, np.cumsum(present) - 1, -1)
            splits = []
            for k, split in enumerate(self.cv):
                splits.append(tuple(_renumber(part, number, k) for part in split))
        if len(splits) < 2:
            raise ValueError(
                f"cv gave {len(splits)} split(s), at least 2 are needed. A generator can be used only once; "
                "pass a list."
            )
        for k, (train, test) in enumerate(splits):
            if len(np.intersect1d(train, test)):
                raise ValueError(f"Fold {k} of cv leaves out patients that it also trains on.")
            for part, name in ((train, "training"), (test, "left-out")):
                if not event[part].any():
                    raise ValueError(
                        f"Fold {k} of cv has no event among its {len(part)} {name} patients. Use fewer folds, or "
                        "an int for folds with the same share of events."
                    )
        return splits

    def _fit_paths(self, X, outcome, splits):
        """The path of all patients, and for each fold everybody's linear predictors at its penalties."""
        names = ("l1_ratio", "n_alphas", "alpha_min_ratio", "standardize", "tol")
        settings = {name: getattr(self, name) for name in names}
        # Processes, because the solver keeps Python's global lock.
        everyone = np.arange(len(X))
        trainings = [everyone, *(train for train, _ in splits)]
        (whole, *folds) = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_part)(X, outcome, rows, k - 1, settings) for k, rows in enumerate(trainings)
        )
        alphas, coef, _, _ = whole
        n_unfinished = sum(not converged for *_, converged in (whole, *folds))
        if n_unfinished:
            warn(
                f"{n_unfinished} of {len(trainings)} paths did not converge at tol={self.tol}. "
                "Raise tol or alpha_min_ratio.",
                ConvergenceWarning,
            )
        return alphas, coef, [interpolate_path(own, eta, alphas) for own, _, eta, _ in folds]

    def _allowed(self, n_nonzero):
        """Which penalties have a number of genes between `min_features` and `max_features`."""
        most = np.inf if self.max_features is None else self.max_features
        allowed = (self.min_features <= n_nonzero) & (n_nonzero <= most)
        if not allowed.any():
            raise ValueError(
                f"No penalty selects between min_features={self.min_features} and max_features={self.max_features} "
                f"genes; on this path the numbers are {shorten(np.unique(n_nonzero).tolist(), 10)}. Widen the limits, "
                "or raise n_alphas for a finer path."
            )
        return allowed

    def _nothing_selected(self, n_allowed, n_at_min, outcome):
        found = f"No gene was selected from {len(outcome)} patients with {outcome.n_events} events: "
        if not n_allowed.any():
            return found + (
                f"every model with genes has more than max_features={self.max_features}; raise max_features, or "
                "n_alphas for a finer path."
            )
        if n_at_min:
            return found + f"rule='1se' prefers the model without genes; rule='min' would select {n_at_min}."
        return found + (
            "the cross-validated deviance is smallest without genes, so they do not predict survival beyond chance. "
            "Try another l1_ratio, choose genes by prior knowledge, leave this modality out, or set min_features=1 for "
            "the best model that has genes."
        )


def _fit_part(X, outcome, rows, fold, settings):
    """Path of the patients in `rows`: penalties, coefficients (all patients) or linear predictors (a fold)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            alphas, coef = cox_path(X[rows], *outcome.take(rows), **settings)
        except ValueError as error:
            if fold < 0:
                raise
            raise ValueError(f"Fold {fold} of cv cannot be fitted: {error}") from error
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if fold < 0:
        return alphas, coef, None, converged
    used = coef.any(axis=1)
    return alphas, None, X[:, used] @ coef[used], converged


def _choose(mean, standard_error, allowed):
    """Positions on the path of the smallest deviance and of the one-standard-error rule."""
    at_min = np.argmin(np.where(allowed, mean, np.inf))
    at_1se = np.argmax(allowed & (mean <= mean[at_min] + standard_error[at_min]))
    return at_min, at_1se


def _stratified_folds(event, n_folds, random_state):
    """Folds that share out events, and then the censored patients, evenly."""
    if event.sum() < n_folds:
        raise ValueError(
            f"cv={n_folds} folds need {n_folds} events, one for each to leave out, but there are {event.sum()}. "
            + (f"Set cv={event.sum()} or less." if event.sum() > 1 else "Genes cannot be selected by cross-validation.")
        )
    return train_and_test(deal(event, n_folds, random_state=random_state), n_folds)


def _renumber(part, number, fold):
    """Row numbers of X as numbers of the patients who have the genes; the others are left out."""
    part = np.asarray(part)
    if part.ndim != 1 or part.dtype.kind not in "iu" or (len(part) and not 0 <= part.min() <= part.max() < len(number)):
        raise ValueError(f"Fold {fold} of cv must hold row numbers of X between 0 and {len(number) - 1}, got {part!r}.")
    part = number[part]
    return part[part >= 0]
