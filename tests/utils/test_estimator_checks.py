"""Every contract is shown to be broken by an estimator that breaks it, and kept by one that keeps it."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as sklearn_checks
from sksurv.ensemble import RandomSurvivalForest
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.utils.estimator_checks import (
    EXCLUDED_CHECKS,
    _sklearn_checks,
    _survival_checks,
    check_survival_estimator,
    parametrize_with_survival_checks,
    survival_checks_generator,
)
from sksurv_mmf.utils.estimator_checks._cohorts import make_check_cohort
from sksurv_mmf.utils.estimator_checks._sklearn_checks import as_outcome, survival_targets


class Cox(CoxPHSurvivalAnalysis):
    """Keeps all contracts."""

    _parameter_constraints = {"alpha": CoxPHSurvivalAnalysis._parameter_constraints["alpha"]}

    def __init__(self, alpha=0.1):
        super().__init__(alpha=alpha)


class WrongSign(Cox):
    def predict(self, X):
        return -super().predict(X)


class RiskAsColumn(Cox):
    def predict(self, X):
        return super().predict(X)[:, np.newaxis]


class InfiniteRisk(Cox):
    def predict(self, X):
        return np.where(np.arange(len(X)) == 0, np.inf, super().predict(X))


class OwnScore(Cox):
    def score(self, X, y):
        return super().score(X, y) + 1


class RiskByPosition(Cox):
    def predict(self, X):
        return super().predict(X) + np.arange(len(X))


class LearnsFromFirstRows(Cox):
    def fit(self, X, y):
        return super().fit(X.iloc[:20], y[:20])


class RiskByCompany(Cox):
    def predict(self, X):
        risk = super().predict(X)
        return risk - risk.mean()


class FirstTile(Cox):
    def fit(self, X, y):
        return super().fit(self._first(X), y)

    def predict(self, X):
        return super().predict(self._first(X))

    @staticmethod
    def _first(X):
        return np.stack([bag.features[0] for bag in X["wsi__tiles"]])


class WeighsWhatIsMissing(FirstTile):
    def modality_attention(self, X):
        return pd.DataFrame({"wsi": 0.5, "rna": 0.5}, index=X.index)


class ChangedCurves(Cox):
    def change_survival(self, times, values):
        return values

    def change_hazard(self, times, values):
        return values

    def predict_survival_function(self, X, return_array=False):
        return self._curves(super().predict_survival_function(X), self.change_survival, return_array)

    def predict_cumulative_hazard_function(self, X, return_array=False):
        return self._curves(super().predict_cumulative_hazard_function(X), self.change_hazard, return_array)

    @staticmethod
    def _curves(functions, change, return_array):
        values = np.array([change(function.x, function(function.x)) for function in functions])
        return values if return_array else [StepFunction(functions[0].x, row) for row in values]


class StartsBelowOne(ChangedCurves):
    def change_survival(self, times, values):
        return 0.9 * values


class RisingSurvival(ChangedCurves):
    def change_survival(self, times, values):
        return np.concatenate([[1, 0], values[2:]])


class NegativeSurvival(ChangedCurves):
    def change_survival(self, times, values):
        return np.where(times > np.median(times), -0.1, values)


class FallingHazard(ChangedCurves):
    def change_hazard(self, times, values):
        return np.concatenate([[0, 1e3], values[2:]])


class NegativeHazard(ChangedCurves):
    def change_hazard(self, times, values):
        return -values


class InfiniteHazard(ChangedCurves):
    def change_hazard(self, times, values):
        return np.where(times == times[-1], np.inf, values)


class DoubleHazard(ChangedCurves):
    def change_hazard(self, times, values):
        return 2 * values


class ArrayUnlikeFunctions(Cox):
    def predict_survival_function(self, X, return_array=False):
        curves = super().predict_survival_function(X, return_array=return_array)
        return curves**2 if return_array else curves


class TransposedCurves(Cox):
    def predict_survival_function(self, X, return_array=False):
        curves = super().predict_survival_function(X, return_array=return_array)
        return curves[:, :-1] if return_array else curves


class CurvesAsArrayOnly(Cox):
    def predict_survival_function(self, X, return_array=True):
        return super().predict_survival_function(X, return_array=True)


class CurvesOfTheOpposite(Cox):
    def predict_survival_function(self, X, return_array=False):
        return super().predict_survival_function(-X, return_array=return_array)


class ScoreOutOfRange(Cox):
    def score(self, X, y):
        return 2.0


class Part(BaseEstimator):
    def __init__(self, strength=1.0):
        self.strength = strength


class SharedPart(Part):
    def __sklearn_clone__(self):
        return self


class ChangesItsPart(Cox):
    def __init__(self, alpha=0.1, part=None):
        super().__init__(alpha)
        self.part = part

    def fit(self, X, y):
        self.part.strength = 5.0
        return super().fit(X, y)


class DropsNestedParameters(ChangesItsPart):
    def set_params(self, **params):
        return super().set_params(**{key: value for key, value in params.items() if "__" not in key})


class PlainAttribute(Cox):
    def fit(self, X, y):
        self.learnt = 1
        return super().fit(X, y)


class EarlyAttribute(Cox):
    def __init__(self, alpha=0.1):
        super().__init__(alpha)
        self.learnt_ = None


class AcceptsAnything(Cox):
    def __init__(self, alpha=0.1, note=None):
        super().__init__(alpha)
        self.note = note


class NamelessRefusal(AcceptsAnything):
    def fit(self, X, y):
        if self.note is not None:
            raise ValueError("Something is wrong.")
        return super().fit(X, y)


class PredictsUnfitted(Cox):
    def predict(self, X):
        return super().predict(X) if hasattr(self, "coef_") else np.zeros(len(X))


class ForgetsWhenPickled(Cox):
    def __getstate__(self):
        state = dict(super().__getstate__())
        if "coef_" in state:
            state["coef_"] = 0 * state["coef_"]
        return state


class NumpyNoise(Cox):
    def fit(self, X, y):
        super().fit(X, y)
        self.coef_ = self.coef_ + np.random.normal(size=self.coef_.shape)  # noqa: NPY002
        return self


class TorchSeed(Cox):
    def predict(self, X):
        torch.manual_seed(0)
        torch.rand(1)
        return super().predict(X)


class PythonNoise(Cox):
    def fit(self, X, y):
        random.random()
        return super().fit(X, y)


class ChangesX(Cox):
    def fit(self, X, y):
        X.iloc[3, 1] = 0.0
        return super().fit(X, y)


class ChangesY(Cox):
    def fit(self, X, y):
        super().fit(X, y)
        y["time"][0] = 1.0
        return self


class IgnoresNames(Cox):
    def predict(self, X):
        return super().predict(X.set_axis(self.feature_names_in_, axis=1))


class TakesColumnsByPosition(Cox):
    def predict(self, X):
        columns = X.columns if set(X.columns) != set(self.feature_names_in_) else self.feature_names_in_
        return super().predict(X.set_axis(columns, axis=1))


class PredictsFromInfinity(Cox):
    def predict(self, X):
        return super().predict(X.replace(np.inf, 0.0))


class RemembersFirstFit(Cox):
    def fit(self, X, y):
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X) + self.n_fits_


class FieldsByName(Cox):
    def fit(self, X, y):
        return super().fit(X, Surv.from_arrays(y["event"], y["time"]))


class MendsTimes(Cox):
    def fit(self, X, y):
        if y is not None and y.dtype.names:
            y = Surv.from_arrays(y["event"], np.nan_to_num(y["time"], nan=1.0))
        return super().fit(X, y)


class ArraysAreDifferent(Cox):
    def fit(self, X, y):
        if isinstance(X, np.ndarray):
            X = X * [1, 1, 1, 0]
        return super().fit(X, y)


BROKEN = [
    ("check_risk_score", WrongSign(), "sign of the risk"),
    ("check_risk_score", RiskAsColumn(), "one risk per patient"),
    ("check_risk_score", InfiniteRisk(), "not finite"),
    ("check_score_is_concordance", OwnScore(), "concordance of its risks"),
    ("check_row_order", RiskByPosition(), "whatever the order of patients"),
    ("check_row_order", LearnsFromFirstRows(), "fit must not depend on the order of patients"),
    ("check_subset_prediction", RiskByCompany(), "same risk as in the prediction of all patients"),
    ("check_tile_order", FirstTile(), "order of the tiles"),
    ("check_missing_modality", WeighsWhatIsMissing(), "must be 0 for patients without wsi__tiles"),
    ("check_survival_function", StartsBelowOne(), "must be 1 at time 0"),
    ("check_survival_function", RisingSurvival(), "curves that rise"),
    ("check_survival_function", NegativeSurvival(), r"leaves \[0, 1\]"),
    ("check_survival_function", ArrayUnlikeFunctions(), "functions and array differ"),
    ("check_survival_function", TransposedCurves(), "patients by unique_times_"),
    ("check_cumulative_hazard_function", FallingHazard(), "curves that fall"),
    ("check_cumulative_hazard_function", NegativeHazard(), "negative values"),
    ("check_cumulative_hazard_function", InfiniteHazard(), "not finite"),
    ("check_curves_belong_together", DoubleHazard(), r"must be exp\(-cumulative hazard\)"),
    ("check_risk_agrees_with_curves", CurvesOfTheOpposite(), "only 0% of the pairs agree"),
    ("check_sksurv_scorers", CurvesAsArrayOnly(), "not callable"),
    ("check_cross_validation", ScoreOutOfRange(), "no concordances"),
    ("check_clone_is_independent", ChangesItsPart(part=SharedPart()), r"\['part__strength'\] of the original"),
    (
        "check_nested_parameters",
        DropsNestedParameters(part=Part()),
        r"set_params\(part__strength=...\) does not arrive",
    ),
    ("check_fit_keeps_parameters", ChangesItsPart(part=Part()), r"changes the parameters \['part__strength'\]"),
    ("check_fit_keeps_parameters", PlainAttribute(), r"sets \['learnt'\]"),
    ("check_fit_keeps_parameters", EarlyAttribute(), r"has \['learnt_'\] before fit"),
    ("check_bad_parameters", AcceptsAnything(), "must refuse note=.*, but nothing was raised"),
    ("check_bad_parameters", NamelessRefusal(), "without naming the parameter"),
    ("check_not_fitted", PredictsUnfitted(), "predict must raise NotFittedError before fit"),
    ("check_copies_predict_the_same", ForgetsWhenPickled(), "a pickled model must predict the same"),
    ("check_same_seed_same_bits", NumpyNoise(), "to the bit"),
    ("check_global_random_states", NumpyNoise(), r"\['numpy.random'\]"),
    ("check_global_random_states", TorchSeed(), r"\['torch'\]"),
    ("check_global_random_states", PythonNoise(), r"\['random'\]"),
    ("check_inputs_unchanged", ChangesX(), "changes column x1"),
    ("check_inputs_unchanged", ChangesY(), "changes y"),
    ("check_column_names", IgnoresNames(), "must refuse a renamed column"),
    ("check_column_names", TakesColumnsByPosition(), "must refuse reordered columns or take the right ones"),
    ("check_infinite_values", PredictsFromInfinity(), "an infinite value in predict, but nothing was raised"),
    ("check_refit_forgets", RemembersFirstFit(), "must forget the first"),
    ("check_outcome_field_names", FieldsByName(), "no field of name event"),
    ("check_outcome_errors", MendsTimes(), "must refuse a missing time, but nothing was raised"),
    ("check_array_like_frame", ArraysAreDifferent(), "the same from an array as from a frame"),
]


@pytest.mark.parametrize(("check", "estimator", "message"), BROKEN)
def test_a_broken_contract_is_named(check, estimator, message):
    cohort = make_check_cohort(bags=isinstance(estimator, FirstTile))
    with pytest.raises((AssertionError, TypeError, ValueError), match=message):
        getattr(_survival_checks, check)(type(estimator).__name__, estimator, cohort)


def test_every_contract_has_been_seen_broken():
    checks = {name for name in vars(_survival_checks) if name.startswith("check_")}
    assert {name for name, *_ in BROKEN} == checks


def test_every_contract_runs():
    numeric = {check.__name__ for check in survival_checks_generator(Cox())}
    with_bags = {check.__name__ for check in survival_checks_generator(WeighsWhatIsMissing(), bags=True)}
    contracts = {name for name in vars(_survival_checks) if name.startswith("check_")}
    assert contracts - numeric == {"check_tile_order", "check_missing_modality"}
    assert contracts - with_bags == {"check_array_like_frame"}


def test_an_estimator_that_keeps_all_contracts_passes():
    results = check_survival_estimator(Cox())
    by_status = {}
    for result in results:
        by_status.setdefault(result["status"], set()).add(result["check_name"])
    # scikit-learn's check_array_api_input runs where the environment variable SCIPY_ARRAY_API is set.
    assert by_status.keys() <= {"passed", "skipped"}
    assert by_status.get("skipped", set()) <= {"check_array_api_input"}


def test_an_estimator_that_breaks_a_contract_does_not_pass():
    with pytest.raises(AssertionError, match="sign of the risk"):
        check_survival_estimator(WrongSign())


def test_violations_of_scikit_learns_contracts_are_found():
    with pytest.raises(AssertionError, match=r"should not set any attribute apart from parameters.*learnt_"):
        check_survival_estimator(EarlyAttribute())


def test_expected_failures_are_reported_with_their_reason():
    reasons = {"check_score_is_concordance": "It adds one.", "check_cross_validation": "It adds one."}
    results = check_survival_estimator(OwnScore(), expected_failures=reasons)
    failed = {result["check_name"]: result["reason"] for result in results if result["status"] == "failed as expected"}
    assert failed == reasons


def test_stale_expected_failures_are_refused():
    with pytest.raises(AssertionError, match="take these out of expected_failures"):
        check_survival_estimator(Cox(), expected_failures={"check_risk_score": "?"})


def test_unknown_expected_failures_are_refused():
    with pytest.raises(ValueError, match=r"\['check_moon'\], which are no checks of this estimator"):
        check_survival_estimator(Cox(), expected_failures={"check_moon": "?"})


@pytest.mark.parametrize("estimator", [Cox, object()])
def test_only_estimator_instances_can_be_checked(estimator):
    with pytest.raises(TypeError, match="must be an instance of a scikit-learn estimator"):
        check_survival_estimator(estimator)


def test_parametrize_marks_expected_failures_as_strict():
    reasons = {"check_risk_score": "It turns the sign."}
    decorator = parametrize_with_survival_checks([WrongSign()], expected_failures=lambda estimator: reasons)
    params = {param.id: param for param in decorator.args[1]}
    assert len(params) > 50
    (mark,) = params["0-WrongSign-check_risk_score"].marks
    assert mark.name == "xfail"
    assert mark.kwargs == {"reason": "It turns the sign.", "strict": True}
    assert not params["0-WrongSign-check_score_is_concordance"].marks


@pytest.mark.parametrize("name", EXCLUDED_CHECKS)
@pytest.mark.parametrize(
    "estimator",
    [CoxPHSurvivalAnalysis(alpha=0.1), CoxnetSurvivalAnalysis(), RandomSurvivalForest(n_estimators=2)],
)
def test_excluded_checks_cannot_run(name, estimator):
    check = getattr(sklearn_checks, name)
    with survival_targets(type(estimator)), pytest.raises(Exception):  # noqa: B017, PT011
        check(type(estimator).__name__, estimator)


def test_all_other_checks_of_a_regressor_run():
    class Regressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return X

    for_regressors = {
        _sklearn_checks._function(check).__name__ for _, check in sklearn_checks.estimator_checks_generator(Regressor())
    }
    # Two estimators, because some checks depend on tags: the forest takes NaN, the Cox model forgets to require y.
    ours = {check.__name__ for model in (Cox(), RandomSurvivalForest()) for check in survival_checks_generator(model)}
    assert for_regressors - ours == EXCLUDED_CHECKS.keys()


def test_checks_without_data_exist():
    ours = {check.__name__ for check in survival_checks_generator(Cox())}
    assert set(_sklearn_checks.CHECKS_WITHOUT_DATA) <= ours


@pytest.mark.parametrize("y", [[3, 5, 4], np.array([-1.0, 1.0, 0.0]), np.array([3, 5, 4], dtype=object)])
def test_numbers_become_times_of_events(y):
    outcome = as_outcome(y)
    assert outcome["event"].all()
    assert outcome["time"].tolist() == [1.0, 3.0, 2.0]


def test_useless_numbers_become_useless_times():
    assert_array_equal(as_outcome([2.0, np.nan, 1.0, np.inf])["time"], [2.0, np.nan, 1.0, np.inf])
    assert_array_equal(as_outcome([np.nan, np.nan])["time"], [np.nan, np.nan])


@pytest.mark.parametrize("y", [None, ["a", "b"], np.ones((2, 2)), [], np.array([1j, 2])])
def test_what_is_no_vector_of_numbers_stays(y):
    assert as_outcome(y) is y


def test_the_class_is_as_before_after_a_check():
    before = dict(vars(WrongSign)), dict(vars(CoxPHSurvivalAnalysis))
    for cls in (WrongSign, CoxPHSurvivalAnalysis):
        with survival_targets(cls):
            cls().fit(np.array([[0.0], [2.0], [1.0], [1.5]]), [1, 3, 2, 4])
    assert (dict(vars(WrongSign)), dict(vars(CoxPHSurvivalAnalysis))) == before


def test_conditional_methods_stay_conditional():
    pipeline = make_pipeline(StandardScaler(), Cox())
    with survival_targets(type(pipeline)):
        assert not hasattr(pipeline, "fit_transform")
        with pytest.raises(NotFittedError):
            pipeline.score(np.ones((2, 1)), [1, 2])
