"""scikit-learn's own checks, made to run on survival estimators."""

from contextlib import contextmanager
from functools import partial, wraps
from inspect import getattr_static
from numbers import Real
from warnings import catch_warnings, simplefilter

import numpy as np
from sklearn.base import clone
from sklearn.utils import estimator_checks as sklearn_checks
from sksurv.util import Surv

EXCLUDED_CHECKS = {
    "check_supervised_y_2d": "It asks that a column vector is taken as y; a structured y has one dimension.",
    "check_regressors_train": "It asks for an R^2 above one half, by a tag that regressors have. check_risk_score and "
    "check_outcome_errors ask for a concordance above one half and for y as long as X.",
    "check_regressor_multioutput": "It predicts several targets; a survival estimator predicts one risk.",
}
"""Checks for regressors that have no meaning for survival estimators, with the reason."""

REGRESSOR_CHECKS = (
    "check_regressor_data_not_an_array",
    "check_estimators_partial_fit_n_features",
    "check_regressors_no_decision_function",
    "check_regressors_int",
    "check_supervised_y_no_nan",
    "check_non_transformer_estimators_n_iter",
)
"""Checks that scikit-learn gives to regressors only, and that hold for survival estimators as well."""

OWN_CHECKS = {
    "check_dataframe_column_names_consistency": "fit",
    "check_param_validation": "_parameter_constraints",
    "check_set_output_transform": "set_output",
    "check_set_output_transform_pandas": "set_output",
    "check_global_output_transform_pandas": "set_output",
}
"""Checks that scikit-learn runs on its own estimators only, and the attribute that makes an estimator fit for them."""

CHECKS_WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
)
"""Checks that fit nothing, and so run on estimators that cannot read a plain numeric table."""


def seeded(estimator):
    """Clone with every `random_state`, also that of nested parts, set to 0."""
    return clone(estimator).set_params(**dict.fromkeys(random_state_names(estimator), 0))


def random_state_names(estimator):
    """Names of the parameters that seed the estimator or one of its parts."""
    return [key for key in estimator.get_params(deep=True) if key.rpartition("__")[2] == "random_state"]


def sklearn_checks_for(estimator, with_data):
    """Yield scikit-learn's checks for `estimator` as functions of an estimator."""
    name = type(estimator).__name__
    checks = [check for _, check in sklearn_checks.estimator_checks_generator(estimator)]
    extra = [check for check, attribute in OWN_CHECKS.items() if hasattr(estimator, attribute)]
    if hasattr(estimator, "predict"):
        extra += REGRESSOR_CHECKS
    checks += [partial(getattr(sklearn_checks, check), name) for check in extra]
    for check in checks:
        function = _function(check)
        if with_data or function.__name__ in CHECKS_WITHOUT_DATA:
            yield wraps(function)(partial(_run, check))


def _function(check):
    """What is called in the end by a check that is a partial of a partial of a function."""
    return _function(check.func) if isinstance(check, partial) else check


def _run(check, estimator):
    with survival_targets(type(estimator)), catch_warnings():
        # The targets of scikit-learn's checks are small integers: warnings about ties are no news.
        simplefilter("ignore", UserWarning)
        # scikit-learn seeds the estimator itself, but not its parts.
        check(seeded(estimator))


def as_outcome(y):
    """Read a vector of numbers as survival times at which everybody has the event; return anything else as it is.

    Each number decides its own time, up to a common shift that makes the earliest time 1.
    """
    values = np.asarray(y)
    if values.ndim != 1 or len(values) == 0 or not all(isinstance(value, Real) for value in values.tolist()):
        return y
    time = values.astype(float)
    shift = 1 - time[np.isfinite(time)].min(initial=np.inf)
    return Surv.from_arrays(np.ones(len(time), dtype=bool), time + (shift if np.isfinite(shift) else 0))


@contextmanager
def survival_targets(cls):
    """Let the methods of `cls` that take y accept numbers as well, see `as_outcome`.

    scikit-learn's checks make their own numeric y. The class itself is patched, rather than wrapped or
    subclassed, so that what the checks see is the class under test: its name, signature and pickles.
    """
    patched = [method for method in ("fit", "fit_transform", "score") if hasattr(cls, method)]
    originals = {method: cls.__dict__.get(method) for method in patched}
    for method in patched:
        setattr(cls, method, _WithOutcome(getattr_static(cls, method)))
    try:
        yield
    finally:
        for method, original in originals.items():
            if original is None:
                delattr(cls, method)
            else:
                setattr(cls, method, original)


class _WithOutcome:
    """A method whose y goes through `as_outcome`; a descriptor, so that conditional methods stay conditional."""

    def __init__(self, method):
        self.method = method

    def __get__(self, instance, owner=None):
        method = self.method.__get__(instance, owner)

        @wraps(method)
        def wrapper(*args, **kwargs):
            position = 1 if instance is not None else 2
            if len(args) > position:
                args = (*args[:position], as_outcome(args[position]), *args[position + 1 :])
            elif "y" in kwargs:
                kwargs["y"] = as_outcome(kwargs["y"])
            return method(*args, **kwargs)

        return wrapper
