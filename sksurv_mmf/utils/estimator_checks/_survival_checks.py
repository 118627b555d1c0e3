"""What a survival estimator promises, one function per promise.

A check takes the estimator's name, the unfitted estimator and a `CheckCohort`, and raises an AssertionError that
says which promise is broken. Estimators are seeded wherever they have a `random_state`.
"""

import copy
import pickle
import random
from warnings import catch_warnings, simplefilter

import joblib
import numpy as np
import pandas as pd
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, cross_val_score
from sksurv.metrics import (
    as_concordance_index_ipcw_scorer,
    as_cumulative_dynamic_auc_scorer,
    as_integrated_brier_score_scorer,
    concordance_index_censored,
)
from sksurv.util import Surv

from .._modality_names import modality_of
from ._sklearn_checks import random_state_names, seeded

# Networks compute in float32, and a batch of other size may add up in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

CURVE_METHODS = ("predict_survival_function", "predict_cumulative_hazard_function")


def has_curves(estimator):
    """Whether the estimator offers survival and cumulative hazard functions."""
    return all(hasattr(estimator, method) for method in CURVE_METHODS)


def _fit(estimator, cohort):
    return seeded(estimator).fit(cohort.X, cohort.y)


def _raised(function, *args):
    """The exception that a call raises, or None."""
    try:
        function(*args)
    except Exception as error:
        return error
    return None


def _assert_raises(function, *args, message, kinds=(ValueError, TypeError)):
    error = _raised(function, *args)
    came = "nothing was raised" if error is None else f"{type(error).__name__}: {error}"
    assert isinstance(error, kinds), f"{message}, but {came}."
    return error


def check_risk_score(name, estimator, cohort):
    """`predict` gives one finite number per patient, and higher ones for earlier events."""
    risk = _fit(estimator, cohort).predict(cohort.X)
    assert isinstance(risk, np.ndarray), f"{name}.predict must return an array, got {type(risk).__name__}."
    assert risk.shape == (len(cohort.X),), f"{name}.predict must return one risk per patient, got {risk.shape}."
    assert np.isfinite(risk).all(), f"{name}.predict returns risks that are not finite."
    concordance = concordance_index_censored(cohort.event, cohort.time, risk)[0]
    assert concordance > 0.5, (
        f"{name}.predict must be higher for earlier events, but its concordance on the training patients of a "
        f"cohort with a strong signal is {concordance:.3f}. Does the sign of the risk need to be turned?"
    )


def check_score_is_concordance(name, estimator, cohort):
    """`score` is Harrell's concordance index of `predict`."""
    model = _fit(estimator, cohort)
    expected = concordance_index_censored(cohort.event, cohort.time, model.predict(cohort.X))[0]
    score = model.score(cohort.X, cohort.y)
    assert score == expected, f"{name}.score is {score}, but the concordance of its risks is {expected}."


def check_row_order(name, estimator, cohort):
    """The order of patients does not matter: to `predict`, and to `fit` if nothing in it is random."""
    order = np.random.default_rng(0).permutation(len(cohort.X))
    model = _fit(estimator, cohort)
    risk = model.predict(cohort.X)
    message = f"{name}.predict must give a patient the same risk whatever the order of patients."
    assert_allclose(model.predict(cohort.X.iloc[order]), risk[order], err_msg=message, **CLOSE)
    if not random_state_names(estimator):
        model = seeded(estimator).fit(cohort.X.iloc[order], cohort.y[order])
        message = f"{name} has no random_state, so fit must not depend on the order of patients."
        assert_allclose(model.predict(cohort.X), risk, err_msg=message, **CLOSE)


def check_subset_prediction(name, estimator, cohort):
    """A patient's risk does not depend on who else is predicted; a single patient can be."""
    model = _fit(estimator, cohort)
    risk = model.predict(cohort.X)
    for rows in ([0], [len(risk) - 1], [3, 1, 2], [5, 5, 5], range(0, len(risk), 2)):
        rows = list(rows)
        message = f"{name}.predict must give the rows {rows} the same risk as in the prediction of all patients."
        assert_allclose(model.predict(cohort.X.iloc[rows]), risk[rows], err_msg=message, **CLOSE)


