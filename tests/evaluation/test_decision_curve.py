"""Net benefit against dcurves, against counting, and what is refused."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hospitals import hospital, known
from sksurv.util import Surv

from sksurv_mmf.evaluation import DecisionCurveDisplay, net_benefit

REFERENCE = Path(__file__).parents[1] / "data" / "dcurves.npz"


@pytest.mark.parametrize("horizon", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("model", ["cancerpredmarker", "all"])
def test_net_benefit_agrees_with_dcurves(horizon, model):
    with np.load(REFERENCE) as arrays:
        y = Surv.from_arrays(arrays["event"], arrays["time"])
        probability = arrays["probability"] if model != "all" else np.ones(len(y))
        table = net_benefit(y, probability, horizon, arrays["thresholds"])
        expected = arrays[f"net_benefit/{horizon}/{model}"]
    # dcurves has no number where the last of the treated leaves before the horizon, also if all had the event.
    known_there = ~np.isnan(expected)
    assert known_there.sum() > 20
    np.testing.assert_allclose(table["net_benefit"][known_there], expected[known_there], atol=1e-12)


def test_without_censoring_it_counts():
    random = np.random.default_rng(0)
    time, probability = random.exponential(size=200), random.uniform(size=200)
    table = net_benefit(Surv.from_arrays(np.ones(200, bool), time), probability, 1.0, [0.1, 0.35, 0.8])
    case = time <= 1
    for threshold, benefit, treated in table.itertuples(index=False):
        acts = probability >= threshold
        false = (acts & ~case).mean() * threshold / (1 - threshold)
        assert benefit == pytest.approx((acts & case).mean() - false, abs=1e-12)
        assert treated == acts.mean()


def test_censored_before_the_horizon_are_neither_cases_nor_controls():
    # By hand: of four treated one has the event at 1, one is censored at 2, one has it at 3: S(4) = 3/4 * 1/2.
    y = Surv.from_arrays([True, False, True, False, False], [1, 2, 3, 5, 6])
    table = net_benefit(y, [0.9, 0.9, 0.9, 0.9, 0.1], 4, [0.5])
    positive = 0.8 * (1 - 3 / 8)
    assert table["net_benefit"][0] == pytest.approx(positive - (0.8 - positive))


def test_who_is_at_the_threshold_is_treated():
    y = Surv.from_arrays([True, True, False, False], [1, 2, 5, 6])
    assert net_benefit(y, [0.9, 0.4, 0.3, 0.1], 4, [0.4, 0.41])["treated"].tolist() == [0.5, 0.25]


def test_what_is_not_known_is_nan():
    y = Surv.from_arrays([True, False, False], [1, 2, 9])
    table = net_benefit(y, [0.5, 0.9, 0.1], 5, [0.05, 0.4, 0.95])
    assert table["net_benefit"].isna().tolist() == [False, True, False]
    assert table["net_benefit"][2] == 0


def test_the_true_model_is_of_use_and_one_that_alarms_too_many_is_less():
    X, y = hospital(1500)
    true, wrong = (1 - np.array([f(4.0) for f in known(factor=k).predict_survival_function(X)]) for k in (1, 4))
    benefit = {
        name: net_benefit(y, p, 4.0, [0.2, 0.3, 0.5])["net_benefit"] for name, p in {"t": true, "w": wrong}.items()
    }
    everybody = net_benefit(y, np.ones(len(y)), 4.0, [0.2, 0.3, 0.5])["net_benefit"]
    assert (benefit["t"] > np.maximum(everybody, 0) + 0.02).all()
    assert (benefit["t"] > benefit["w"] + 0.01).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_probability": [0.2, 1.4, 0.3, 0.1]}, "event_probability of 1 patients is no probability.*1.4"),
        ({"event_probability": [0.2, 0.3]}, r"shape \(2,\), but y has 4 patients"),
        ({"horizon": 0.5}, "horizon=0.5 is not within the follow-up of the 4 patients: the first event is at 1"),
        ({"horizon": 7}, "the last leaves at 6"),
        ({"thresholds": [0.5, 1.0]}, "from 0 to below 1"),
        ({"y": Surv.from_arrays([False] * 4, [1, 2, 5, 6])}, "nobody has an event"),
        ({"horizon": -1}, "horizon"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    y = Surv.from_arrays([True, True, False, False], [1, 2, 5, 6])
    with pytest.raises(ValueError, match=message):
        net_benefit(**({"y": y, "event_probability": [0.9, 0.4, 0.3, 0.1], "horizon": 4} | change))


def test_probabilities_of_named_patients_are_matched():
    y = pd.DataFrame({"event": [True, True, False, False], "time": [1, 2, 5, 6]}, list("abcd"))
    probability = pd.Series([0.9, 0.4, 0.3, 0.1], list("abcd"))
    expected = net_benefit(y, probability, 4, [0.35])
    pd.testing.assert_frame_equal(net_benefit(y[::-1], probability, 4, [0.35]), expected)


def test_the_display_matches_patients_as_the_function_does():
    y = pd.DataFrame({"event": [True, True, False, False], "time": [1, 2, 5, 6]}, list("abcd"))
    probability = pd.Series([0.9, 0.4, 0.3, 0.1], list("abcd"))
    settings = {"horizon": 4, "thresholds": [0.2, 0.35, 0.5]}
    display = DecisionCurveDisplay.from_predictions(y, {"F": probability[::-1]}, **settings)
    expected = net_benefit(y, probability, **settings)["net_benefit"]
    np.testing.assert_array_equal(display.lines_["F"].get_ydata(), expected)
    plt.close(display.figure_)
    with pytest.raises(ValueError, match=r"Patient 'd' is in y but not in event_probabilities\['F'\]"):
        DecisionCurveDisplay.from_predictions(y, {"F": probability[:3]}, **settings)
    with pytest.raises(ValueError, match="Patient 'd' is in event_probability but not in y"):
        net_benefit(y[:3], probability, **settings)
    with pytest.raises(ValueError, match="Patient 'a' has several rows in event_probability"):
        net_benefit(y, probability.rename({"b": "a"}), **settings)


def test_a_column_of_a_survival_table_is_refused_with_a_way_out():
    y = pd.DataFrame({"event": [True, True, False, False], "time": [1, 2, 5, 6]}, list("abcd"))
    rows = pd.MultiIndex.from_product([list("abcd"), [4.0]], names=["patient", "time"])
    table = pd.Series([0.9, 0.4, 0.3, 0.1], rows)
    for outcome in (y, Surv.from_arrays(y["event"], y["time"])):
        with pytest.raises(ValueError, match=r"levels 'patient', 'time'.*xs\(time, level=1\)"):
            net_benefit(outcome, table, 4)
        with pytest.raises(ValueError, match=r"event_probabilities\['F'\] has an index of the levels"):
            DecisionCurveDisplay.from_predictions(outcome, {"F": table}, horizon=4)
    assert len(net_benefit(y, table.xs(4.0, level=1), 4, [0.3])) == 1


def test_a_model_that_harms_is_seen():
    def limits(**models):
        table = pd.DataFrame(
            [(name, t, b, 0.5) for name, both in models.items() for t, b in zip((0.1, 0.5), both)],
            columns=["model", "threshold", "net_benefit", "treated"],
        )
        display = DecisionCurveDisplay(table, 4).plot()
        plt.close(display.figure_)
        return display.ax_.get_ylim()

    everybody = {"Treat all": (0.2, -5)}
    assert limits(good=(0.2, 0.1), **everybody) == pytest.approx((-0.25 * 0.23, 0.23))
    bottom, top = limits(harms=(0.1, -0.15), **everybody)
    assert -top < bottom < -0.15
    assert limits(harms=(0.1, -3), **everybody)[0] == pytest.approx(-top)
    assert limits(harms=(-0.1, -0.4))[0] < -0.4


def test_the_display_draws_the_table():
    X, y = hospital(200)
    display = DecisionCurveDisplay.from_estimator(known(), X, y, horizon=4, thresholds=[0.1, 0.3], time_unit="years")
    probability = 1 - np.array([f(4.0) for f in known().predict_survival_function(X)])
    expected = net_benefit(y, probability, 4, [0.1, 0.3])["net_benefit"]
    np.testing.assert_array_equal(display.lines_["KnownHazard"].get_ydata(), expected)
    assert (display.lines_["Treat none"].get_ydata() == 0).all()
    assert "4 years" in display.ax_.get_xlabel()
    plt.close(display.figure_)


def test_the_display_refuses_what_it_cannot_draw():
    X, y = hospital(50)
    with pytest.raises(ValueError, match="beyond the survival functions, which end at 12"):
        DecisionCurveDisplay.from_estimator(known(), X, y, horizon=13)
    with pytest.raises(ValueError, match="dict of at least one model"):
        DecisionCurveDisplay.from_predictions(y, {}, horizon=4)


def test_a_probability_reaches_the_threshold_that_it_is():
    y = Surv.from_arrays([True] * 5 + [False] * 5, np.arange(1.0, 11.0))
    table = net_benefit(y, 1 - np.full(10, 0.8), 5.5, [0.2])
    assert table["treated"].item() == 1
