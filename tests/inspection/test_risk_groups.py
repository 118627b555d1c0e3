import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.compare import compare_survival
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from sksurv_mmf.inspection import RiskGroupDisplay


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    risk = rng.standard_normal(60)
    time = np.round(rng.exponential(np.exp(-risk) * 20) + 1)  # rounded, so that there are ties
    return Surv.from_arrays(rng.random(60) < 0.6, time), risk


@pytest.mark.parametrize("n_groups", [2, 3, 5])
def test_curves_and_p_value_are_those_of_scikit_survival(cohort, n_groups):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk, n_groups=n_groups, confidence_level=0.9)

    rank = risk.argsort().argsort()
    group = rank // (60 // n_groups)
    for g in range(n_groups):
        in_group = group == g
        times, survival, limits = kaplan_meier_estimator(
            y["event"][in_group], y["time"][in_group], conf_level=0.9, conf_type="log-log"
        )
        drawn = display.lines_[g].get_xydata()
        np.testing.assert_array_equal(drawn[0], [0, 1])
        np.testing.assert_array_equal(drawn[1:], np.column_stack([times, survival]))
        np.testing.assert_array_equal([display.groups[g].lower, display.groups[g].upper], limits)
    assert display.p_value == compare_survival(y, group)[1]


@pytest.mark.parametrize("sample", ["two", "three_ties", "unbalanced_ties"])
def test_curves_bands_and_p_value_are_those_of_r(reference, sample):
    numbers = reference("km_logrank")
    event, time, group = (numbers[f"{sample}/{name}"] for name in ("event", "time", "group"))
    thresholds = np.arange(1, group.max() + 1)
    display = RiskGroupDisplay.from_predictions(
        Surv.from_arrays(event.astype(bool), time), group, thresholds=thresholds
    )
    assert display.p_value == pytest.approx(numbers[f"{sample}/R/rho0/pvalue"], rel=1e-10)
    for g, found in enumerate(display.groups):
        steps, limits = numbers[f"{sample}/R/km_group{g}"], numbers[f"{sample}/R/km_group{g}_ci_log-log"]
        np.testing.assert_array_equal(found.step_times, steps[:, 0])
        np.testing.assert_allclose(found.survival, steps[:, 4], rtol=1e-12)
        known = (steps[:, 4] > 0) & (steps[:, 4] < 1)  # at 0 and 1, R has no limits or other ones
        np.testing.assert_allclose(np.column_stack([found.lower, found.upper])[known], limits[known], rtol=1e-10)
        np.testing.assert_array_equal(found.at_risk(steps[:, 0]), steps[:, 1])


def drawn_outside(figure):
    """Texts of a figure that are not wholly inside it."""
    figure.canvas.draw()
    width, height = figure.bbox.size
    texts = [text for ax in figure.axes for text in [*ax.texts, ax.xaxis.label, *ax.get_legend().get_texts()]]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [name for name, box in boxes if box.y0 < 0 or box.y1 > height or box.x0 < 0 or box.x1 > width]


@pytest.mark.parametrize("layout", [None, "constrained", "tight", "tight afterwards"])
@pytest.mark.parametrize("n_rows", [1, 2])
def test_nothing_is_cut_off_or_hidden_under_a_neighbour(cohort, layout, n_rows):
    y, risk = cohort
    how = None if layout == "tight afterwards" else layout
    figure, axes = plt.subplots(n_rows, 1, figsize=(3.5, 3 * n_rows), layout=how, squeeze=False)
    for ax in axes[:, 0]:
        RiskGroupDisplay.from_predictions(y, risk, n_groups=3, ax=ax)
    if layout == "tight afterwards":
        figure.tight_layout()
    assert drawn_outside(figure) == []
    boxes = [ax.get_tightbbox() for ax in axes[:, 0]]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))
    assert all(ax.get_window_extent().height > 0.2 * figure.bbox.height / n_rows for ax in axes[:, 0])


def test_every_tick_has_its_number_at_risk_whatever_the_size(cohort):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk)
    ticks = display.ax_.get_xticks()
    display.figure_.set_size_inches(9, 4)
    display.figure_.canvas.draw()
    np.testing.assert_array_equal(display.ax_.get_xticks(), ticks)
    assert display.at_risk_.shape == (2, len(ticks))