def check_tile_order(name, estimator, cohort):
    """The order of the tiles in a bag does not matter to `predict`."""
    model = _fit(estimator, cohort)
    reversed_tiles = cohort.X.copy()
    for column in cohort.bag_columns:
        tiles = [bag.features[::-1].copy() for bag in cohort.X[column]]
        reversed_tiles[column] = pd.array(tiles, dtype="bag")
    message = f"{name}.predict must not depend on the order of the tiles in a bag."
    assert_allclose(model.predict(reversed_tiles), model.predict(cohort.X), err_msg=message, **CLOSE)


def check_missing_modality(name, estimator, cohort):
    """A modality that a patient lacks has no weight."""
    model = _fit(estimator, cohort)
    lacking = cohort.X.iloc[:3].copy()
    for column in cohort.bag_columns:
        lacking[column] = pd.array([pd.NA] * len(lacking), dtype="bag")
        weights = model.modality_attention(lacking)[modality_of(column)]
        message = f"{name}.modality_attention must be 0 for patients without {column}. A fusion has to heed `present`."
        assert_array_equal(weights, 0, err_msg=message)


def _curve_array(model, method, X):
    return np.asarray(getattr(model, method)(X, return_array=True), dtype=float)


def _check_functions(name, method, model, X, start):
    """Array of the curves, after checking that functions and array agree and that the curves begin at `start`."""
    values = _curve_array(model, method, X)
    functions = getattr(model, method)(X)
    assert len(functions) == len(X), f"{name}.{method} must return one function per patient."
    times = getattr(model, "unique_times_", functions[0].x)
    assert_array_equal(functions[0].x, times, err_msg=f"{name}.{method}: the functions must step at unique_times_.")
    assert values.shape == (len(X), len(times)), (
        f"{name}.{method}(return_array=True) must have the shape ({len(X)}, {len(times)}), patients by unique_times_, "
        f"got {values.shape}."
    )
    at_times = np.array([function(times) for function in functions])
    assert_allclose(at_times, values, err_msg=f"{name}.{method}: functions and array differ.")
    at_zero = [function(0.0) for function in functions]
    assert_allclose(at_zero, start, atol=1e-6, err_msg=f"{name}.{method} must be {start} at time 0.")
    return values


def check_survival_function(name, estimator, cohort):
    """Survival curves begin at 1, never rise and stay in [0, 1]."""
    method = CURVE_METHODS[0]
    values = _check_functions(name, method, _fit(estimator, cohort), cohort.X, start=1)
    assert ((values >= 0) & (values <= 1)).all(), f"{name}.{method} leaves [0, 1]."
    assert (np.diff(values, axis=1) <= 1e-12).all(), f"{name}.{method} has curves that rise."


def check_cumulative_hazard_function(name, estimator, cohort):
    """Cumulative hazards begin at 0, never fall and are finite."""
    method = CURVE_METHODS[1]
    values = _check_functions(name, method, _fit(estimator, cohort), cohort.X, start=0)
    assert np.isfinite(values).all(), f"{name}.{method} has values that are not finite."
    assert (values >= 0).all(), f"{name}.{method} has negative values."
    assert (np.diff(values, axis=1) >= -1e-12).all(), f"{name}.{method} has curves that fall."


def check_curves_belong_together(name, estimator, cohort):
    """S = exp(-H) at all times.

    This is what "cumulative hazard" means in continuous time; a discrete-time model keeps it by reporting
    H = -log S. A model that estimates the two separately says so as an expected failure.
    """
    model = _fit(estimator, cohort)
    survival, hazard = (_curve_array(model, method, cohort.X) for method in CURVE_METHODS)
    message = f"{name}: the survival function must be exp(-cumulative hazard)."
    assert_allclose(survival, np.exp(-hazard), err_msg=message, **CLOSE)


def check_risk_agrees_with_curves(name, estimator, cohort):
    """Of two patients, the one of higher risk tends to have the lower survival curve."""
    model = _fit(estimator, cohort)
    area = _curve_array(model, CURVE_METHODS[0], cohort.X).mean(axis=1)
    risk = model.predict(cohort.X)
    higher = np.subtract.outer(risk, risk) * np.subtract.outer(area, area)
    agreement = (higher < 0).sum() / max((higher != 0).sum(), 1)
    assert agreement > 0.9, (
        f"{name}: patients of higher predicted risk must have lower survival curves, but only {agreement:.0%} of the "
        "pairs agree."
    )


