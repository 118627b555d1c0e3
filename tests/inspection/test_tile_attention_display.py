from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from attention_tables import table
from matplotlib.colors import LogNorm, to_rgba

from sksurv_mmf import Bag, FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.inspection import TileAttentionDisplay
from sksurv_mmf.inspection._tile_drawing import infer_tile_size
from sksurv_mmf.plotting._plotting import VERMILLION

COORDS = np.array([[0.0, 0.0], [512.0, 0.0], [0.0, 512.0], [1024.0, 1536.0]])
WEIGHTS = [0.1, 0.6, 0.2, 0.1]


def test_every_tile_is_a_square_at_its_place_with_its_weight_relative_to_the_mean():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS))
    np.testing.assert_allclose(display.tiles_.get_array(), 4 * np.array(WEIGHTS))
    for path, corner in zip(display.tiles_.get_paths(), COORDS):
        assert path.get_extents().min.tolist() == corner.tolist()
        assert path.get_extents().size.tolist() == [512, 512]


def test_y_grows_downwards_and_x_and_y_have_one_scale():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS))
    assert display.ax_.yaxis_inverted()
    assert display.ax_.get_aspect() == 1
    assert display.ax_.get_ylabel() == "y (px)"


def test_uniform_attention_is_one_everywhere_and_has_the_colour_of_the_middle():
    display = TileAttentionDisplay.from_predictions(table(np.full(4, 0.25), COORDS))
    assert display.tiles_.get_array().tolist() == [1.0] * 4
    assert display.tiles_.get_clim() == (0, 2)


def test_highlighted_tiles_are_outlined():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), highlight=[False, True, False, True])
    outlines = display.ax_.collections[1]
    corners = [path.get_extents().min.tolist() for path in outlines.get_paths()]
    assert corners == COORDS[[1, 3]].tolist()


def test_without_coordinates_bars_fall_from_highest_to_lowest():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS), highlight=[False, False, True, False])
    assert [bar.get_height() for bar in display.tiles_] == pytest.approx([2.4, 0.8, 0.4, 0.4])
    marked = [bar.get_facecolor() == to_rgba(VERMILLION) for bar in display.tiles_]
    assert marked == [False, True, False, False]


def test_tile_size_is_the_spacing_of_the_grid():
    grid = np.stack(np.meshgrid(np.arange(5) * 256.0, np.arange(4) * 256.0), axis=-1).reshape(-1, 2)
    assert infer_tile_size(grid) == 256
    assert infer_tile_size(np.vstack([grid, grid])) == 256  # two slides on top of each other
    assert infer_tile_size(grid[:1]) == 1


def test_from_estimator_shows_the_estimators_weights_of_one_patient():
    cohort = make_multimodal_survival(n_patients=30, n_genes=10, n_tiles=(3, 9), missing={"wsi": 0.1}, random_state=0)
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, random_state=0, embedding_dim=8).fit(
        cohort.X, cohort.y
    )
    lacks_tiles = cohort.X["wsi__tiles"].isna()
    patient = cohort.X.index[~lacks_tiles][3]
    display = TileAttentionDisplay.from_estimator(model, cohort.X, patient=patient)

    expected = model.tile_attention(cohort.X).loc[patient]
    np.testing.assert_allclose(display.attention, expected["attention"], rtol=1e-5)
    np.testing.assert_array_equal(display.coords, cohort.X.loc[patient, "wsi__tiles"].coords)

    with pytest.raises(ValueError, match="'P9999' is not in the index of X"):
        TileAttentionDisplay.from_estimator(model, cohort.X, patient="P9999")
    without = cohort.X.index[lacks_tiles][0]
    with pytest.raises(ValueError, match=f"There are no tiles: patient='{without}' lacks the modality"):
        TileAttentionDisplay.from_estimator(model, cohort.X, patient=without)


def test_unusable_tables_are_named():
    two = pd.concat([table(WEIGHTS), table(WEIGHTS, patient="B")])
    with pytest.raises(ValueError, match="Name one of the 2 patients by patient=: 'A', 'B'"):
        TileAttentionDisplay.from_predictions(two)
    with pytest.raises(ValueError, match=r"'C' has no tiles here.* who have tiles are: 'A', 'B'"):
        TileAttentionDisplay.from_predictions(two, patient="C")
    with pytest.raises(ValueError, match="There are no tiles: no patient has the modality"):
        TileAttentionDisplay.from_predictions(two.iloc[:0])
    with pytest.raises(ValueError, match="highlight has shape \\(2,\\), but patient 'A' has 4 tiles"):
        TileAttentionDisplay.from_predictions(two, patient="A", highlight=[True, False])
    with pytest.raises(ValueError, match=r"The coordinates of 1 of 4 tiles are NaN or infinite.*Leave these tiles out"):
        TileAttentionDisplay.from_predictions(table(WEIGHTS, np.where(COORDS == 1536, np.nan, COORDS)))
    with pytest.raises(TypeError, match="index levels patient and tile"):
        TileAttentionDisplay.from_predictions(pd.Series(WEIGHTS))


