"""Elastic-net Cox paths and their cross-validated deviance, as glmnet computes them."""

import numpy as np
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

# glmnet ends a path where the explained deviance has grown by less than a thousandth of itself over five penalties,
# or exceeds 99 % (its `fdev` and `devmax` with the factors it applies to Cox models).
_WINDOW, _MIN_GROWTH, _MAX_EXPLAINED = 5, 1e-3, 0.99

# Iterations of the solver on one path, as in glmnet.
_MAX_ITER = 100_000


def cox_partial_deviance(linear_predictor, event, time):
    """Deviance of Cox models with Breslow's handling of ties, one per column of linear predictors.

    Twice the gap between the partial log-likelihood of the saturated model and the model's, as in glmnet [1]_.
    Finite wherever the linear predictors are.

    Parameters
    ----------
    linear_predictor : ndarray of shape (n_patients,) or (n_patients, n_models)
        Log-hazard ratios.
    event : ndarray of bool of shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.

    Returns
    -------
    deviance : float or ndarray of shape (n_models,)
        The deviances.

    References
    ----------
    .. [1] Simon, N. et al. "Regularization paths for Cox's proportional hazards model via coordinate descent",
           Journal of Statistical Software 39, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.preprocessing._cox_path import cox_partial_deviance
    >>> event, time = np.array([True, True, False]), np.array([1.0, 2.0, 3.0])
    >>> print(round(cox_partial_deviance(np.zeros(3), event, time), 4))  # 2 log(3 * 2)
    3.5835
    """
    order = np.argsort(-time, kind="stable")
    eta, event, time = linear_predictor[order], event[order], time[order]
    # The risk set of an event holds all patients of its own time, also those sorted behind it.
    last_of_time = np.searchsorted(-time, -time, side="right") - 1
    log_risk = np.logaddexp.accumulate(eta, axis=0)[last_of_time]
    log_likelihood = (eta - log_risk)[event].sum(axis=0)
    n_tied = np.unique(time[event], return_counts=True)[1]
    saturated = -(n_tied * np.log(n_tied)).sum()
    return 2 * (saturated - log_likelihood)


def cox_path(X, event, time, *, l1_ratio, n_alphas, alpha_min_ratio, standardize, tol):
    """Elastic-net Cox models along the sequence of penalties that glmnet would use.

    It starts at the smallest penalty with all coefficients zero and ends early where glmnet does. A gene without
    variance among the patients who were ever at risk has coefficient zero.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_genes)
        Expression, without missing values.
    event : ndarray of bool of shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.
    l1_ratio : float
        Share of the lasso in the penalty.
    n_alphas : int
        Number of penalties if the path does not end early.
    alpha_min_ratio : float or "auto"
        Smallest penalty as a fraction of the largest; "auto" is 0.01 with fewer patients than genes, else 1e-4.
    standardize : bool
        Whether genes are scaled to unit variance (with divisor n) before the penalty is applied.
    tol : float
        Tolerance of the solver.

    Returns
    -------
    alphas : ndarray of shape (n_penalties,)
        Penalties, decreasing.
    coef : ndarray of shape (n_genes, n_penalties)
        Coefficients for `X` as it came.

    Raises
    ------
    ValueError
        If no gene varies, if the likelihood does not depend on the genes or if the solver overflows.
    """
    n_patients, n_genes = X.shape
    if alpha_min_ratio == "auto":
        alpha_min_ratio = 0.01 if n_patients < n_genes else 1e-4
    null_deviance = cox_partial_deviance(np.zeros(n_patients), event, time)
    if null_deviance <= 0:
        raise ValueError(
            "The genes cannot explain these events: at each event time, all patients still at risk have the event. "
            "Check the times in y."
        )
    # Exact comparison: the standard deviation of a constant column may come out as rounding noise instead of zero.
    at_risk = X[time >= time[event].min()]
    varied = np.flatnonzero((at_risk != at_risk[0]).any(axis=0))
    if not len(varied):
        raise ValueError(f"All {n_genes} genes are constant among the patients. Check that X holds expression values.")
    # The solver ranks patients of the same time as they come; events behind censored patients see most of the risk set.
    order = np.lexsort((event, -time))
    X, event, time = X[np.ix_(order, varied)], event[order], time[order]
    X -= X.mean(axis=0)
    scale = X.std(axis=0) if standardize else np.ones(len(varied))
    X /= scale

    # The tolerance is relative to the null deviance, for which the solver takes time as free of ties.
    tol *= null_deviance / (2 * np.log(np.flatnonzero(event) + 1).sum())
    settings = {"l1_ratio": l1_ratio, "tol": tol, "max_iter": _MAX_ITER}
    alphas, coef = _path(X, event, time, null_deviance, n_alphas, alpha_min_ratio, settings)
    used = coef.any(axis=1)
    original = np.zeros((n_genes, coef.shape[1]))
    original[varied[used]] = coef[used] / scale[used, np.newaxis]
    return alphas, original