def check_sksurv_scorers(name, estimator, cohort):
    """scikit-survival's scorers accept the estimator."""
    times = np.quantile(cohort.time, [0.2, 0.4, 0.6])
    scorers = {
        as_concordance_index_ipcw_scorer: {"tau": times[-1]},
        as_cumulative_dynamic_auc_scorer: {"times": times},
    }
    if has_curves(estimator):
        scorers[as_integrated_brier_score_scorer] = {"times": times}
    for scorer, arguments in scorers.items():
        score = scorer(seeded(estimator), **arguments).fit(cohort.X, cohort.y).score(cohort.X, cohort.y)
        assert -1 <= score <= 1, f"{name}: {scorer.__name__} gives {score}, which is no score."


def check_cross_validation(name, estimator, cohort):
    """`cross_val_score` works without a scorer."""
    cv = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(seeded(estimator), cohort.X, cohort.y, cv=cv, error_score="raise")
    assert ((scores >= 0) & (scores <= 1)).all(), f"{name}: cross_val_score gives {scores}, which are no concordances."


def check_clone_is_independent(name, estimator, cohort):
    """`clone` copies all parameters, also nested ones, and shares no part with the original."""
    before = _hashes(estimator.get_params(deep=True))
    copied = clone(estimator)
    after = _hashes(copied.get_params(deep=True))
    assert after == before, f"{name}: a clone differs in {_differing(before, after)}."
    copied.fit(cohort.X, cohort.y)
    fitted = _hashes(estimator.get_params(deep=True))
    assert fitted == before, f"{name}: to fit a clone changes {_differing(before, fitted)} of the original."


def check_nested_parameters(name, estimator, cohort):
    """`set_params` reaches every nested parameter of a clone, and leaves the original alone."""
    original = estimator.get_params(deep=True)
    for key in original:
        if "__" not in key:
            continue
        value = object()
        copied = clone(estimator).set_params(**{key: value})
        assert copied.get_params(deep=True)[key] is value, f"{name}: set_params({key}=...) does not arrive."
        assert estimator.get_params(deep=True)[key] is original[key], (
            f"{name}: set_params({key}=...) on a clone changes the original."
        )


def check_fit_keeps_parameters(name, estimator, cohort):
    """`fit` changes no parameter, and what it sets ends with an underscore.

    Underscores in front are private. Compositions that fit their parts in place, as scikit-learn's Pipeline does,
    keep the parameters of the parts.
    """
    model = seeded(estimator)
    public = {key for key in vars(model) if not key.startswith("_")}
    early = [key for key in public if key.endswith("_")]
    assert not early, f"{name} has {early} before fit; a trailing underscore is for what fit has learnt."
    before = _hashes(model.get_params(deep=True))
    model.fit(cohort.X, cohort.y)
    after = _hashes(model.get_params(deep=True))
    assert after == before, f"{name}.fit changes the parameters {_differing(before, after)}."
    new = {key for key in vars(model) if not key.startswith("_")} - public
    bare = sorted(key for key in new if not key.endswith("_"))
    assert not bare, f"{name}.fit sets {bare}; what fit learns must end with an underscore."


def _hashes(params):
    """What can be compared of parameters: the values of leaves, the classes of parts."""
    return {key: type(value) if _has_parts(value) else joblib.hash(value) for key, value in params.items()}


def _has_parts(value):
    if isinstance(value, list | tuple):
        return any(_has_parts(item) for item in value)
    return hasattr(value, "get_params")


def _differing(before, after):
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def check_bad_parameters(name, estimator, cohort):
    """`fit` refuses nonsense in any parameter, also of nested parts, and names the parameter."""
    for key in estimator.get_params(deep=True):

        def fit(key=key):
            seeded(estimator).set_params(**{key: _Nonsense()}).fit(cohort.X, cohort.y)

        error = _assert_raises(fit, message=f"{name}.fit must refuse {key}=<an unknown object>")
        leaf = key.rpartition("__")[2]
        assert leaf in str(error) or "Nonsense" in str(error), (
            f"{name}.fit refuses {key}=<an unknown object> without naming the parameter or the value: {error}"
        )


class _Nonsense:
    """A value that no parameter accepts."""