TWO_SLIDES = ["a", "a", "b", "b"]


def test_one_of_several_slides_is_drawn():
    both = table(WEIGHTS, COORDS, slide=TWO_SLIDES)
    with pytest.raises(
        ValueError, match=r"patient 'A' are of 2 slides.*overlap: 'a', 'b'\. Pass one of them as slide_"
    ):
        TileAttentionDisplay.from_predictions(both)
    display = TileAttentionDisplay.from_predictions(both, slide_name="b", highlight=[True, False])
    assert display.coords.tolist() == COORDS[2:].tolist()
    np.testing.assert_allclose(display.tiles_.get_array(), [4 / 3, 2 / 3])
    assert display.ax_.get_title() == "Patient A\nb"
    same = TileAttentionDisplay.from_predictions(both[both["slide"] == "b"])
    assert same.coords.tolist() == display.coords.tolist()


def test_slides_without_coordinates_need_no_choice():
    both = table(WEIGHTS, slide=TWO_SLIDES)
    assert len(TileAttentionDisplay.from_predictions(both).tiles_) == 4
    assert len(TileAttentionDisplay.from_predictions(both, slide_name="a").tiles_) == 2


def test_unknown_slides_are_named():
    with pytest.raises(ValueError, match=r"no tiles of slide 'c', but of 'a', 'b'"):
        TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS, slide=TWO_SLIDES), slide_name="c")
    with pytest.raises(ValueError, match=r"slide_name='a', but attention has no column 'slide'"):
        TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), slide_name="a")


def test_from_estimator_draws_the_slide_of_a_bag():
    rng = np.random.default_rng(0)
    bags = [Bag(rng.normal(size=(4, 3)), COORDS, slides={"a": 3, "b": 1}) for _ in range(8)]
    patients = pd.Index([f"P{i}" for i in range(8)], name="patient")
    X = join_modalities({"wsi": pd.Series(bags, index=patients, dtype="bag")})
    y = np.array([(True, i + 1.0) for i in range(8)], dtype=[("event", bool), ("time", float)])
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, random_state=0, embedding_dim=8).fit(X, y)
    display = TileAttentionDisplay.from_estimator(model, X, patient="P3", slide_name="a")
    assert display.coords.tolist() == COORDS[:3].tolist()
    with pytest.raises(ValueError, match="Pass one of them as slide_name"):
        TileAttentionDisplay.from_estimator(model, X, patient="P3")


def scale_bar(display):
    """Length of the scale bar in units of the coordinates, and what it says."""
    ((line,), (label,)) = display.ax_.lines, display.ax_.texts
    return np.ptp(line.get_xdata()), label.get_text()


def has_axes(display):
    return len(display.ax_.get_xticks()) > 0


@pytest.mark.parametrize(
    ("columns", "coord_unit", "expected"),
    [
        ({"coord_unit": "um"}, None, (500, "500 \N{MICRO SIGN}m")),
        ({}, "um", (500, "500 \N{MICRO SIGN}m")),
        ({}, "mm", (500, "500 mm")),
        ({"tile_side": 512.0, "tile_size": 256.0, "mpp": 0.5}, None, (400, "100 \N{MICRO SIGN}m")),
        ({"tile_side": 512.0, "tile_size": 256.0, "mpp": 0.5, "coord_unit": "px"}, None, (400, "100 \N{MICRO SIGN}m")),
        ({"tile_side": 512.0, "tile_size": 256.0, "mpp": 0.5, "coord_unit": "um"}, None, (500, "500 \N{MICRO SIGN}m")),
    ],
)
def test_a_known_scale_is_a_bar_instead_of_axes(columns, coord_unit, expected):
    tiles = table(WEIGHTS, COORDS).assign(**columns)
    display = TileAttentionDisplay.from_predictions(tiles, coord_unit=coord_unit)
    length, said = scale_bar(display)
    assert (pytest.approx(length), said) == expected
    assert not has_axes(display)
    assert display.ax_.get_xlabel() == ""


@pytest.mark.parametrize("columns", [{}, {"tile_side": 512.0}, {"tile_size": 256.0, "mpp": 0.5}])
def test_without_a_known_scale_there_is_no_bar_but_axes(columns):
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS).assign(**columns))
    assert (list(display.ax_.lines), list(display.ax_.texts)) == ([], [])
    assert has_axes(display)
    assert display.ax_.get_xlabel() == "x (px)"


def test_a_display_that_is_drawn_again_keeps_its_scale():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), coord_unit="um")
    assert scale_bar(display) == scale_bar(display.plot())


@pytest.mark.parametrize("coords", [COORDS, None])
def test_the_legend_says_what_is_marked(coords):
    marks = {"highlight": [False, True, False, True], "highlight_label": "tumour"}
    legend = TileAttentionDisplay.from_predictions(table(WEIGHTS, coords), **marks).ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["tumour"]
    marks["highlight"] = np.zeros(4, dtype=bool)
    assert TileAttentionDisplay.from_predictions(table(WEIGHTS, coords), **marks).ax_.get_legend() is None
    assert TileAttentionDisplay.from_predictions(table(WEIGHTS, coords)).ax_.get_legend() is None


