"""Validation: numbers against scikit-survival and by hand, true models, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hospitals import hospital, known
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import (
    brier_score,
    concordance_index_censored,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.nonparametric import SurvivalFunctionEstimator
from sksurv.svm import FastSurvivalSVM
from sksurv.util import Surv

from sksurv_mmf.evaluation import net_benefit, recalibrate, validate
from sksurv_mmf.evaluation._resamples import Resamples
from sksurv_mmf.evaluation._validation_scores import observed_to_expected, slope
from sksurv_mmf.model_selection._survival_scores import FoldPrediction
from sksurv_mmf.predictions._fold_outcome import FoldOutcome

FEW = {"n_bootstrap": 20, "random_state": 0, "thresholds": [0.2, 0.5]}
NUMBERS = ["value", "lower", "upper"]


def score(validation, name, horizon=None, model="Model"):
    table = validation.scores.set_index(["model", "score"]).loc[[(model, name)]]
    return (table if horizon is None else table[table["horizon"] == horizon])["value"].item()


def measure(validation, name, horizon, column="value", model="Model"):
    return validation.calibration.set_index(["model", "measure", "horizon"]).loc[(model, name, horizon), column]


@pytest.fixture(scope="module")
def judged():
    X, y = hospital(200)
    return X, y, known(factor=1.5), validate(known(factor=1.5), X, y, [3, 5], **FEW)


def test_scores_are_those_of_scikit_survival(judged):
    X, y, model, validation = judged
    outcome = FoldOutcome(y, y)
    cut, times, risk = outcome.truncated, outcome.times, model.predict(X)
    survival = np.array([f(times) for f in model.predict_survival_function(X)])
    at_5 = np.array([f(5.0) for f in model.predict_survival_function(X)])
    expected = {
        "harrell": concordance_index_censored(y["event"], y["time"], risk)[0],
        "uno": concordance_index_ipcw(y, cut, risk)[0],
        "ibs": integrated_brier_score(y, cut, survival, times),
    }
    assert {name: score(validation, name) for name in expected} == pytest.approx(expected)
    assert score(validation, "auc", 5) == pytest.approx(cumulative_dynamic_auc(y, cut, risk, 5)[1])
    assert score(validation, "brier", 5) == pytest.approx(brier_score(y, cut, at_5, 5)[1][0])
    marginal = np.full(200, SurvivalFunctionEstimator().fit(y).predict_proba([5])[0])
    reference = brier_score(y, cut, marginal, 5)[1][0]
    assert score(validation, "brier", 5, "Kaplan-Meier") == pytest.approx(reference)
    assert score(validation, "scaled_brier", 5) == pytest.approx(1 - score(validation, "brier", 5) / reference)
    ratio = score(validation, "ibs") / score(validation, "ibs", model="Kaplan-Meier")
    assert score(validation, "scaled_ibs") == pytest.approx(1 - ratio)


def test_calibration_and_net_benefit_by_hand(judged):
    X, y, model, validation = judged
    risk = 1 - np.array([f(3.0) for f in model.predict_survival_function(X)])
    observed = 1 - SurvivalFunctionEstimator().fit(y).predict_proba([3])[0]
    assert measure(validation, "expected", 3) == pytest.approx(risk.mean())
    assert measure(validation, "observed", 3) == pytest.approx(observed)
    assert measure(validation, "observed/expected", 3) == pytest.approx(observed / risk.mean())
    cut = Surv.from_arrays(y["event"] & (y["time"] <= 3), np.minimum(y["time"], 3))
    cox = CoxPHSurvivalAnalysis(ties="breslow").fit(np.log(-np.log(1 - risk))[:, np.newaxis], cut)
    assert measure(validation, "slope", 3) == pytest.approx(cox.coef_[0], rel=1e-5)
    table = validation.decisions.query("model == 'Model' and horizon == 3")
    pd.testing.assert_series_equal(
        table["net_benefit"], net_benefit(y, risk, 3, [0.2, 0.5])["net_benefit"], check_index=False
    )


def test_the_true_model_is_calibrated_and_others_are_found_out():
    X, y = hospital(1500)
    models = {"halved": known(factor=0.5), "exaggerated": known(spread=2)}
    validation = validate(known(), X, y, 4, rivals=models, **FEW)
    ratio, slope = (
        {one: measure(validation, name, 4, model=one) for one in ("Model", *models)}
        for name in ("observed/expected", "slope")
    )
    assert ratio["Model"] == pytest.approx(1, abs=0.06)
    assert slope["Model"] == pytest.approx(1, abs=0.1)
    assert ratio["halved"] > 1.3
    assert slope["exaggerated"] == pytest.approx(slope["Model"] / 2, rel=0.05)
    curve = validation.calibration_curves.set_index("model")
    error = (curve["observed"] - curve["predicted"]).abs().groupby("model").max()
    assert error["Model"] < 0.08
    assert error["halved"] > 0.15
    assert score(validation, "scaled_brier", 4) > score(validation, "scaled_brier", 4, "exaggerated")


def test_intervals_cover_as_often_as_they_say():
    covered = []
    for seed in range(60):
        X, y = hospital(120, seed=seed)
        outcome = FoldOutcome(y, y)
        prediction = FoldPrediction(known().predict(X), known().predict_survival_function(X))
        resamples = Resamples(120, 100, seed, confidence_level=0.8)
        for measure in (observed_to_expected, slope):
            _, lower, upper = resamples.summarise(measure(outcome, prediction, 4.0))
            covered.append(lower < 1 < upper)
    assert abs(np.mean(covered) - 0.8) < 0.15  # four standard errors


def test_what_does_not_exist_has_no_interval():
    resamples = Resamples(3, 30, 0, confidence_level=0.9)
    found = resamples.summarise(lambda drawn: np.where((drawn == 1).all(axis=1), np.nan, drawn[:, 0]))
    assert np.isnan(found).all()
    value, lower, upper = resamples.summarise(lambda drawn: drawn[:, 0])
    assert lower < value < upper


def test_the_seed_decides(judged):
    X, y, model, validation = judged
    again = validate(model, X, y, [5, 3], **FEW)
    pd.testing.assert_frame_equal(again.scores, validation.scores)
    other = validate(model, X, y, [3, 5], **(FEW | {"random_state": 1})).scores
    np.testing.assert_array_equal(other["value"], validation.scores["value"])
    assert (other["lower"] != validation.scores["lower"]).all()
    assert (validation.scores["lower"] < validation.scores["upper"]).all()


def test_models_get_their_own_columns():
    X, y = hospital(150)
    rival = known(columns=["a__x"])
    validation = validate(known(), X, y, 4, rivals={"a alone": rival}, name="Both", **FEW)
    expected = concordance_index_censored(y["event"], y["time"], X["a__x"].to_numpy())[0]
    assert score(validation, "harrell", model="a alone") == pytest.approx(expected)
    with pytest.warns(UserWarning, match="Column 'c__x' of X is read by no model"):
        more = validate(known(), X.assign(c__x=1.0)[["c__x", "b__x", "a__x"]], y, 4, **FEW)
    assert score(more, "harrell") == score(validation, "harrell", model="Both")
    with pytest.raises(ValueError, match="X has none of the columns that KnownHazard was fitted on, such as 'z'"):
        validate(known(columns=["z"]), X, y, 4, **FEW)


def test_cutoffs_are_learnt_from_training_patients():
    X, y = hospital(300)
    new, y_new = hospital(150, seed=1, prefix="N")
    new += 1
    validation = validate(known(), new, y_new, 4, X_train=X, **FEW)
    cutoffs = np.quantile(X.sum(axis=1), [1 / 3, 2 / 3])
    np.testing.assert_allclose(validation.cutoffs, cutoffs)
    group = np.searchsorted(cutoffs, new.sum(axis=1), side="right")
    assert validation.groups["n_patients"].tolist() == np.bincount(group).tolist()
    high = validation.groups.set_index("group").loc["High risk"]
    curve = SurvivalFunctionEstimator().fit(y_new[group == 2])
    assert high["observed"] == pytest.approx(1 - curve.predict_proba([4])[0])
    assert high["n_events"] == (y_new["event"] & (y_new["time"] <= 4))[group == 2].sum()
    # Risks of those left out are less far apart than those of a model that has learnt its patients by heart.
    noise = np.random.default_rng(0).normal(size=(300, 40))
    wide, wide_new = (np.hstack([one, noise[: len(one)]]) for one in (X, new))
    model = CoxPHSurvivalAnalysis(alpha=1.0).fit(wide[:80], y[:80])
    seen, left_out = (
        validate(model, wide_new, y_new, 4, X_train=wide[:80], y_train=one, **FEW) for one in (None, y[:80])
    )
    assert "has seen them" in seen.cutoffs_source
    assert "fitted without her" in left_out.cutoffs_source
    assert not np.allclose(seen.cutoffs, left_out.cutoffs)
    with pytest.raises(ValueError, match="clones of the model"):
        validate(recalibrate(known(), X, y), new, y_new, 4, X_train=X, y_train=y, **FEW)
    given = validate(known(), new, y_new, 4, cutoffs=[100.0], **FEW)
    assert given.groups["n_patients"].tolist() == [150, 0]
    assert given.groups["observed"].isna().tolist() == [False, True]


def test_no_event_and_only_events_are_no_certainty():
    X, y = hospital(60)
    horizon = float(np.quantile(y["time"], 0.6))
    order = np.argsort(y["time"])
    x = pd.Series(0.5, X.index)
    x.iloc[order[:10]], x.iloc[order[-10:]] = 9.0, -9.0  # first and last to leave
    X = pd.DataFrame({"a__x": x, "b__x": 0.0})
    y["event"][order[:10]] = True
    validation = validate(known(), X, y, horizon, cutoffs=[-5, 5], **FEW)
    groups = validation.groups.set_index("n_patients")[["observed", "lower", "upper"]]
    far = 0.025 ** (1 / 10)
    np.testing.assert_allclose(groups.loc[10], [[0, 0, 1 - far], [1, far, 1]])
    wide = validate(known(), X, y, horizon, cutoffs=[-5, 5], confidence_level=0.99, **FEW).groups
    assert wide["upper"][0] == pytest.approx(1 - 0.005 ** (1 / 10))
    # The censored before the horizon tell nothing.
    y["time"][order[-10:-6]] = y["time"].min()
    y["event"][order[-10:-6]] = False
    fewer = validate(known(), X, y, horizon, cutoffs=[-5, 5], **FEW).groups
    assert fewer["upper"][0] == pytest.approx(1 - 0.025 ** (1 / 6))


def test_a_calibration_curve_is_not_certain_where_nobody_has_an_event():
    X, y = hospital(100)
    y["event"][X["a__x"] < X["a__x"].median()] = False
    y["time"][X["a__x"] < X["a__x"].median()] = 12
    curve = validate(known(columns=["a__x"]), X[["a__x"]], y, 4, **FEW).calibration_curves
    none = curve[curve["observed"] == 0]
    assert len(none)
    np.testing.assert_allclose(none["upper"], 1 - 0.025 ** (1 / none["n_patients"]))
    assert (none["lower"] == 0).all()


def test_a_modality_that_is_misspelt_is_named():
    X, y = hospital(100)

    class Lenient(type(known())):
        def predict(self, X):
            return super().predict(X.reindex(columns=self.feature_names_in_, fill_value=0.0))

    model = Lenient().fit(X, None)
    with pytest.warns(UserWarning, match=r"'aa__x' of X is read by no model. 'Model' reads the modality 'a', of which"):
        validate(model, X.rename(columns={"a__x": "aa__x"}), y, 4, **FEW)
    with pytest.warns(UserWarning, match="'c__x' of X is read by no model. Drop what"):
        validate(model, X.assign(c__x=1.0), y, 4, **FEW)


def test_another_unit_of_time_is_named():
    X, y = hospital(100)
    y["time"] *= 365.25
    with pytest.raises(
        ValueError,
        match="horizons has 730, which is beyond the survival functions of 'Model', which "
        "end at 12; is y in the unit of time that the model was trained in",
    ):
        validate(known(), X, y, [200, 730], **FEW)


def test_too_few_patients_are_those_of_X():
    X, y = hospital(4)
    y["event"] = [True, False, False, False]
    y["time"] = [1, 2, 3, 4]
    with pytest.raises(
        ValueError, match="The 4 patients of X cannot be judged: 1 with an event, and scores need"
    ) as error:
        validate(known(), X, y, 1, **FEW)
    assert "training" not in str(error.value)


def test_without_curves_there_is_the_order_alone():
    X, y = hospital(150)
    svm = FastSurvivalSVM(random_state=0).fit(X, y)
    validation = validate(svm, X, y, 4, **FEW)
    lacking = validation.scores[validation.scores["value"].isna()]
    assert set(lacking["score"]) == {"ibs", "scaled_ibs", "brier", "scaled_brier"}
    assert set(lacking["reason"]) == {"FastSurvivalSVM predicts no survival functions"}
    reasons = validation.calibration.set_index("measure")["reason"]
    assert set(reasons.drop("observed")) == {"FastSurvivalSVM predicts no survival functions"}
    assert validation.calibration_curves.empty
    assert set(validation.decisions["model"]) == {"Treat all", "Treat none"}
    assert "pass X_train and y_train" in validation.cutoffs_source
    assert 0.5 < score(validation, "auc", 4) < 1


def test_constant_predictions_have_no_slope():
    X, y = hospital(150)
    validation = validate(known(spread=0), X, y, 4, **FEW)
    assert measure(validation, "slope", 4, "reason") == "predictions are the same for everybody"
    assert measure(validation, "observed/expected", 4) > 0
    assert len(validation.calibration_curves) == 1
    assert score(validation, "harrell") == 0.5


class Rising:
    """Predicts what no survival function does."""

    def predict(self, X):
        return np.zeros(len(X))

    def predict_survival_function(self, X):
        return np.array([lambda t: 1.2 + 0 * np.asarray(t) for _ in range(len(X))], dtype=object)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizons": [3, 40]}, "horizons must be times from .*, in the unit of y; got 40[.]"),
        ({"horizons": 1e-9}, "the first event"),
        ({"horizons": []}, "got none"),
        ({"model": Rising()}, "patient 'P0' is 1.2 at time"),
        ({"rivals": {"Model": known()}}, "'Model' cannot be the name of a model"),
        ({"rivals": {"Treat all": known()}}, "'Treat all' cannot be the name"),
        ({"cutoffs": [np.nan]}, "cutoffs must be a list of risks without NaN"),
        ({"thresholds": [1.5]}, "from 0 to below 1"),
        ({"n_groups": 1}, "n_groups"),
        ({"n_bootstrap": 0}, "n_bootstrap"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    X, y = hospital(150)
    with pytest.raises(ValueError, match=message):
        validate(**({"model": known(), "X": X, "y": y, "horizons": 4} | FEW | change))


def test_wrong_patients_are_named():
    X, y = hospital(150)
    with pytest.raises(ValueError, match="Patients 'P0', 'P1' are in X and in X_train"):
        validate(known(), X, y, 4, X_train=X[:2], **FEW)
    with pytest.raises(ValueError, match="Patient 'P0' has several rows in X"):
        validate(known(), X.rename({"P1": "P0"}), y, 4, **FEW)
    with pytest.raises(ValueError, match="150 patients and y has 149"):
        validate(known(), X, y[1:], 4, **FEW)
    nobody = Surv.from_arrays(np.zeros(150, bool), y["time"])
    with pytest.raises(ValueError, match="The 150 patients of X cannot be judged: no event among 150"):
        validate(known(), X, nobody, 4, **FEW)


def test_the_figure_and_the_page_show_the_tables(tmp_path):
    X, y = hospital(150)
    rivals = {"a <alone>": known(columns=["a__x"]), "SVM": FastSurvivalSVM(random_state=0).fit(X, y)}
    validation = validate(known(), X, y, [3, 5], rivals=rivals, cutoffs=[0], time_unit="years", **FEW)
    figure = validation.plot()
    panels = figure.get_axes()
    assert len(panels) == 6
    curves = validation.calibration_curves.query("horizon == 3 and model == 'Model'")
    np.testing.assert_array_equal(panels[2].get_lines()[1].get_ydata(), curves["observed"])
    plt.close(figure)
    page = validation.to_html(tmp_path / "page.html").read_text()
    summary = validation.summary()
    assert summary.loc["Slope at 3 years", "SVM"] == "\N{EN DASH}"
    assert summary.loc["Harrell's C-index", "Model"] in page
    assert "a &lt;alone&gt;" in page
    assert "SVM lacks" in page
    assert "given as cutoffs" in page
    with pytest.raises(FileExistsError):
        validation.to_html(tmp_path / "page.html")