def check_not_fitted(name, estimator, cohort):
    """Every prediction asks for `fit` first."""
    for method in ("predict", "score", "transform", *CURVE_METHODS):
        if not hasattr(estimator, method):
            continue
        args = (cohort.X, cohort.y) if method == "score" else (cohort.X,)
        message = f"{name}.{method} must raise NotFittedError before fit"
        with catch_warnings():
            # scikit-survival's Coxnet looks at the names of X first and warns, which does no harm.
            simplefilter("ignore", UserWarning)
            _assert_raises(getattr(clone(estimator), method), *args, message=message, kinds=NotFittedError)


def check_copies_predict_the_same(name, estimator, cohort):
    """A pickled or deep-copied model predicts the same bits; a pickled recipe fits to the same."""
    model = _fit(estimator, cohort)
    risk = model.predict(cohort.X)
    copies = {
        "a pickled model": pickle.loads(pickle.dumps(model)),
        "a deep copy": copy.deepcopy(model),
        "a pickled unfitted estimator": pickle.loads(pickle.dumps(seeded(estimator))).fit(cohort.X, cohort.y),
    }
    for what, copied in copies.items():
        assert_array_equal(copied.predict(cohort.X), risk, err_msg=f"{name}: {what} must predict the same.")


def _global_states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "random": random.getstate(),
        "numpy.random": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state().tolist(),
    }