def test_the_title_stands_above_the_legend():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), highlight=[True, False, False, False])
    for again in (display.ax_.get_title(), "another title"):
        display.ax_.set_title(again)
        display.figure_.canvas.draw()
        (text,) = display.ax_.get_legend().get_texts()
        assert display.ax_.title.get_window_extent().y0 > text.get_window_extent().y1


def test_a_new_figure_has_the_shape_of_the_map():
    wide, high = ([[512.0 * i, 0.0] for i in range(30)], [[0.0, 512.0 * i] for i in range(30)])
    heights = [
        TileAttentionDisplay.from_predictions(table(np.full(30, 1 / 30), np.array(coords))).figure_.get_figheight()
        for coords in (wide, high)
    ]
    assert heights[0] < 3 < heights[1]


def test_a_display_that_is_drawn_again_keeps_what_it_was_told():
    marks = {"highlight": [True, False, False, False], "highlight_label": "tumour"}
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), coord_unit="pt", **marks)
    for look, unit, label in (
        ({"cmap": "magma"}, "pt", "tumour"),
        ({"coord_unit": "px", "highlight_label": "necrosis"}, "px", "necrosis"),
    ):
        ax = display.plot(**look).ax_
        assert (ax.get_xlabel(), ax.get_ylabel()) == (f"x ({unit})", f"y ({unit})")
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [label]


def test_another_unit_is_taken_at_its_word():
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS / 1000), coord_unit="mm")
    lengths = [scale_bar(display.plot(coord_unit=unit))[0] for unit in ("mm", None, "um")]
    assert lengths == pytest.approx([0.5, 0.5, 0.5])
    said = [scale_bar(display.plot(coord_unit=unit))[1] for unit in ("mm", None, "um")]
    assert said == ["500 \N{MICRO SIGN}m", "500 \N{MICRO SIGN}m", "0.5 \N{MICRO SIGN}m"]
    assert has_axes(display.plot(coord_unit="px"))


@pytest.mark.parametrize("mu", ["\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"])
def test_micrometres_may_be_written_with_either_sign(mu):
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS), coord_unit=f"{mu}m")
    assert scale_bar(display)[1] == "500 \N{MICRO SIGN}m"


@pytest.mark.parametrize("coords", [COORDS, None])
def test_long_words_for_what_is_marked_stay_in_the_figure(coords):
    said = "tiles that two pathologists, who did not know of each other, called tumour"
    marks = {"highlight": [True, False, False, False], "highlight_label": said}
    display = TileAttentionDisplay.from_predictions(table(WEIGHTS, coords), **marks)
    display.figure_.draw_without_rendering()
    (text,) = display.ax_.get_legend().get_texts()
    assert text.get_text().replace("\n", " ") == said
    extent, width = text.get_window_extent(), display.figure_.bbox.width
    assert 0 < extent.x0 < extent.x1 < width


def color_bar(display):
    (bar,) = (child for child in display.ax_.child_axes if "average" in child.get_ylabel())
    return bar


def test_what_stands_around_a_tall_map_can_be_read():
    core = 512 * np.stack(np.meshgrid([0.0, 4.0], np.arange(40.0)), axis=-1).reshape(-1, 2)
    display = TileAttentionDisplay.from_predictions(table(np.full(80, 1 / 80), core))
    display.figure_.draw_without_rendering()
    bar, drawn = color_bar(display).get_window_extent(), display.ax_.get_window_extent()
    np.testing.assert_allclose([bar.y0, bar.y1], [drawn.y0, drawn.y1])
    assert bar.width > 5 * display.figure_.dpi / 72
    numbers = [label.get_window_extent() for label in display.ax_.get_xticklabels() if label.get_text()]
    inside = [one for one in numbers if drawn.x0 <= (one.x0 + one.x1) / 2 <= drawn.x1]
    assert all(left.x1 < right.x0 for left, right in pairwise(inside))


@pytest.mark.parametrize(("n_decades", "n_numbers"), [(1, 4), (6, 7)])
def test_numbers_of_a_logarithmic_bar_do_not_touch(n_decades, n_numbers):
    weights = np.geomspace(1, 10.0**n_decades, 4)
    display = TileAttentionDisplay.from_predictions(table(weights / weights.sum(), COORDS))
    norm = LogNorm(1e-3, 1e-3 * 10.0**n_decades)
    bar = color_bar(display.plot(norm=norm))
    display.figure_.draw_without_rendering()
    numbers = {label.get_position()[1]: label.get_window_extent() for label in bar.get_yticklabels()}
    drawn = [numbers[y] for y in sorted(numbers) if 0.999 * norm.vmin < y < 1.001 * norm.vmax]
    assert len(drawn) == n_numbers
    assert all(low.y1 < high.y0 for low, high in pairwise(drawn))
