"""Inspection functions say which argument is wrong, what came and what is expected."""

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.inspection import (
    CalibrationDisplay,
    ComparisonDisplay,
    ModalityAttentionDisplay,
    RiskGroupDisplay,
    TileAttentionDisplay,
    feature_importance,
    fusion_audit,
    integrated_gradients,
    modality_importance,
)
from sksurv_mmf.model_selection import SurvivalKFold

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort()


@pytest.fixture(scope="module")
def network(cohort):
    return FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0).fit(
        cohort.X, cohort.y
    )


@pytest.fixture(scope="module")
def cox(cohort):
    return make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1)).fit(cohort.X.iloc[:, 1:], cohort.y)


LOOKS = {
    "CalibrationDisplay": lambda model, X, y: CalibrationDisplay.from_estimator(model, X, y, time=0.5),
    "RiskGroupDisplay": lambda model, X, y: RiskGroupDisplay.from_estimator(model, X, y),
    "ModalityAttentionDisplay": lambda model, X, y: ModalityAttentionDisplay.from_estimator(model, X),
    "TileAttentionDisplay": lambda model, X, y: TileAttentionDisplay.from_estimator(model, X, patient="P001"),
    "modality_importance": lambda model, X, y: modality_importance(model, X, y, cv="prefit"),
    "modality_importance, folds": lambda model, X, y: modality_importance(model, X, y, cv=2),
    "integrated_gradients": lambda model, X, y: integrated_gradients(model, X),
    "feature_importance": lambda model, X, y: feature_importance(model, X, cv="prefit"),
}
FIT_THEMSELVES = ["modality_importance, folds"]


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("model", [3, None, "model", {}, [1], pd.DataFrame(), FusionSurvivalAnalysis, print], ids=repr)
def test_no_model(cohort, name, model):
    message = r"estimator (is the class|must be a .*survival estimator.*, got)|FusionSurvivalAnalysis.*, got"
    with pytest.raises(TypeError, match=message):
        LOOKS[name](model, cohort.X, cohort.y)


@pytest.mark.parametrize("name", [name for name in LOOKS if name not in FIT_THEMSELVES])
def test_an_unfitted_model(cohort, name):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        LOOKS[name](FusionSurvivalAnalysis(), cohort.X, cohort.y)


@pytest.mark.parametrize("name", ["ModalityAttentionDisplay", "TileAttentionDisplay", "integrated_gradients"])
def test_a_pipeline_without_a_network(cohort, cox, name):
    with pytest.raises((AttributeError, TypeError), match="CoxPHSurvivalAnalysis"):
        LOOKS[name](cox, cohort.X.iloc[:, 1:], cohort.y)


@pytest.mark.parametrize("name", ["ModalityAttentionDisplay", "TileAttentionDisplay", "integrated_gradients"])
def test_a_search_without_a_network(cohort, name):
    genes = cohort.X.iloc[:, 1:]
    search = GridSearchCV(CoxPHSurvivalAnalysis(), {"alpha": [1.0]}, cv=2).fit(genes, cohort.y)
    message = "GridSearchCV, whose CoxPHSurvivalAnalysis has no|or search of one, got CoxPHSurvivalAnalysis"
    with pytest.raises((AttributeError, TypeError), match=message):
        LOOKS[name](search, genes, cohort.y)


@pytest.mark.parametrize("time", ["1y", -1, 0, [1, 2], None, np.nan, np.inf, 1j, {}], ids=repr)
def test_a_time_that_is_none(cohort, network, time):
    with pytest.raises(ValueError, match=r"'time' parameter|time=inf is not within"):
        CalibrationDisplay.from_estimator(network, cohort.X, cohort.y, time=time)
    if time != np.inf:
        with pytest.raises(ValueError, match="'time' parameter"):
            CalibrationDisplay.from_predictions(cohort.y, np.linspace(0, 1, 30), time=time)


def test_a_time_beyond_the_curves(cohort, network):
    end = network.unique_times_[-1]
    with pytest.raises(ValueError, match="is not within the survival functions, which end at"):
        CalibrationDisplay.from_estimator(network, cohort.X, cohort.y, time=end * (1 + 1e-9))


class Foreign:
    """Predicts what it is given."""

    def __init__(self, curves):
        self.curves = curves

    def predict(self, X):
        return np.zeros(len(X))

    def predict_survival_function(self, X):
        return [self.curves] * len(X) if callable(self.curves) else self.curves


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        (lambda times: 1.5 - 0 * np.asarray(times), "is 1.5 at time 0, no probability"),
        (lambda times: np.asarray(times) / 9, "rises from"),
        (lambda times: np.nan * np.asarray(times), "is NaN"),
        (
            StepFunction(np.array([0.0, 0.2, 9]), np.array([0.5, 0.9, 0.1])),
            r"rises from 0.5 at time .* to 0.9 at time 0\.2",
        ),
        (np.ones((30, 5)), r"returned no functions, but shape \(30, 5\)"),
    ],
)
def test_calibration_of_foreign_curves_that_are_none(cohort, curves, message):
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_estimator(Foreign(curves), cohort.X, cohort.y, time=0.5)