def test_the_p_value_is_written_above_the_curves(cohort):
    y, risk = cohort
    assert RiskGroupDisplay.from_predictions(y, risk).ax_.get_legend().get_title().get_text() == "Log-rank p < 0.001"
    shuffled = np.random.default_rng(1).permutation(risk)
    display = RiskGroupDisplay.from_predictions(y, shuffled)
    assert display.p_value > 0.1
    assert display.ax_.get_legend().get_title().get_text() == f"Log-rank p = {display.p_value:.2f}"


def test_numbers_at_risk_count_patients_whose_time_has_not_passed(cohort):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk, max_time=25)
    ticks = [t for t in display.ax_.get_xticks() if 0 <= t <= 25]
    high = risk >= np.median(risk)
    for in_group, numbers in zip([~high, high], display.at_risk_):
        assert numbers.tolist() == [sum(time >= t for time in y["time"][in_group]) for t in ticks]
    assert display.at_risk_[:, 0].tolist() == [30, 30]
    written = [text.get_text() for text in display.ax_.texts[1:]]
    assert written == [str(number) for number in display.at_risk_.ravel()]


def test_censored_patients_are_marked_on_their_curve(cohort):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk)
    low = risk < np.median(risk)
    times, survival = kaplan_meier_estimator(y["event"][low], y["time"][low])
    expected = [(t, survival[times == t][0]) for t in y["time"][low & ~y["event"]]]
    np.testing.assert_array_equal(display.ax_.lines[1].get_xydata(), expected)


def test_a_risk_on_the_threshold_belongs_to_the_group_above(cohort):
    y, _ = cohort
    risk = np.repeat([1.0, 2.0, 3.0], 20)
    display = RiskGroupDisplay.from_predictions(y, risk, thresholds=[2.0])
    assert [len(group.time) for group in display.groups] == [20, 40]


def test_groups_depend_on_the_order_of_the_risks_alone(cohort):
    y, risk = cohort
    one = RiskGroupDisplay.from_predictions(y, risk, n_groups=3)
    other = RiskGroupDisplay.from_predictions(y, np.exp(3 * risk), n_groups=3)
    assert one.p_value == other.p_value
    np.testing.assert_array_equal(one.lines_[1].get_xydata(), other.lines_[1].get_xydata())


def test_from_estimator_predicts_with_a_pipeline(cohort):
    y, risk = cohort
    X = np.column_stack([risk, np.random.default_rng(2).standard_normal(60)])
    model = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis()).fit(X, y)
    from_model = RiskGroupDisplay.from_estimator(model, X, y, n_groups=3)
    from_risk = RiskGroupDisplay.from_predictions(y, model.predict(X), n_groups=3)
    assert from_model.p_value == from_risk.p_value


def test_it_draws_on_given_axes_and_labels_the_unit(cohort):
    y, risk = cohort
    figure, axes = plt.subplots(1, 2)
    display = RiskGroupDisplay.from_predictions(y, risk, time_unit="days", ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert axes[1].get_xlabel() == "Time (days)"
    assert not axes[0].lines


def test_a_group_without_events_stays_at_one():
    y = Surv.from_arrays([False] * 5 + [True] * 5, np.arange(10, 0, -1))
    display = RiskGroupDisplay.from_predictions(y, np.arange(10))
    assert set(display.lines_[0].get_ydata()) == {1.0}
    assert 0 < display.p_value < 0.05


def test_a_test_without_events_to_compare_says_so():
    y = Surv.from_arrays([False] * 5 + [True] * 5, np.arange(1, 11))  # all at low risk are censored before any event
    display = RiskGroupDisplay.from_predictions(y, np.arange(10))
    assert np.isnan(display.p_value)
    assert display.ax_.get_legend().get_title().get_text() == "Log-rank p not defined"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"risk": np.ones(60)}, "leave a group empty: 2 groups get \\[0, 60\\]"),
        ({"risk": np.ones(59)}, "risk has shape \\(59,\\), but y has 60 patients"),
        ({"risk": np.full(60, np.nan)}, "risk of 60 patients is NaN or infinite"),
        ({"n_groups": 1}, "n_groups must be at least 2"),
        ({"thresholds": [100.0]}, "groups get \\[60, 0\\]"),
    ],
)
def test_unusable_risks_are_named(cohort, change, message):
    y, risk = cohort
    with pytest.raises(ValueError, match=message):
        RiskGroupDisplay.from_predictions(**{"y": y, "risk": risk, **change})


def test_without_matplotlib_the_extra_is_named(cohort, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib\..*pip install 'sksurv_mmf\[plot\]'"):
        RiskGroupDisplay.from_predictions(*cohort)
