"""Scores of a fold against R, scikit-survival and worked examples; and the reasons for those that do not exist."""

import numpy as np
import pytest
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import (
    brier_score,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from sksurv_mmf.model_selection._survival_scores import (
    FoldPrediction,
    auc_difference,
    calibration_at,
    choose_scores,
    compute_scores,
    harrell,
    uno,
)
from sksurv_mmf.predictions._fold_outcome import FoldOutcome, ScoreDoesNotExist

SAMPLES = ["noties", "timeties", "riskties", "bothties", "small", "nearties"]


@pytest.fixture(scope="module")
def fold():
    """Training and test patients, and what two Cox models predict for the latter."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4))
    time = rng.exponential(np.exp(-1.2 * X[:, 0])).round(2) + 0.01
    censored = rng.exponential(2.0, 240).round(2) + 0.01
    train, test = np.arange(160), np.arange(160, 240)
    censored[test] = np.minimum(censored[test], 2.0)  # scikit-survival wants test times within those of training
    y = Surv.from_arrays(time <= censored, np.minimum(time, censored))
    outcome = FoldOutcome(y[train], y[test])
    predictions = []
    for columns in ([0, 1, 2], [1, 2, 3]):
        model = CoxPHSurvivalAnalysis(alpha=0.1).fit(X[train][:, columns], y[train])
        curves = model.predict_survival_function(X[test][:, columns])
        predictions.append(FoldPrediction(model.predict(X[test][:, columns]), curves))
    return outcome, *predictions


def values(scores, outcome, prediction):
    return {name: value for name, value, _ in compute_scores(scores, outcome, prediction)}


def reason(name, outcome, prediction, horizons=(0.5,)):
    (found,) = compute_scores(choose_scores([name.partition("@")[0]], list(horizons)), outcome, prediction)
    assert np.isnan(found[1])
    return found[2]


@pytest.mark.parametrize("sample", SAMPLES)
def test_harrell_is_the_concordance_of_r(reference, sample):
    data = reference("concordance")
    y = Surv.from_arrays(data[f"{sample}/event"], data[f"{sample}/time"])
    found = harrell(FoldOutcome(y, y), FoldPrediction(data[f"{sample}/risk"], "none"))
    assert found == pytest.approx(float(data[f"{sample}/R/concordance"]), rel=1e-14)


@pytest.mark.parametrize("sample", ["noties", "riskties"])
def test_uno_is_the_concordance_of_r_with_weights_n_over_g2(reference, sample):
    # R's index goes to the end of follow-up. A training fold that is followed long enough, with the same censoring
    # up to there, lets ours do the same.
    data = reference("concordance")
    event, time = data[f"{sample}/event"], data[f"{sample}/time"]
    y = Surv.from_arrays(event, time)
    late = Surv.from_arrays(np.ones(9 * len(y), dtype=bool), np.full(9 * len(y), time.max() + 1))
    outcome = FoldOutcome(np.concatenate([y, late]), y)
    assert outcome.time_range[1] == time.max()
    outcome.__dict__["y_train"] = y  # weights of R: from the patients who are judged
    found = uno(outcome, FoldPrediction(data[f"{sample}/risk"], "none"))
    assert found == pytest.approx(float(data[f"{sample}/R/concordance_timewt_noverG2"]), rel=1e-12)


def test_a_rising_function_of_the_risk_changes_no_rank_score(fold):
    outcome, prediction, _ = fold
    scores = choose_scores(["harrell", "uno", "auc"], [0.5])
    tiny = FoldPrediction(1e-12 * np.exp(prediction.risk), "none")
    assert values(scores, outcome, prediction) == values(scores, outcome, tiny)


def test_scores_over_time_are_those_of_scikit_survival(fold):
    outcome, prediction, _ = fold
    start, end = outcome.time_range
    y_train, y_test, risk = outcome.y_train, outcome.y_test, prediction.risk
    assert y_test["time"].max() < y_train["time"].max()
    times, horizon = outcome.times, float(np.median(outcome.times))
    found = values(choose_scores(None, [horizon]), outcome, prediction)
    survival = np.array([curve(times) for curve in prediction.curves])
    at_horizon = np.array([curve(horizon) for curve in prediction.curves])
    expected = {
        "uno": concordance_index_ipcw(y_train, y_test, risk, tau=end, tied_tol=0)[0],
        "auc": cumulative_dynamic_auc(y_train, y_test, risk, times)[1],
        "auc@": cumulative_dynamic_auc(y_train, y_test, risk, horizon)[1],
        "ibs": integrated_brier_score(y_train, y_test, survival, times),
        "brier@": brier_score(y_train, y_test, at_horizon, horizon)[1][0],
    }
    for name, value in expected.items():
        name = f"{name}{horizon:g}" if name.endswith("@") else name
        assert found[name] == pytest.approx(value, rel=1e-12), name
    assert start <= times.min()
    assert times.max() < end


def test_the_bootstrap_scores_resampled_patients_as_if_they_were_patients(fold):
    """On every patient once, and on a fold in which patients occur several times."""
    outcome, one, other = fold
    scores = choose_scores(None, [0.4, 0.9])
    n = len(outcome.y_test)
    for drawn in (np.ones(n, dtype=int), np.random.default_rng(3).integers(1, 4, n)):
        rows = np.repeat(np.arange(n), drawn)
        again = FoldOutcome(outcome.y_train, outcome.y_test[rows])
        predictions = [FoldPrediction(prediction.risk[rows], prediction.curves[rows]) for prediction in (one, other)]
        a, b = (values(scores, again, prediction) for prediction in predictions)
        for name, score in scores.items():
            if score.better == "zero":  # absolute values, whose signs are those of the fold as it is
                a[name] *= np.sign(score.compute(outcome, one))
                b[name] *= np.sign(score.compute(outcome, other))
            expected = a[name] - b[name]
            weight = np.stack([drawn, np.zeros(n)]).astype(float)  # nobody is drawn: nothing exists
            found, nothing = score.difference(outcome, one, other)(weight)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), name
            assert np.isnan(nothing), name
            swapped, _ = score.difference(outcome, other, one)(weight)
            assert swapped == pytest.approx(-found, rel=1e-9, abs=1e-12), name


def test_the_bootstrap_of_calibration_scatters_around_the_difference(fold):
    """Also where an error is smaller than its resampling noise, whose absolute value would be too large."""
    outcome, one, other = fold
    (score,) = choose_scores(["calibration"], [0.4]).values()
    n = len(outcome.y_test)
    well = score.compute(outcome, one)
    shifted = [StepFunction(curve.x, curve.y + well) for curve in one.curves]  # as right on average as can be
    calibrated = FoldPrediction(one.risk, np.array(shifted))
    assert abs(score.compute(outcome, calibrated)) < 1e-12
    drawn = np.random.RandomState(0).multinomial(n, np.full(n, 1 / n), size=4000).astype(float)
    draws = score.difference(outcome, other, calibrated)(drawn)
    expected = abs(score.compute(outcome, other)) - abs(score.compute(outcome, calibrated))
    assert draws.mean() == pytest.approx(expected, abs=4 * draws.std() / np.sqrt(len(draws)))


def test_the_mean_auc_of_a_resample_ends_with_its_controls(fold):
    """Without the patients who are followed beyond a time, it is the mean up to that time."""
    outcome, one, other = fold
    last = outcome.times[len(outcome.times) // 2]
    drawn = (outcome.y_test["time"] <= last).astype(float)
    found = auc_difference(outcome, one, other)(drawn[np.newaxis])
    early = drawn > 0
    shorter = FoldOutcome(outcome.y_train, outcome.y_test[early])
    times = outcome.times[outcome.times < outcome.y_test["time"][early].max()]
    a, b = (
        cumulative_dynamic_auc(outcome.y_train, shorter.y_test, prediction.risk[early], times, 0)[1]
        for prediction in (one, other)
    )
    assert found == pytest.approx(a - b, rel=1e-9)


def test_calibration_of_the_kaplan_meier_curve_is_perfect_and_shifts_are_measured():
    event = np.array([True, True, False, True, True, False, True, True])
    y = Surv.from_arrays(event, np.arange(1.0, 9.0))
    # by hand: 7/8 6/8 6/8 6/8*4/5 6/8*3/5
    known = [1 - 7 / 8, 1 - 6 / 8, 1 - 6 / 8, 1 - 6 / 8 * 4 / 5, 1 - 6 / 8 * 3 / 5]
    outcome = FoldOutcome(y, y)
    for horizon, risk in zip(range(1, 6), known):
        for shift in (0.0, 0.1, -0.1):
            curve = StepFunction(np.array([0.0, 10.0]), np.full(2, 1 - risk - shift))
            prediction = FoldPrediction(np.arange(8.0), np.array([curve] * 8))
            assert calibration_at(outcome, prediction, horizon) == pytest.approx(shift, abs=1e-12)


def test_the_time_range_lies_where_weights_exist(fold):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        times = rng.integers(1, 12, 60).astype(float)  # many ties, also at the end
        y = Surv.from_arrays(rng.random(60) < 0.5, np.minimum(times, rng.integers(7, 12)))
        train, test = np.arange(40), np.arange(40, 60)
        outcome = FoldOutcome(y[train], y[test])
        start, end = outcome.time_range
        assert start < end <= y["time"][train].max()
        probability = (
            CensoringDistributionEstimator().fit(y[train]).predict_proba(np.array([start, np.nextafter(end, 0)]))
        )
        assert (probability > 0).all()
        assert np.mean(y["time"][train] >= end) >= 0.1
        assert outcome.truncated["time"].max() == end
        assert not outcome.truncated["event"][outcome.truncated["time"] >= end].any()


def test_test_patients_followed_longer_than_all_training_patients_are_no_obstacle(fold):
    outcome, prediction, _ = fold
    y_test = outcome.y_test.copy()
    last = np.argsort(y_test["time"])[-5:]
    y_test["time"][last] = 1000
    y_test["event"][last] = True
    scores = choose_scores(["uno", "auc", "ibs"], [])
    assert values(scores, FoldOutcome(outcome.y_train, y_test), prediction) == values(scores, outcome, prediction)


def test_scores_that_do_not_exist_say_why(fold):
    outcome, prediction, _ = fold
    no_curves = FoldPrediction(prediction.risk, "no predict_survival_function")
    for name in ("ibs", "brier@0.5", "calibration@0.5"):
        assert reason(name, outcome, no_curves) == "no predict_survival_function"
    short = np.array([StepFunction(curve.x[:5], curve.y[:5]) for curve in prediction.curves])
    assert "survival functions reach from 0 to" in reason("ibs", outcome, FoldPrediction(prediction.risk, short))
    assert "horizon 100 is not within" in reason("calibration@100", outcome, prediction, [100])
    broken = np.array([StepFunction(curve.x, np.full(len(curve.y), np.nan)) for curve in prediction.curves])
    assert "NaN" in reason("ibs", outcome, FoldPrediction(prediction.risk, broken))


@pytest.mark.parametrize(
    ("event", "time", "message"),
    [
        ([0, 0, 0], [1, 2, 3], "no event among 3 test patients"),
        ([0, 0, 1], [1, 2, 3], "no two of 3 test patients can be compared"),
        ([1, 1, 1], [2, 2, 2], "no two of 3 test patients can be compared"),
        ([1], [2], "no two of 1 test patients can be compared"),
    ],
)
def test_a_fold_without_a_comparable_pair_has_no_concordance(fold, event, time, message):
    y_test = Surv.from_arrays(np.array(event, dtype=bool), np.array(time, dtype=float))
    outcome = FoldOutcome(fold[0].y_train, y_test)
    for name in ("harrell", "uno", "auc"):
        found = reason(name, outcome, FoldPrediction(np.arange(len(event), dtype=float), "none"), horizons=[])
        assert message in found or (name != "harrell" and "no time at which" in found)


def test_training_patients_without_any_common_follow_up():
    y_train = Surv.from_arrays(np.ones(10, dtype=bool), np.arange(100.0, 110.0))
    y_test = Surv.from_arrays(np.ones(10, dtype=bool), np.arange(1.0, 11.0))
    with pytest.raises(ScoreDoesNotExist, match="no time at which test patients can be judged"):
        _ = FoldOutcome(y_train, y_test).times


def test_scores_come_in_the_order_asked_for():
    assert list(choose_scores(None, [])) == ["harrell", "uno", "auc", "ibs"]
    assert list(choose_scores(["brier", "auc", "harrell"], [1.0, 2.5])) == [
        *("brier@1", "brier@2.5"),
        *("auc", "auc@1", "auc@2.5"),
        "harrell",
    ]