def test_calibration_of_curves_without_a_domain(cohort):
    display = CalibrationDisplay.from_estimator(
        Foreign(lambda time: float(np.exp(-time))), cohort.X, cohort.y, time=0.1, n_groups=1
    )
    assert display.table["predicted"].iloc[0] == pytest.approx(np.exp(-0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_groups": "three"}, "n_groups must be .*, got 'three'"),
        ({"n_groups": 2.5}, "n_groups must be .*, got 2.5"),
        ({"thresholds": ["low"]}, "thresholds is an array of dtype <U3"),
        ({"thresholds": [np.nan]}, r"thresholds must be a list of risks without NaN, got \[nan\]"),
        ({"thresholds": []}, "thresholds must be a list of risks"),
        ({"max_time": np.inf}, "max_time must be a positive time or None, got inf"),
        ({"max_time": "1y"}, "max_time must be a positive time or None, got '1y'"),
        ({"max_time": 0}, "max_time must be a positive time or None, got 0"),
        ({"risk": 1j * np.arange(30)}, "risk is an array of dtype complex128"),
        ({"risk": np.ma.masked_less(np.arange(30.0), 3)}, "risk is masked values, 3 of 30"),
        ({"ax": 3}, "ax must be matplotlib Axes or None, got int"),
    ],
)
def test_arguments_of_risk_groups(cohort, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RiskGroupDisplay.from_predictions(**{"y": cohort.y, "risk": np.arange(30.0)} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patient": ["P001"]}, r"patient must be a single name, got list: \['P001'\]"),
        ({"patient": {}}, "patient must be a single name, got dict"),
        ({"highlight": ["a"]}, "highlight must say True or False"),
        ({"ax": "here"}, "ax must be matplotlib Axes or None, got str"),
        ({"ax": matplotlib.figure.Figure()}, "ax must be matplotlib Axes or None, got Figure"),
    ],
)
def test_arguments_of_tile_attention(cohort, network, arguments, message):
    table = network.tile_attention(cohort.X)
    with pytest.raises((ValueError, TypeError), match=message):
        TileAttentionDisplay.from_predictions(table, **{"patient": "P001"} | arguments)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -0.1])
def test_tile_weights_that_are_none(cohort, network, weight):
    table = network.tile_attention(cohort.X)
    table.iloc[0, 0] = weight
    with pytest.raises(
        ValueError, match=r"column 'attention' of patient 'P000' has weights that are negative, NaN or inf"
    ):
        TileAttentionDisplay.from_predictions(table, patient="P000")


@pytest.mark.parametrize("X", [None, 3, "X", {"a": 1}, [1, 2], np.ones((3, 4))], ids=repr)
@pytest.mark.parametrize("name", ["TileAttentionDisplay", "modality_importance", "modality_importance, folds"])
def test_an_X_that_is_no_frame(cohort, network, name, X):
    with pytest.raises((TypeError, ValueError), match=r"X must be a DataFrame|but a frame is expected|'X' parameter"):
        LOOKS[name](network, X, cohort.y)


@pytest.mark.parametrize("look", [modality_importance, feature_importance])
@pytest.mark.parametrize(
    ("y", "cv", "message"),
    [
        (None, 2, "the target y is None|y must be the outcome of the patients, .* got None"),
        (3, 2, "y must be a structured array of event and time, but is a int"),
        ("short", 2, "X has 30 patients and y has 5"),
        ("all", [], "cv gave no fold"),
        ("all", [([0, 1], [99])], "Fold 0 of cv must name test patients by positions from 0 to 29"),
        ("all", [(0, 1)], "Fold 0 of cv must name training patients by their positions"),
        ("all", SurvivalKFold, r"cv must be a number of folds, a splitter such as SurvivalKFold\(5\)"),
    ],
)
def test_outcomes_and_folds(cohort, network, look, y, cv, message):
    y = {"short": cohort.y[:5], "all": cohort.y}.get(y, y)
    with pytest.raises(ValueError, match=message):
        look(network, cohort.X, y, cv=cv)


@pytest.mark.parametrize("comparison", [3, None, "c", {}, pd.DataFrame({"risks": [1]})], ids=repr)
def test_an_audit_of_no_comparison(comparison):
    with pytest.raises(TypeError, match=r"comparison must be what compare_models returns, got .* which lacks"):
        fusion_audit(comparison, "fused")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": 3}, "'scores' parameter"),
        ({"score": []}, "'score' parameter"),
        ({"reference": {}}, "'reference' parameter"),
        ({"test_ratio": -1}, "'test_ratio' parameter"),
        ({"test_ratio": "1:4"}, "'test_ratio' parameter"),
        ({"confidence_level": 95}, "'confidence_level' parameter"),
        ({"limits": (1, 0)}, r"limits must be two numbers, the lower one first, got \(1, 0\)"),
        ({"limits": ["a", "b"]}, "limits must be two numbers"),
        ({"limits": 1}, "'limits' parameter"),
    ],
)
def test_arguments_of_a_comparison_display(arguments, message):
    scores = pd.DataFrame({"model": ["a"] * 3, "fold": range(3), "value": [0.6, 0.7, 0.8]})
    with pytest.raises(ValueError, match=message):
        ComparisonDisplay.from_predictions(**{"scores": scores} | arguments)


def test_scores_that_are_text():
    scores = pd.DataFrame({"model": ["a", "a"], "fold": [0, 1], "value": ["0.6", "0.7"]})
    with pytest.raises(ValueError, match="column 'value' of scores must hold numbers, but has dtype"):
        ComparisonDisplay.from_predictions(scores)