def _path(X, event, time, null_deviance, n_alphas, alpha_min_ratio, settings):
    """Penalties, and the coefficients for genes that are centred and scaled, up to where glmnet ends."""
    y = Surv.from_arrays(event, time)
    model = _fit(X, y, n_alphas=n_alphas, alpha_min_ratio=alpha_min_ratio, **settings)
    alphas = model.alphas_[0] * alpha_min_ratio ** (np.arange(n_alphas) / (n_alphas - 1))
    coef = model.coef_
    while True:
        used = coef.any(axis=1)
        end = _end_of_path(1 - cox_partial_deviance(X[:, used] @ coef[used], event, time) / null_deviance)
        done = coef.shape[1]
        if end is not None or done == n_alphas:
            break
        # The solver's own early end overlooks ties: with many of them it may come after six penalties, far from where
        # glmnet ends. Then the rest is asked for again, led up to in steps because the solver may fail from afar.
        steps = np.geomspace(alphas[0], alphas[done - 1], _WINDOW)[1:]
        model = _fit(X, y, alphas=np.concatenate([steps, alphas[done:]]), **settings)
        coef = np.hstack([coef, model.coef_[:, len(steps) :]])
    coef = coef[:, :end]
    return alphas[: coef.shape[1]], coef


def _fit(X, y, **parameters):
    try:
        return CoxnetSurvivalAnalysis(copy_X=False, **parameters).fit(X, y)  # it only centres X, which is centred
    except ArithmeticError as error:
        raise ValueError(
            "The solver met infinite hazards at small penalties. Raise alpha_min_ratio or set standardize=True."
        ) from error


def _end_of_path(explained):
    """Number of penalties after which glmnet stops, or None, from the share of the deviance explained at each."""
    recent, before = explained[_WINDOW - 1 :], explained[: 1 - _WINDOW]
    stops = np.flatnonzero((recent - before < _MIN_GROWTH * recent) | (recent > _MAX_EXPLAINED))
    return stops[0] + _WINDOW if len(stops) else None


def interpolate_path(alphas, values, new_alphas):
    """Columns at `new_alphas`, linear between those at `alphas` and constant beyond their ends, as in glmnet.

    Parameters
    ----------
    alphas : ndarray of shape (n_penalties,)
        Penalties, decreasing.
    values : ndarray of shape (n_rows, n_penalties)
        A column for each of `alphas`.
    new_alphas : ndarray of shape (n_new_penalties,)
        Where columns are wanted.

    Returns
    -------
    new_values : ndarray of shape (n_rows, n_new_penalties)
        A column for each of `new_alphas`.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.preprocessing._cox_path import interpolate_path
    >>> interpolate_path(np.array([4.0, 2.0, 1.0]), np.array([[0.0, 1.0, 3.0]]), np.array([9.0, 3.0, 1.5, 0.1]))
    array([[0. , 0.5, 2. , 3. ]])
    """
    # numpy.interp wants increasing penalties and one column of values, so it finds places on the path instead.
    position = np.interp(new_alphas, alphas[::-1], np.arange(len(alphas))[::-1])
    left = position.astype(int)
    right = np.minimum(left + 1, len(alphas) - 1)
    weight = position - left
    return (1 - weight) * values[:, left] + weight * values[:, right]


def cross_validated_deviance(linear_predictors, splits, event, time):
    """Deviance of each left-out fold per event, averaged over folds: the curve of cv.glmnet.

    A fold's deviance is that of all patients minus that of the training patients, both under the model fitted to the
    training patients (glmnet's ``grouped=TRUE``), so that the left-out patients are judged in full risk sets. Folds
    count in proportion to their events.

    Parameters
    ----------
    linear_predictors : list of ndarray of shape (n_patients, n_penalties)
        For each fold, the log-hazard ratios of all patients under the models fitted without it.
    splits : list of (ndarray of int, ndarray of int)
        Training and left-out patients of each fold.
    event : ndarray of bool of shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.

    Returns
    -------
    mean : ndarray of shape (n_penalties,)
        Deviance per event.
    standard_error : ndarray of shape (n_penalties,)
        Its standard error over folds.
    """
    n_events = np.array([event[test].sum() for _, test in splits])
    deviance = []  # (n_folds, n_penalties)
    for eta, (train, test) in zip(linear_predictors, splits):
        both = np.concatenate([train, test])
        gap = cox_partial_deviance(eta[both], event[both], time[both])
        gap -= cox_partial_deviance(eta[train], event[train], time[train])
        deviance.append(gap / event[test].sum())
    mean = np.average(deviance, axis=0, weights=n_events)
    variance = np.average((deviance - mean) ** 2, axis=0, weights=n_events)
    return mean, np.sqrt(variance / (len(splits) - 1))
