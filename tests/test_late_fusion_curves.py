"""Late fusion of curves: means by hand, weights, members that do harm, members that see several modalities."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sksurv.base import SurvivalAnalysisMixin
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxPHSurvivalAnalysis, IPCRidge
from sksurv.metrics import integrated_brier_score
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.late_fusion._trial import Trial, is_worse, marginal_curve
from sksurv_mmf.predictions._checks import carried_forward
from sksurv_mmf.predictions._fold_outcome import brier_losses


class Exponential(SurvivalAnalysisMixin, BaseEstimator):
    """Has nothing to learn: the log hazard is the first column, the curve exponential at the training times."""

    n_fits = 0

    def __init__(self, sign=1.0):
        self.sign = sign

    def fit(self, X, y):
        type(self).n_fits += 1
        self.unique_times_ = np.unique(y["time"])
        return self

    def predict(self, X):
        return self.sign * X.iloc[:, 0].to_numpy(dtype=float)

    def predict_survival_function(self, X):
        hazard = np.exp(self.predict(X))
        return np.array([StepFunction(self.unique_times_, np.exp(-self.unique_times_ * one)) for one in hazard])


class Marginal(Exponential):
    """The same curve for all."""

    def predict_survival_function(self, X):
        curve = np.exp(-self.unique_times_)
        return np.array([StepFunction(self.unique_times_, curve)] * len(X))


@pytest.fixture(scope="module")
def table():
    """Three modalities of a column each; the hazard depends on the first two."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(150, 3))
    time = rng.exponential(np.exp(-values[:, 0] - values[:, 1]))
    censored_at = rng.exponential(2, 150)
    X = pd.DataFrame(values, [f"P{i}" for i in range(150)], ["a__x", "b__x", "c__x"])
    return X, Surv.from_arrays(time <= censored_at, np.minimum(time, censored_at))


def curves(model, X):
    return model.predict_survival_function(X, return_array=True)


def late(members="abc", **params):
    return LateFusionSurvivalAnalysis([(name, Exponential()) for name in members], combine="curves", **params)


def test_the_curve_is_the_mean_of_the_members_curves(table):
    X, y = table
    model = late(cv=None).fit(X, y)
    at = model.unique_times_
    assert_array_equal(at, np.unique(y["time"]))
    expected = np.mean([np.exp(-at * np.exp(X.to_numpy()[:, [m]])) for m in range(3)], axis=0)
    assert_allclose(curves(model, X), expected)
    assert_allclose([one(at) for one in model.predict_survival_function(X)], expected)
    assert_allclose(model.predict_cumulative_hazard_function(X, return_array=True), -np.log(expected))
    at_events = np.isin(at, y["time"][y["event"]])
    assert_allclose(model.predict(X), -expected[:, at_events].mean(axis=1))
    assert_allclose(curves(model, X.iloc[[4]]), expected[[4]])


@pytest.mark.parametrize("weights", [[2, 6, 0], {"c": 0, "b": 0.75, "a": 0.25}])
def test_weights_act_by_their_ratios(table, weights):
    X, y = table
    model = late(cv=None, weights=weights).fit(X, y)
    at = model.unique_times_
    a, b = (np.exp(-at * np.exp(X[[column]].to_numpy())) for column in ("a__x", "b__x"))
    assert_allclose(model.weights_, [0.25, 0.75, 0])
    assert_allclose(curves(model, X), 0.25 * a + 0.75 * b)


@pytest.mark.filterwarnings("ignore:Member .* is silenced:UserWarning")
def test_the_order_of_members_does_not_matter(table):
    X, y = table
    weights = {"a": 1, "b": 2, "c": 3}
    one, two = (late(members, weights=weights).fit(X, y) for members in ("abc", "cab"))
    assert_allclose(curves(one, X), curves(two, X))
    assert_allclose(one.weights_[["c", "a", "b"]], two.weights_)