def _set_global_seeds(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def check_same_seed_same_bits(name, estimator, cohort):
    """The same `random_state` gives the same bits, whatever the global random states are."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    risks = []
    try:
        for seed in (1, 2):
            _set_global_seeds(seed)
            risks.append(_fit(estimator, cohort).predict(cohort.X))
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
    assert_array_equal(*risks, err_msg=f"{name}: the same random_state must give the same predictions to the bit.")


def check_global_random_states(name, estimator, cohort):
    """With a `random_state`, neither `fit` nor `predict` moves a global random state."""
    before = _global_states()
    model = _fit(estimator, cohort)
    model.predict(cohort.X)
    after = _global_states()
    moved = [library for library in before if before[library] != after[library]]
    assert not moved, f"{name}: fit or predict moves the global random state of {moved}."


def check_inputs_unchanged(name, estimator, cohort):
    """`fit` and `predict` leave X and y as they are."""
    X, y = cohort.X.copy(deep=True), cohort.y.copy()
    model = seeded(estimator).fit(X, y)
    model.predict(X)
    assert_array_equal(y, cohort.y, err_msg=f"{name} changes y.")
    assert X.index.equals(cohort.X.index), f"{name} changes the index of X."
    assert X.columns.equals(cohort.X.columns), f"{name} changes the columns of X."
    for column in X:
        now, then = (_cells(frame[column]) for frame in (X, cohort.X))
        for patient, a, b in zip(X.index, now, then):
            assert_array_equal(a, b, err_msg=f"{name} changes column {column} of patient {patient}.")


def _cells(column):
    return [bag.features for bag in column] if column.dtype == "bag" else column.to_numpy()


def check_column_names(name, estimator, cohort):
    """Column names are remembered, and other columns at `predict` are never used silently.

    Missing and renamed columns are refused. Reordered and additional ones are refused or make no difference (a
    ColumnTransformer picks its columns by name).
    """
    model = _fit(estimator, cohort)
    X, risk = cohort.X, model.predict(cohort.X)
    assert_array_equal(model.feature_names_in_, X.columns, err_msg=f"{name}.feature_names_in_ must be X's columns.")
    assert model.n_features_in_ == X.shape[1], f"{name}.n_features_in_ must be the number of X's columns."
    last = X.columns[-1]
    refused = {
        "a missing column": X.drop(columns=last),
        "a renamed column": X.rename(columns={last: f"{last}_renamed"}),
    }
    for what, other in refused.items():
        _assert_raises(model.predict, other, message=f"{name}.predict must refuse {what}", kinds=ValueError)
    harmless = {"reordered columns": X[X.columns[::-1]], "an additional column": X.assign(**{f"{last}_new": 1.0})}
    for what, other in harmless.items():
        error = _raised(model.predict, other)
        if error is None:
            message = f"{name}.predict must refuse {what} or take the right ones."
            assert_allclose(model.predict(other), risk, err_msg=message, **CLOSE)
        else:
            assert isinstance(error, ValueError), f"{name}.predict must raise ValueError for {what}, got {error!r}."


def check_infinite_values(name, estimator, cohort):
    """`fit` and `predict` refuse an infinite value in a numeric column."""
    X = cohort.X.copy()
    X.iloc[1, -1] = np.inf
    message = f"{name} must refuse an infinite value"
    _assert_raises(seeded(estimator).fit, X, cohort.y, message=f"{message} in fit", kinds=ValueError)
    _assert_raises(_fit(estimator, cohort).predict, X, message=f"{message} in predict", kinds=ValueError)


def check_array_like_frame(name, estimator, cohort):
    """An array and a frame of the same numbers give the same model."""
    from_frame = _fit(estimator, cohort)
    values = cohort.X.to_numpy()
    from_array = seeded(estimator).fit(values, cohort.y)
    assert not hasattr(from_array, "feature_names_in_"), f"{name}: an array has no names, so there must be none."
    message = f"{name} must learn the same from an array as from a frame."
    assert_allclose(from_array.predict(values), from_frame.predict(cohort.X), err_msg=message, **CLOSE)


def check_refit_forgets(name, estimator, cohort):
    """A second `fit` on other patients and columns leaves no trace of the first."""
    X, y = cohort.X.iloc[:-8, :-1], cohort.y[:-8]
    refitted = _fit(estimator, cohort).fit(X, y)
    fresh = seeded(estimator).fit(X, y)
    assert_array_equal(refitted.predict(X), fresh.predict(X), err_msg=f"{name}: a second fit must forget the first.")
    assert_array_equal(refitted.feature_names_in_, X.columns, err_msg=f"{name}: a second fit must renew the names.")


def check_outcome_field_names(name, estimator, cohort):
    """The fields of y may have any name: the first is the event, the second the time."""
    renamed = Surv.from_arrays(cohort.event, cohort.time, name_event="death", name_time="days")
    model = seeded(estimator).fit(cohort.X, renamed)
    expected = _fit(estimator, cohort)
    message = f"{name} must not depend on the names of the fields of y."
    assert_array_equal(model.predict(cohort.X), expected.predict(cohort.X), err_msg=message)
    assert model.score(cohort.X, renamed) == expected.score(cohort.X, cohort.y), message


def check_outcome_errors(name, estimator, cohort):
    """`fit` refuses a y from which nothing can be learnt."""
    outcomes = {
        "a missing time": _with_time(cohort, np.nan),
        "an infinite time": _with_time(cohort, np.inf),
        "a negative time": _with_time(cohort, -1.0),
        "patients who are all censored": Surv.from_arrays(np.zeros(len(cohort.y), dtype=bool), cohort.time),
        "y of another length than X": cohort.y[:-1],
        "y without an event indicator": cohort.time,
        "no y": None,
    }
    for what, y in outcomes.items():
        _assert_raises(seeded(estimator).fit, cohort.X, y, message=f"{name}.fit must refuse {what}")


def _with_time(cohort, value):
    time = cohort.time.copy()
    time[1] = value
    return Surv.from_arrays(cohort.event, time)


CHECKS = (
    check_risk_score,
    check_score_is_concordance,
    check_row_order,
    check_subset_prediction,
    check_sksurv_scorers,
    check_cross_validation,
    check_clone_is_independent,
    check_nested_parameters,
    check_fit_keeps_parameters,
    check_bad_parameters,
    check_not_fitted,
    check_copies_predict_the_same,
    check_same_seed_same_bits,
    check_global_random_states,
    check_inputs_unchanged,
    check_column_names,
    check_infinite_values,
    check_refit_forgets,
    check_outcome_field_names,
    check_outcome_errors,
)

CURVE_CHECKS = (
    check_survival_function,
    check_cumulative_hazard_function,
    check_curves_belong_together,
    check_risk_agrees_with_curves,
)


def survival_checks_for(estimator, cohort):
    """The checks that apply to `estimator` on `cohort`."""
    checks = CHECKS
    if has_curves(estimator):
        checks += CURVE_CHECKS
    if not cohort.bag_columns:
        return (*checks, check_array_like_frame)
    if hasattr(estimator, "modality_attention"):
        checks += (check_missing_modality,)
    return (*checks, check_tile_order)
