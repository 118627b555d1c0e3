import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Annotation
from scipy.stats import norm
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
    renderer = figure.canvas.get_renderer()
    drawn = [text for text in texts if not isinstance(text, Annotation) or text._check_xy(renderer)]
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn]
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


def title_of(display):
    return display.ax_.get_legend().get_title().get_text()


def labels_of(display):
    return [text.get_text().replace(",\n", ", ") for text in display.ax_.get_legend().get_texts()]


def test_the_p_value_is_written_above_the_curves(cohort):
    y, risk = cohort
    assert title_of(RiskGroupDisplay.from_predictions(y, risk)).startswith("Log-rank p < 0.001")
    shuffled = np.random.default_rng(1).permutation(risk)
    display = RiskGroupDisplay.from_predictions(y, shuffled)
    assert display.p_value > 0.1
    assert title_of(display).startswith(f"Log-rank p = {display.p_value:.2f}")


def test_hazard_ratios_are_those_of_a_cox_model_of_the_groups(cohort):
    y, risk = cohort
    y = Surv.from_arrays(y["event"], y["time"] + np.arange(60) / 1000)  # without ties, of which there are two kinds
    display = RiskGroupDisplay.from_predictions(y, risk, n_groups=3, confidence_level=0.9)
    group = risk.argsort().argsort() // 20
    reference = CoxPHSurvivalAnalysis().fit(np.column_stack([group == 1, group == 2]).astype(float), y)
    ratios = display.hazard_ratios_
    np.testing.assert_allclose(ratios["hazard_ratio"], np.exp([0, *reference.coef_]), rtol=1e-5)
    assert (ratios.loc["Low risk"] == 1).all()
    row = ratios.loc["High risk"]
    assert np.log(row["upper"]) + np.log(row["lower"]) == pytest.approx(2 * np.log(row["hazard_ratio"]), rel=1e-9)
    wider = RiskGroupDisplay.from_predictions(y, risk, n_groups=3).hazard_ratios_.loc["High risk"]
    factor = np.log(wider["upper"] / wider["lower"]) / np.log(row["upper"] / row["lower"])
    assert factor == pytest.approx(norm.ppf(0.975) / norm.ppf(0.95), rel=1e-9)
    assert title_of(display).endswith("HR: hazard ratio, 90% interval")
    events = np.bincount(group, y["event"]).astype(int)
    told = "HR {:.2f} ({:.2f}\N{EN DASH}{:.2f})".format(*row)
    assert labels_of(display)[0] == f"Low risk ({events[0]}/20 events)"
    assert labels_of(display)[2] == f"High risk ({events[2]}/20 events), {told}"


def test_a_group_without_events_leaves_the_ratios_of_others_as_they_are(cohort):
    y, risk = cohort
    event = y["event"] & (risk.argsort().argsort() // 20 != 1)
    y = Surv.from_arrays(event, y["time"])
    ratios = RiskGroupDisplay.from_predictions(y, risk, n_groups=3).hazard_ratios_
    assert ratios.loc["Medium risk"].isna().all()
    others = risk.argsort().argsort() // 20 != 1
    alone = RiskGroupDisplay.from_predictions(y[others], risk[others]).hazard_ratios_
    np.testing.assert_allclose(ratios.loc["High risk"], alone.loc["High risk"], rtol=1e-9)


def test_time_in_years_on_request(cohort):
    y, risk = cohort
    days = RiskGroupDisplay.from_predictions(y, risk, time_unit="days")
    y = Surv.from_arrays(y["event"], 365.25 * y["time"])
    display = RiskGroupDisplay.from_predictions(y, risk, time_unit="days", axis_unit="years", max_time=30 * 365.25)
    assert display.ax_.get_xlabel() == "Time (years)"
    # The same curves, for each number of days is one of years; ticks and counts are those of years.
    for line, other in zip(display.lines_, days.lines_):
        np.testing.assert_allclose(line.get_xydata(), other.get_xydata(), rtol=1e-12)
    ticks = display.ax_.get_xticks()
    assert ticks.max() <= 30
    at_risk = [[np.count_nonzero(group.time >= 365.25 * t) for t in ticks] for group in display.groups]
    np.testing.assert_array_equal(display.at_risk_, at_risk)
    assert display.p_value == days.p_value


@pytest.mark.parametrize("unit", ["days", "weeks", "months"])
def test_whole_years_count_at_their_tick(unit):
    length = {"days": 365.25, "weeks": 365.25 / 7, "months": 12}[unit]
    y = Surv.from_arrays(np.ones(12, dtype=bool), np.repeat(np.arange(1, 7), 2) * length)
    settings = {"time_unit": unit, "axis_unit": "years", "max_time": 6 * length}
    display = RiskGroupDisplay.from_predictions(y, -np.arange(12) % 2, thresholds=[0.5], **settings)
    at_risk = dict(zip(display.ax_.get_xticks().tolist(), display.at_risk_.sum(axis=0)))
    assert max(at_risk) == 6
    assert all(at_risk[t] == 12 - 2 * max(0, np.ceil(t) - 1) for t in at_risk)


def test_settings_last_when_it_is_drawn_again(cohort):
    display = RiskGroupDisplay.from_predictions(*cohort, time_unit="months", axis_unit="years", max_time=24)
    end = display.ax_.get_xlim()[1]
    again = display.plot()
    assert (again.ax_.get_xlabel(), again.ax_.get_xlim()[1]) == ("Time (years)", end)
    assert display.plot(axis_unit="months", max_time=12).ax_.get_xlim()[1] == pytest.approx(1.02 * 12)


def test_numbers_of_ticks_that_are_zoomed_away_are_not_drawn(cohort):
    display = RiskGroupDisplay.from_predictions(*cohort)
    display.ax_.set_xlim(0, 30)
    assert drawn_outside(display.figure_) == []


def test_axes_that_share_their_x_axis_are_refused(cohort):
    _, axes = plt.subplots(1, 2, sharex=True)
    with pytest.raises(ValueError, match="ax shares its x axis with other axes"):
        RiskGroupDisplay.from_predictions(*cohort, ax=axes[0])


@pytest.mark.parametrize(("axis_unit", "per_month"), [("days", 30.4375), ("weeks", 30.4375 / 7), ("years", 1 / 12)])
def test_months_are_converted(cohort, axis_unit, per_month):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk, time_unit="months", axis_unit=axis_unit)
    steps = display.lines_[0].get_xdata()[1:]
    np.testing.assert_allclose(steps, per_month * display.groups[0].step_times, rtol=1e-12)