def test_a_patient_who_lacks_a_modality_has_the_mean_of_the_others(table):
    X, y = table
    lacking = X.assign(b__x=X["b__x"].where(np.arange(150) > 9))
    model = late(cv=None, weights=[1, 5, 3]).fit(lacking, y)
    at = model.unique_times_
    a, c = (np.exp(-at * np.exp(X[[column]].to_numpy()[:10])) for column in ("a__x", "c__x"))
    assert_allclose(curves(model, lacking)[:10], (a + 3 * c) / 4)


def test_curves_keep_their_last_value_up_to_the_last_time(table):
    X, y = table
    last = y["time"].argmax()
    lacking = X.assign(b__x=X["b__x"].where(np.arange(150) != last))
    model = late("ab", cv=None).fit(lacking[["a__x", "b__x"]], y)
    assert model.unique_times_[-1] == y["time"][last] > model.estimators_["b"].unique_times_[-1]
    both = curves(model, X[["a__x", "b__x"]])
    a = np.exp(-model.unique_times_ * np.exp(X[["a__x"]].to_numpy()))
    b = 2 * both - a
    assert_allclose(b[:, -1], b[:, -2], atol=1e-12)
    assert (a[:, -1] < a[:, -2]).all()


def test_values_outside_the_domain_of_a_curve():
    curve = StepFunction(np.array([2.0, 4.0]), np.array([0.8, 0.5]), domain=(2.0, None))
    assert_allclose(carried_forward([curve], [1.0, 2.0, 3.0, 4.5, 9.0]), [[1, 0.8, 0.8, 0.5, 0.5]])
    assert carried_forward([curve], []).shape == (1, 0)
    endless = [lambda time: np.exp(-time)]
    assert_allclose(carried_forward(endless, [0.5, 99.0]), [np.exp([-0.5, -99.0])])


@pytest.mark.filterwarnings("ignore:Member .* is silenced:UserWarning")
def test_a_member_that_does_harm_is_silenced_and_has_no_influence(table):
    X, y = table
    members = [("a", Exponential()), ("wrong", Exponential(-1.0), "b"), ("c", Marginal())]
    model = LateFusionSurvivalAnalysis(members, combine="curves", weights=[1, 1, 0])
    with pytest.warns(UserWarning, match="Member 'wrong' is silenced") as caught:
        model.fit(X, y)
    said = next(str(one.message) for one in caught if "'wrong'" in str(one.message))
    for score in model.brier_scores_.loc["wrong", ["member", "Kaplan-Meier"]]:
        assert f"{score:.4g}" in said
    assert "wrong" in model.silenced_
    assert model.weights_["wrong"] == 0
    alone = late("a", cv=None).fit(X[["a__x"]], y)
    assert_allclose(curves(model, X), curves(alone, X[["a__x"]]))


def test_who_has_silenced_members_only_gets_the_kaplan_meier_curve(table):
    X, y = table
    X = X[["a__x", "b__x"]].where(np.column_stack([np.arange(150) > 4, np.ones(150, dtype=bool)]))
    members = [("a", Exponential()), ("b", Exponential(-1.0))]
    with pytest.warns(UserWarning, match="'b' is silenced"):
        model = LateFusionSurvivalAnalysis(members, combine="curves").fit(X, y)
    _, survival = kaplan_meier_estimator(y["event"], y["time"])
    assert_allclose(curves(model, X)[:5], np.tile(survival, (5, 1)))
    assert np.ptp(curves(model, X)[5:], axis=0).max() > 0.1


@pytest.mark.filterwarnings("ignore:Member 'b' is silenced:UserWarning")
def test_if_all_are_silenced_everybody_has_the_kaplan_meier_curve(table):
    X, y = table
    with pytest.warns(UserWarning, match="All members are silenced"):
        model = LateFusionSurvivalAnalysis([("b", Exponential(-1.0))], combine="curves").fit(X[["b__x"]], y)
    assert model.silenced_ == ["b"]
    _, survival = kaplan_meier_estimator(y["event"], y["time"])
    assert_allclose(curves(model, X[["b__x"]]), np.tile(survival, (150, 1)))
    assert np.ptp(model.predict(X[["b__x"]])) == 0


