import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.inspection import CalibrationDisplay
from sksurv_mmf.inspection._calibration import survival_at


@pytest.mark.parametrize("sample", ["two", "three_ties", "unbalanced_ties"])
def test_observed_survival_is_that_of_r_at_and_between_its_steps(reference, sample):
    numbers = reference("km_logrank")
    event, time, group = (numbers[f"{sample}/{name}"] for name in ("event", "time", "group"))
    for g in np.unique(group):
        steps, limits = numbers[f"{sample}/R/km_group{g}"], numbers[f"{sample}/R/km_group{g}_ci_log-log"]
        inside = group == g
        for i in np.flatnonzero(steps[:-1, 4] < 1):
            for at in (steps[i, 0], steps[i : i + 2, 0].mean()):
                found = survival_at(event[inside].astype(bool), time[inside], at)
                np.testing.assert_allclose(found, [steps[i, 4], *limits[i]], rtol=1e-10)


def test_nothing_is_observed_once_the_last_patient_is_censored():
    event, time = np.array([True, False]), np.array([1.0, 3.0])
    assert survival_at(event, time, 0.5) == pytest.approx((1, np.sqrt(0.025), 1))
    assert survival_at(event, time, 3.0)[0] == 0.5
    assert np.isnan(survival_at(event, time, 3.1)).all()
    assert survival_at(event[::-1], time, 9.0)[0] == 0  # an event came last, so the curve is known to have ended


def test_nobody_is_certain_to_live_or_to_die():
    # None of 10 patients had the event: the probability of that is 0.025 at a survival of 0.025^(1/10).
    event, time = np.zeros(10, dtype=bool), np.full(10, 5.0)
    assert survival_at(event, time, 2.0) == pytest.approx((1, 0.025**0.1, 1))
    assert survival_at(~event, time, 5.0, 0.9) == pytest.approx((0, 0, 1 - 0.05**0.1))
    assert survival_at(event[:3], time[:3], 2.0)[1] < survival_at(event, time, 2.0)[1]


@pytest.fixture
def calibrated():
    """Patients whose hazard is known, and so the probability to survive until time 1."""
    rng = np.random.default_rng(0)
    hazard = rng.uniform(0.05, 2, 4000)
    time, censored_at = rng.exponential(1 / hazard), rng.uniform(0.5, 4, 4000)
    return Surv.from_arrays(time <= censored_at, np.minimum(time, censored_at)), np.exp(-hazard)


def test_true_probabilities_lie_on_the_diagonal(calibrated):
    y, probability = calibrated
    table = CalibrationDisplay.from_predictions(y, probability, time=1, n_groups=8, confidence_level=0.999).table
    assert ((table["lower"] < table["predicted"]) & (table["predicted"] < table["upper"])).all()
    assert table["predicted"].is_monotonic_increasing
    assert table["n_patients"].tolist() == [500] * 8


def test_too_optimistic_probabilities_lie_below_it(calibrated):
    y, probability = calibrated
    table = CalibrationDisplay.from_predictions(y, np.sqrt(probability), time=1).table
    assert (table["upper"] < table["predicted"]).all()


def test_groups_are_quantiles_and_hold_their_patients_alone(calibrated):
    y, probability = calibrated
    display = CalibrationDisplay.from_predictions(y, probability, time=1, n_groups=4)
    first = probability < np.quantile(probability, 0.25)
    assert display.table.loc[1, "predicted"] == pytest.approx(probability[first].mean())
    assert display.table.loc[1, "n_events"] == (y["event"] & (y["time"] <= 1))[first].sum()
    assert display.table.loc[1, "observed"] == survival_at(y["event"][first], y["time"][first], 1)[0]
    order = np.random.default_rng(1).permutation(len(y))
    other = CalibrationDisplay.from_predictions(y[order], probability[order], time=1, n_groups=4)
    pd.testing.assert_frame_equal(other.table, display.table)


def test_equal_predictions_stay_in_one_group(calibrated):
    y, _ = calibrated
    table = CalibrationDisplay.from_predictions(y, np.repeat([0.3, 0.7], 2000), time=1, n_groups=5).table
    assert table["n_patients"].tolist() == [2000, 2000]
    assert table["predicted"].tolist() == pytest.approx([0.3, 0.7])


def test_points_and_bars_are_the_table(calibrated):
    display = CalibrationDisplay.from_predictions(*calibrated, time=1, time_unit="years")
    points, _, (bars,) = display.points_
    np.testing.assert_array_equal(points.get_xydata(), display.table[["predicted", "observed"]])
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, display.table[["lower", "upper"]])
    assert display.ax_.get_xlabel() == "Predicted survival at 1 years"


def test_from_estimator_takes_the_survival_functions_of_a_pipeline():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = Surv.from_arrays(rng.random(90) < 0.7, rng.exponential(np.exp(-X[:, 0])))
    model = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis()).fit(X, y)
    display = CalibrationDisplay.from_estimator(model, X, y, time=0.5, n_groups=3)
    probability = [curve(0.5) for curve in model.predict_survival_function(X)]
    expected = CalibrationDisplay.from_predictions(y, probability, time=0.5, n_groups=3)
    pd.testing.assert_frame_equal(display.table, expected.table)
    with pytest.raises(ValueError, match=r"time=1e\+06 is not within the survival functions, which end at"):
        CalibrationDisplay.from_estimator(model, X, y, time=1e6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"survival_probability": np.full(4000, 1.2)}, "of 4000 patients is no probability, for example 1.2"),
        ({"survival_probability": np.full(4000, np.nan)}, "of 4000 patients is no probability, for example nan"),
        ({"survival_probability": [0.5]}, "has shape \\(1,\\), but y has 4000 patients"),
        ({"time": 1e-9}, r"time=1e-09 is not within .*the first event is at .*in the unit of y; time_unit is only"),
        ({"time": 5}, "time=5 is not within the follow-up of the 4000 patients: .* the last leaves at"),
        ({"time": 0}, "'time' parameter"),
        ({"n_groups": 0}, "'n_groups' parameter"),
    ],
)
def test_what_cannot_be_judged_is_named(calibrated, change, message):
    y, probability = calibrated
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions(**{"y": y, "survival_probability": probability, "time": 1, **change})


@pytest.mark.parametrize(("n_patients", "n_groups", "small"), [(100, 5, 0), (99, 5, 1), (60, 5, 5), (30, 2, 2)])
def test_groups_too_small_to_judge_are_named_and_drawn_hollow(calibrated, n_patients, n_groups, small, recwarn):
    y, probability = calibrated
    display = CalibrationDisplay.from_predictions(y[:n_patients], probability[:n_patients], time=1.0, n_groups=n_groups)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    hollow = [
        len(line.get_xdata()) for line in display.ax_.lines if line.get_markerfacecolor() == display.ax_.get_facecolor()
    ]
    assert hollow == ([small] if small else [])
    assert ("fewer than 20 patients" in legend) == (small > 0)
    messages = [str(one.message) for one in recwarn]
    assert len(messages) == (small > 0)
    if small:
        assert messages[0].startswith(f"{small} of {n_groups} groups have fewer than 20 patients, group ")
        way_out = "Judge calibration on more patients." if n_patients < 40 else f"n_groups={n_patients // 20} or less."
        assert messages[0].endswith(way_out)
