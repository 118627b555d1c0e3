"""What comparisons make of intervals, of horizons that nearly agree, and of what models of other packages predict."""

import math
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.inspection import ComparisonDisplay, fusion_audit
from sksurv_mmf.model_selection import compare_models

matplotlib.use("Agg")

GRID = np.linspace(0, 10, 21)


class Oracle(BaseEstimator):
    """Knows the risk, which is the first column, and gives survival functions that `make` makes of it."""

    def __init__(self, make=None, predict_as=None):
        self.make = make
        self.predict_as = predict_as

    def fit(self, X, y):
        return self

    def predict(self, X):
        risk = X.iloc[:, 0].to_numpy()
        return risk if self.predict_as is None else self.predict_as(risk)

    def predict_survival_function(self, X):
        curves = np.empty(len(X), dtype=object)
        curves[:] = [self.make(risk) for risk in X.iloc[:, 0]]
        return curves


def step(risk):
    return StepFunction(GRID, np.exp(-np.exp(risk) * GRID / 10))


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    risk = np.linspace(-1, 1, 60)
    X = pd.DataFrame({"risk": rng.permutation(risk), "noise": rng.normal(size=60)}, index=[f"P{i}" for i in range(60)])
    time = 9 * rng.exponential(np.exp(-3 * X["risk"].to_numpy())).clip(max=1) + 0.1
    return X, Surv.from_arrays(rng.random(60) < 0.8, time)


def compare(models, patients, **kwargs):
    return compare_models(models, *patients, cv=4, random_state=0, **kwargs)


def test_intervals_stay_within_the_scores(patients):
    X, _ = patients
    # Two folds of perfect order and two of the reverse: the t interval of the mean is far wider than [0, 1].
    fold = np.arange(60) % 4
    risk = np.where(fold < 2, np.arange(60), -np.arange(60))
    y = Surv.from_arrays(np.ones(60, dtype=bool), 100.0 - np.arange(60))
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
    X = X.assign(risk=risk)
    models = {"mixed": Oracle(step), "reverse": Oracle(step, np.negative)}
    comparison = compare_models(models, X, y, folds, scoring=["harrell", "uno"], random_state=0)
    assert set(comparison.scores["value"]) == {0.0, 1.0}
    summary = comparison.summary()
    assert summary["lower"].between(0, 0.01).all()
    assert summary["upper"].between(0.99, 1).all()
    (row,) = comparison.pairwise("harrell").to_dict("records")
    assert (row["t_lower"], row["t_upper"]) == (-1, 1)
    drawn, told = comparison.plot("harrell").intervals, summary.loc["harrell"]
    np.testing.assert_array_equal(drawn[["lower", "upper"]], told[["lower", "upper"]])
    display = ComparisonDisplay.from_predictions(comparison.scores, score="uno", reference="mixed", differences=True)
    assert display.intervals[["lower", "upper"]].to_numpy().tolist() == [[-1, 1]]
    audit = fusion_audit(comparison, "mixed", random_state=0)
    assert audit.tests["lower"].min() >= -1
    assert audit.tests["upper"].max() <= 1


def test_a_brier_score_and_calibration_have_their_own_limits(patients):
    comparison = compare(
        {"oracle": Oracle(step)}, patients, scoring=["ibs", "brier", "calibration"], horizons=[2.0, 4.0]
    )
    summary = comparison.summary(confidence_level=0.999999)
    assert (summary.loc[["ibs", "brier@2", "brier@4"], "lower"] == 0).all()
    calibration = summary.loc[["calibration@2", "calibration@4"]]
    assert calibration["lower"].between(-1, -0.9).all()
    assert calibration["upper"].between(0.9, 1).all()


def test_limits_of_given_scores():
    scores = pd.DataFrame({"model": ["a"] * 3, "fold": range(3), "value": [1.0, 0.99, 0.7]})
    assert ComparisonDisplay.from_predictions(scores).intervals.loc["a", "upper"] < 1
    errors = scores.assign(value=[5.0, 7.0, 1.0])
    assert ComparisonDisplay.from_predictions(errors).intervals.loc["a", "lower"] < 0
    assert ComparisonDisplay.from_predictions(errors, limits=(0, np.inf)).intervals.loc["a", "lower"] == 0
    with pytest.raises(ValueError, match=r"limits=\(0, 1\), but 2 values lie beyond, for example 5"):
        ComparisonDisplay.from_predictions(errors, limits=(0, 1))