def test_the_score_is_the_integrated_brier_score_of_scikit_survival(table):
    X, y = table
    trial = Trial(y, np.ones(150, dtype=bool))
    predicted = np.exp(-trial.times * np.exp(X[["a__x"]].to_numpy()))
    trial.hear(np.arange(150), predicted, y)
    marginal = np.tile(marginal_curve(y, trial.times), (150, 1))
    expected = [integrated_brier_score(y, trial.outcome.truncated, one, trial.times) for one in (predicted, marginal)]
    assert_allclose(trial.scores()[:2], expected)


def test_a_member_is_silenced_if_it_is_worse_by_two_standard_errors():
    assert not is_worse([0.219, 0.2, 0.01])
    assert is_worse([0.221, 0.2, 0.01])
    assert not is_worse([0.1, 0.2, 0.01])
    assert not is_worse([np.nan] * 3)


def test_the_standard_error_is_that_of_independent_patients(table):
    X, y = table
    trial = Trial(y, np.ones(150, dtype=bool))
    predicted = np.exp(-trial.times * np.exp(X[["a__x"]].to_numpy()))
    trial.hear(np.arange(150), predicted, y)
    loss = brier_losses(trial.outcome, predicted, trial.times)
    loss -= brier_losses(trial.outcome, np.tile(marginal_curve(y, trial.times), (150, 1)), trial.times)
    drawn = np.random.default_rng(0).integers(150, size=(2000, 150))
    assert_allclose(trial.scores()[2], loss[drawn].mean(axis=1).std(), rtol=0.1)


@pytest.mark.filterwarnings("ignore:.* silenced:UserWarning")
def test_a_member_is_compared_with_kaplan_meier_of_the_patients_whom_it_sees(table):
    X, y = table
    has_b = y["time"] > np.median(y["time"])  # the others leave early
    lacking = X[["a__x", "b__x"]].assign(b__x=X["b__x"].where(has_b))
    scores = late("ab", cv=3).fit(lacking, y).brier_scores_["Kaplan-Meier"]
    alone = late("b", cv=3).fit(lacking.loc[has_b, ["b__x"]], y[has_b]).brier_scores_["Kaplan-Meier"]
    everybody = Trial(y, has_b)
    everybody.hear(np.flatnonzero(has_b), np.nan, y)
    assert abs(scores["b"] - alone["b"]) < 0.02
    assert scores["b"] < everybody.scores()[1] - 0.02


@pytest.mark.filterwarnings("ignore:Member .* is silenced:UserWarning")
@pytest.mark.parametrize(
    ("params", "n_fits"),
    [({"cv": 4}, 5), ({"cv": None}, 1), ({"combine": "rank", "cv": 4}, 5), ({"combine": "stack", "cv": 4}, 5)],
)
def test_each_member_is_fitted_once_per_fold_and_once_to_all(table, params, n_fits):
    X, y = table
    model = late().set_params(**params)
    Exponential.n_fits = 0
    model.fit(X, y)
    curves(model, X)
    model.predict(X)
    assert Exponential.n_fits == 3 * n_fits


def test_another_combination_leaves_nothing_of_the_one_before(table):
    X, y = table
    model = late("ab", cv=3).fit(X[["a__x", "b__x"]], y)
    model.set_params(combine="rank").fit(X[["a__x", "b__x"]], y)
    assert not hasattr(model, "silenced_")
    model.set_params(combine="curves", cv=None).fit(X[["a__x", "b__x"]], y)
    assert not hasattr(model, "combiner_")
    assert not hasattr(model, "held_out_ranks_")


SEVERAL = [["a", "b"], ["b", "a"], ["a__x", "b"], ["a__x", "b__x"], slice(0, 2), lambda X: ["a__x", "b__x"]]


