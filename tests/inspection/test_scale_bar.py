"""The scale bar is as long as it says."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sksurv_mmf.plotting._scale_bar import draw_scale_bar, length_label, round_length


@pytest.mark.parametrize("longest", [0.3, 1, 1.99, 2, 49.9, 50, 730, 1000, 4999, 12345])
def test_lengths_are_round_and_the_longest_that_fit(longest):
    length = round_length(longest)
    assert f"{length:e}"[0] in "125"
    assert float(f"{length:e}".partition("e")[0]) in (1, 2, 5)
    assert length <= longest < 2.5 * length * (1 + 1e-9)


def test_lengths_are_in_micrometres_or_millimetres():
    assert [length_label(length) for length in (0.5, 100, 500, 1000, 20000)] == [
        "0.5 \N{MICRO SIGN}m",
        "100 \N{MICRO SIGN}m",
        "500 \N{MICRO SIGN}m",
        "1 mm",
        "20 mm",
    ]


def said_length(label):
    number, unit = re.fullmatch(r"([\d.]+) (\w+)", label.get_text()).groups()
    return float(number) * {"mm": 1000, "\N{MICRO SIGN}m": 1}[unit]


@pytest.mark.parametrize("um_per_unit", [0.25, 0.5, 1, 1000])
@pytest.mark.parametrize("limits", [(0, 40_000), (1500, 3500), (3500, 1500), (10.0, 10.5)])
def test_the_bar_is_as_long_as_it_says_also_after_zooming(um_per_unit, limits):
    _, ax = plt.subplots()
    bar, label = draw_scale_bar(ax, um_per_unit)
    ax.set_xlim(limits)
    ends = bar.get_xdata()
    assert abs(ends[1] - ends[0]) * um_per_unit == pytest.approx(said_length(label))
    left, right = ax.transAxes.inverted().transform(bar.get_transform().transform([(x, 0) for x in ends]))[:, 0]
    assert left == pytest.approx(0, abs=1e-9)
    assert 0.1 < right <= 0.3 + 1e-9


def test_the_bar_does_not_move_the_limits_and_stands_below_the_axes():
    figure, ax = plt.subplots()
    ax.plot([0, 100], [5, 6])
    limits = ax.get_xlim(), ax.get_ylim()
    bar, label = draw_scale_bar(ax, 0.5)
    figure.canvas.draw()
    ax.autoscale_view()
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    bottom = ax.get_window_extent().y0
    assert bar.get_window_extent().y1 < bottom
    assert label.get_window_extent().y1 < bottom + 1
    assert np.isclose(label.get_window_extent().x0, bar.get_window_extent().x1, atol=10)