def test_horizons_that_agree_in_six_digits_stay_apart(patients):
    horizons = [2.0, 2.0000001, 3.00000001]
    comparison = compare({"oracle": Oracle(step)}, patients, scoring=["brier", "auc"], horizons=horizons)
    names = ["brier@2", "brier@2.0000001", "brier@3.00000001", "auc", "auc@2", "auc@2.0000001", "auc@3.00000001"]
    assert comparison.scores["score"].unique().tolist() == names
    titles = [comparison.plot(name).ax_.get_xlabel().replace("\n", " ") for name in names]
    assert len(set(titles)) == 7
    X, y = patients
    late = Surv.from_arrays(y["event"], y["time"] * 1e6)
    comparison = compare({"cox": CoxPHSurvivalAnalysis()}, (X, late), scoring="auc", horizons=[1000000.1, 1000000.2])
    assert comparison.scores["score"].unique().tolist() == ["auc", "auc@1000000.1", "auc@1000000.2"]


def test_the_same_horizon_or_score_twice_is_said(patients):
    models = {"oracle": Oracle(step)}
    with pytest.warns(UserWarning, match="horizons names '2', '3' more than once; each counts once"):
        comparison = compare(models, patients, scoring="auc", horizons=[2, 3, 2.0, 3])
    assert comparison.scores["score"].unique().tolist() == ["auc", "auc@2", "auc@3"]
    with pytest.warns(UserWarning, match="scoring names 'harrell' more than once"):
        compare(models, patients, scoring=["harrell", "harrell"])


FLAWED = {
    "above one": (lambda risk: StepFunction(GRID, 1.5 * step(risk).y), "is 1.5 at time 0, no probability"),
    "negative": (lambda risk: StepFunction(GRID, step(risk).y - 1), "no probability"),
    "rising": (lambda risk: StepFunction(GRID, 1 - step(risk).y), "rises from 0 at time 0"),
    "nan": (lambda risk: StepFunction(GRID, np.where(GRID > 3, np.nan, step(risk).y)), "is NaN at time"),
    "complex": (lambda risk: lambda times: np.exp(-1j * times), "dtype complex128"),
    "masked": (lambda risk: lambda times: np.ma.masked_greater(step(risk)(times), 0.5), "masked values"),
    "shape": (lambda risk: lambda times: np.ones((2, 2)), r"has shape \(2, 2\) at one time"),
    "raises": (lambda risk: lambda times: [][1], "cannot be evaluated: IndexError"),
    "rising, without a domain": (lambda risk: lambda time: time / 100, "rises from"),
}


@pytest.mark.parametrize(("make", "reason"), FLAWED.values(), ids=FLAWED)
def test_curves_that_are_no_survival_functions_are_a_reason_and_no_number(patients, make, reason):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The score .* exists in no fold")
        comparison = compare({"flawed": Oracle(make), "sound": Oracle(step)}, patients, horizons=[2.0])
    scores = comparison.scores.set_index("model")
    needs_curves = scores["score"].isin(["ibs", "brier@2", "calibration@2"])
    flawed = scores[needs_curves].loc["flawed"]
    assert flawed["value"].isna().all()
    assert flawed["reason"].str.contains(reason).all()
    assert flawed["reason"].str.contains(r"of patient 'P\d+'").all()
    assert (scores.loc["sound", "reason"] == "").all()
    assert (scores[~needs_curves].loc["flawed", "reason"] == "").all()


def test_curves_without_a_domain_work_one_time_at_a_time_too(patients):
    def scalar(risk):
        return lambda time: math.exp(-math.exp(risk) * time / 10)

    def vector(risk):
        return lambda times: np.exp(-np.exp(risk) * np.asarray(times) / 10)

    comparison = compare({"scalar": Oracle(scalar), "vector": Oracle(vector)}, patients, horizons=[2.0])
    table = comparison.scores.pivot(index=["fold", "score"], columns="model", values="value")
    assert table.notna().all(axis=None)
    np.testing.assert_allclose(table["scalar"], table["vector"], rtol=1e-9)


@pytest.mark.parametrize(
    ("predict_as", "error"),
    [
        (lambda risk: risk + 1j, "dtype complex128"),
        (lambda risk: np.ma.masked_greater(risk, 0.5), "masked values"),
        (lambda risk: np.where(risk > 0.9, np.inf, risk), "NaN or infinity for"),
        (lambda risk: risk[:, np.newaxis], "one risk per patient is needed"),
        (lambda risk: [str(one) for one in risk], "real numbers are needed"),
    ],
)
def test_risks_that_are_no_numbers_fail(patients, predict_as, error):
    with pytest.warns(UserWarning, match=rf"4 fits failed.*{error}"):
        comparison = compare({"foreign": Oracle(step, predict_as)}, patients, scoring="harrell")
    failed = comparison.fits["error"][comparison.fits["error"] != ""]
    assert len(failed) >= 1
    assert failed.str.contains(error).all()
    assert comparison.scores["value"].isna().sum() == len(failed)