@pytest.mark.filterwarnings("ignore:Member 'third' is silenced:UserWarning")
@pytest.mark.parametrize("columns", SEVERAL, ids=range(len(SEVERAL)))
@pytest.mark.parametrize("combine", ["rank", "stack", "curves"])
def test_a_member_may_see_several_modalities(table, columns, combine):
    X, y = table
    cox = CoxPHSurvivalAnalysis(alpha=1.0)
    members = [("both", cox, columns), ("third", cox, "c")]
    model = LateFusionSurvivalAnalysis(members, combine=combine, cv=3).fit(X, y)
    risk = cox.fit(X[["a__x", "b__x"]], y).predict(X[["a__x", "b__x"]])
    assert_array_equal(model.modality_ranks(X)["both"].argsort(), risk.argsort())
    assert model.estimators_["third"].feature_names_in_.tolist() == ["c__x"]


def test_who_has_any_modality_of_a_member_is_predicted_by_it(table):
    X, y = table
    X = X[["a__x", "b__x"]].copy()
    X.iloc[:5, 0] = X.iloc[5:10, 1] = np.nan
    seen = make_pipeline(SimpleImputer(), CoxPHSurvivalAnalysis(alpha=1.0)).set_output(transform="pandas")
    network = FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0)
    members = [("cox", seen, ["a", "b"]), ("network", network, slice(None)), ("a", Exponential())]
    model = LateFusionSurvivalAnalysis(members, combine="curves", cv=None).fit(X, y)
    ranks = model.modality_ranks(X)
    assert ranks[["cox", "network"]].notna().all().all()
    assert_array_equal(ranks["a"].isna(), np.arange(150) < 5)
    assert_allclose(
        curves(model, X.iloc[:5]),
        np.mean(
            [
                carried_forward(model.estimators_[name].predict_survival_function(X.iloc[:5]), model.unique_times_)
                for name in ("cox", "network")
            ],
            axis=0,
        ),
    )


def test_times_of_the_mean_are_those_of_all_members(table):
    class Between(Exponential):
        def fit(self, X, y):
            self.unique_times_ = np.array([0.123, 0.456, 99.0])
            return self

    X, y = table
    members = [("a", Exponential()), ("b", Between()), ("c", Exponential())]
    model = LateFusionSurvivalAnalysis(members, combine="curves", cv=None).fit(X, y)
    assert_array_equal(model.unique_times_, np.union1d(y["time"], [0.123, 0.456]))


class Rising(Exponential):
    def predict_survival_function(self, X):
        return np.array([StepFunction(np.array([1.0, 2.0]), np.array([0.5, 0.9]))] * len(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weights": [1, 2]}, r"weights has 2 numbers, but there are 3 members, 'a', 'b', 'c'"),
        ({"weights": {"a": 1, "b": 1, "z": 1}}, r"weights names 'a', 'b', 'z', but the members are"),
        ({"weights": [1, -1, 1]}, r"weights has -1 for 'b'; a weight must be a finite number, 0 or more"),
        ({"weights": [1, 1, np.nan]}, r"weights has nan for 'c'"),
        ({"weights": [0, 0, 0]}, r"All weights are 0"),
        ({"weights": [1, 1, 1], "combine": "rank"}, r"weights are for combine='curves' only, got combine='rank'"),
        ({"cv": None, "combine": "stack"}, r"cv=None is for combine='curves' only"),
        ({"c": IPCRidge()}, r"estimator of member 'c' predicts no survival .*IPCRidge has no .* or combine='rank'"),
        ({"b": Rising()}, r"estimator of member 'b' cannot predict: .*patient 'P\d+' rises"),
        ({"modalities": [("m", Exponential(), ["a", "q"])]}, r"Member 'm' is to see 'q', which X has neither as"),
    ],
)
def test_what_cannot_be_averaged_is_named(table, params, message):
    X, y = table
    with pytest.raises(ValueError, match=message):
        late().set_params(**params).fit(X, y)
