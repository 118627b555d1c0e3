from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sksurv_mmf.inspection import ComparisonDisplay


@pytest.fixture
def scores():
    values = {"cox": [0.70, 0.64, 0.68, 0.66], "net": [0.66, 0.63, np.nan, 0.60], "none": [np.nan] * 4}
    table = pd.DataFrame(values).rename_axis("fold").melt(var_name="model", ignore_index=False)
    return table.reset_index().assign(score="harrell")


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_dots_are_folds_and_the_bar_is_the_corrected_interval(scores):
    display = ComparisonDisplay.from_predictions(
        scores, test_ratio=1 / 3, confidence_level=0.9, label="Harrell's C-index"
    )
    values = scores["value"].to_numpy()[:4]
    dots, bar, diamond = display.ax_.lines[:3]
    assert dots.get_xdata().tolist() == values.tolist()
    mean = values.mean()
    margin = stats.t.ppf(0.95, 3) * np.sqrt((1 / 4 + 1 / 3) * values.var(ddof=1)) / (mean * (1 - mean))
    odds = mean / (1 - mean) * np.exp([-margin, margin])
    np.testing.assert_allclose(bar.get_xdata(), odds / (1 + odds), rtol=1e-12)
    assert diamond.get_xdata().item() == pytest.approx(mean)
    assert display.ax_.get_xlabel() == "Harrell's C-index"


def test_a_model_with_fewer_folds_says_so(scores):
    ax = ComparisonDisplay.from_predictions(scores).ax_
    assert labels(ax) == ["cox", "net\n(3 of 4 folds)", "none"]
    assert [text.get_text() for text in ax.texts] == ["no value"]


def test_differences_are_taken_fold_by_fold(scores):
    display = ComparisonDisplay.from_predictions(scores, reference="cox", differences=True, test_ratio=0)
    assert list(display.values) == ["net", "none"]
    np.testing.assert_allclose(display.values["net"], [-0.04, -0.01, np.nan, -0.06])
    both = scores.pivot(index="fold", columns="model", values="value").dropna(subset="net")
    expected = stats.ttest_rel(both["net"], both["cox"]).pvalue
    assert display.intervals.loc["net", "p_value"] == pytest.approx(expected, rel=1e-12)
    assert [text.get_text() for text in display.ax_.texts] == ["no value", f"{expected:.2f}", "p (Holm)"]
    assert display.ax_.get_xlabel() == "Difference in harrell to cox"
    assert display.chance == 0


def test_p_values_of_differences_pay_for_the_number_of_models(scores):
    third = scores[scores["model"] == "net"].assign(model="third", value=[0.69, 0.60, 0.70, 0.61])
    display = ComparisonDisplay.from_predictions(
        pd.concat([scores, third]), reference="cox", differences=True, test_ratio=0
    )
    p = display.intervals["p_value"]
    assert p["net"] < p["third"]
    assert display.intervals["p_holm"]["net"] == pytest.approx(2 * p["net"], rel=1e-12)  # of two that exist
    assert f"{2 * p['net']:.2f}" in [text.get_text() for text in display.ax_.texts]


def test_the_label_of_differences_says_which_side_is_good(scores):
    def label(**arguments):
        return (
            ComparisonDisplay.from_predictions(scores, reference="cox", **arguments)
            .ax_.get_xlabel()
            .replace("\N{NO-BREAK SPACE}", " ")
        )

    assert label(differences=True, better="higher").endswith("to cox (right is better)")
    assert label(differences=True, better="lower").endswith("to cox (left is better)")
    assert label(better="lower") == "harrell"


def test_gains_and_losses_have_equal_room(scores):
    ax = ComparisonDisplay.from_predictions(scores, reference="cox", differences=True).ax_
    low, high = ax.get_xlim()
    assert low == -high
    assert all(low < x < high for line in ax.lines[1:] for x in line.get_xdata())


def test_differences_that_share_an_axis_are_all_seen(scores):
    _, axes = plt.subplots(1, 2, sharex=True)
    ComparisonDisplay.from_predictions(scores, reference="cox", differences=True, ax=axes[0])
    wide = scores.assign(value=3 * scores["value"] - 1.2)
    ax = ComparisonDisplay.from_predictions(wide, reference="cox", differences=True, ax=axes[1]).ax_
    low, high = ax.get_xlim()
    assert all(low < x < high for line in ax.lines for x in line.get_xdata())


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_the_legend_stays_in_a_narrow_figure(scores, layout):
    figure, axes = plt.subplots(1, 3, figsize=(7, 3), layout=layout)
    for ax in axes:
        ComparisonDisplay.from_predictions(scores, reference="cox", ax=ax)
    figure.canvas.draw()
    boxes = [ax.get_legend().get_window_extent() for ax in axes]
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.width for box in boxes)
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_signs_and_highlight_are_explained(scores):
    def legend(**arguments):
        display = ComparisonDisplay.from_predictions(scores, **arguments)
        return [text.get_text() for text in display.ax_.get_legend().get_texts()]

    assert legend() == ["mean, 95% interval", "one fold"]
    assert legend(confidence_level=0.9, reference="net") == ["mean, 90% interval", "one fold", "the reference"]
    assert legend(reference="net", differences=True) == ["mean, 95% interval", "one fold"]


def test_the_reference_has_its_own_colour_and_chance_a_line(scores):
    ax = ComparisonDisplay.from_predictions(scores, reference="net", chance=0.5).ax_
    chance, *rest = ax.lines
    assert set(chance.get_xdata()) == {0.5}
    colors = [line.get_color() for line in rest[:6:3]]
    assert colors[0] != colors[1]
    assert [line.get_color() for line in rest[:3]] == [colors[0]] * 3


def test_models_stand_from_top_to_bottom_as_they_came(scores):
    ax = ComparisonDisplay.from_predictions(scores).ax_
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert ax.get_yticks().tolist() == [0, 1, 2]


def test_it_draws_on_given_axes(scores):
    figure, axes = plt.subplots(1, 2)
    display = ComparisonDisplay.from_predictions(scores, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].lines


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"reference": "net2"}, "reference='net2' is none of the models: 'cox', 'net', 'none'"),
        ({}, {"differences": True}, "Differences need a reference"),
        ({}, {"score": "uno"}, "score='uno' is not in scores, which has 'harrell'"),
        ({"score": ["harrell", "uno"] * 6}, {}, "scores has several scores; pass score=, one of 'harrell', 'uno'"),
        ({"value": np.nan}, {}, "nothing to draw"),
        ({"fold": 0}, {}, "Model 'cox' has more than one value in fold 0"),
    ],
)
def test_what_cannot_be_drawn_is_named(scores, change, arguments, message):
    with pytest.raises(ValueError, match=message):
        ComparisonDisplay.from_predictions(scores.assign(**change), **arguments)


def test_a_table_without_values_is_named(scores):
    with pytest.raises(ValueError, match="scores lacks the columns 'value'; it has"):
        ComparisonDisplay.from_predictions(scores.drop(columns="value"))