def test_the_note_says_whose_risks_they_are(cohort):
    y, risk = cohort

    def note(**arguments):
        return RiskGroupDisplay.from_predictions(y, risk, **arguments).ax_.texts[-1].get_text().replace("\n", " ")

    assert note() == "95% bands, pointwise. Ticks: censored. Risks: source not stated."
    assert note(risks_from="out of fold", confidence_level=0.9) == (
        "90% bands, pointwise. Ticks: censored. Risks: out of fold."
    )


@pytest.mark.parametrize("size", [8, 10, 12, 14])
def test_texts_fit_whatever_the_size_of_letters(cohort, size):
    with plt.rc_context({"font.size": size}):
        figure = RiskGroupDisplay.from_predictions(*cohort, n_groups=3).figure_
        assert drawn_outside(figure) == []
        legend = figure.axes[0].get_legend().get_window_extent()
        assert 0 <= legend.x0 < legend.x1 <= figure.bbox.width


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_a_title_stands_above_the_legend(cohort, layout):
    figure, ax = plt.subplots(figsize=(3.5, 4), layout=layout)
    RiskGroupDisplay.from_predictions(*cohort, n_groups=3, ax=ax)
    ax.set_title("Ridge Cox")
    figure.canvas.draw()
    assert ax.title.get_window_extent().y0 >= ax.get_legend().get_window_extent().y1


def test_numbers_at_risk_count_patients_whose_time_has_not_passed(cohort):
    y, risk = cohort
    display = RiskGroupDisplay.from_predictions(y, risk, max_time=25)
    ticks = [t for t in display.ax_.get_xticks() if 0 <= t <= 25]
    high = risk >= np.median(risk)
    for in_group, numbers in zip([~high, high], display.at_risk_):
        assert numbers.tolist() == [sum(time >= t for time in y["time"][in_group]) for t in ticks]
    assert display.at_risk_[:, 0].tolist() == [30, 30]
    # Each row begins with its name, so that nobody needs the colours.
    low, high = ([name, *map(str, row)] for name, row in zip(["Low risk", "High risk"], display.at_risk_))
    assert [text.get_text() for text in display.ax_.texts[:-1]] == ["Number at risk", *low, *high]


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
    assert title_of(display).startswith("Log-rank p not defined")
    assert labels_of(display) == ["Low risk (0/5 events)", "High risk (5/5 events), HR not defined"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"risk": np.ones(60)}, "leave a group empty: 2 groups get \\[0, 60\\]"),
        ({"risk": np.ones(59)}, "risk has shape \\(59,\\), but y has 60 patients"),
        ({"risk": np.full(60, np.nan)}, "risk of 60 patients is NaN or infinite"),
        ({"n_groups": 1}, "n_groups must be at least 2"),
        (
            {"max_time": 0.5, "time_unit": "days"},
            "max_time=0.5 is before the first event, at 2 days: no curve would fall",
        ),
        ({"max_time": -1}, "max_time must be a positive time or None, got -1"),
        ({"y": Surv.from_arrays(np.zeros(60, dtype=bool), np.ones(60))}, "None of the 60 patients of y has an event"),
        ({"axis_unit": ["years"]}, "axis_unit must be one of"),
        ({"axis_unit": "decades"}, "axis_unit must be one of 'days', 'weeks', 'months', 'years' or None"),
        ({"axis_unit": "years"}, "needs to know the unit of the times, but time_unit is None"),
        ({"axis_unit": "years", "time_unit": "d"}, "but time_unit is 'd'"),
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
