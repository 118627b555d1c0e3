"""Names are shortened so that they can still be told apart, and whatever is written stays in the figure."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from sksurv_mmf.inspection import (
    FeatureImportance,
    FusionAudit,
    ModalityAttentionDisplay,
    ModalityImportance,
    TileAttentionDisplay,
)
from sksurv_mmf.plotting._labels import shorten_apart, shorten_middle

SLIDE = "TCGA-05-4244-01Z-00-DX1.d4ff32cd-38cf-40ea-8213-45c2b100ac01"


def test_the_middle_of_long_names_is_left_out():
    assert shorten_middle("wsi", 8) == "wsi"
    assert shorten_middle("12345678", 8) == "12345678"
    assert shorten_middle("123456789", 8) == "1234\N{HORIZONTAL ELLIPSIS}789"
    assert shorten_middle("123456789", -3) == "\N{HORIZONTAL ELLIPSIS}"
    for n in range(5, 40):
        assert len(shorten_middle(SLIDE, n)) == n


def test_names_that_differ_stay_different():
    names = ["HALLMARK_EPITHELIAL_TRANSITION", "HALLMARK_MESENCHYMAL_TRANSITION", "TP53"]
    short = shorten_apart(names, 8)
    assert len(set(short)) == 3
    assert max(map(len, short)) < 25
    assert short[2] == "TP53"
    assert shorten_apart(["same", "same"], 3) == ["s\N{HORIZONTAL ELLIPSIS}e"] * 2


def test_only_names_that_read_alike_are_longer_than_others():
    other = "a name of another kind that is long, too"
    *alike, short = shorten_apart(["abcdefgh 1 ijklmnopqrstuv", "abcdefgh 2 ijklmnopqrstuv", other], 16)
    assert alike == [f"abcdefgh {k}\N{HORIZONTAL ELLIPSIS}nopqrstuv" for k in (1, 2)]
    assert short == shorten_middle(other, 16)


@pytest.mark.parametrize("n_letters", [3, 8, 20])
@pytest.mark.parametrize("n_common", [15, 60, 2400])
def test_names_that_differ_far_inside_show_where(n_common, n_letters):
    begin, end = "b" * n_common, "e" * n_common
    names = [f"{begin}{gene}{end}" for gene in ("KRAS", "TP53", "EGFR")]
    short = shorten_apart([*names, "c" * 99], n_letters)
    assert all(gene in name for gene, name in zip(("KRAS", "TP53", "EGFR"), short))
    assert max(map(len, short)) <= max(1.5 * n_letters, 12)
    assert short[3] == shorten_middle("c" * 99, n_letters)


def test_names_that_no_excerpt_tells_apart_are_numbered():
    names = ["".join(letters) for letters in ("x" * 200, "x" * 90 + "y" + "x" * 109, "x" * 120 + "y" + "x" * 79)]
    assert shorten_apart(names, 9) == [f"xxxx\N{HORIZONTAL ELLIPSIS}xxxx ({k})" for k in (1, 2, 3)]


FEW = ["wsi", "rna"]
MANY = [*FEW, "clinical", "mutations", "cnv", "methylation_450k_tumour", "radiology_report_text", "protein"]
rng = np.random.default_rng(0)


def attention(names, ax=None):
    weights = rng.dirichlet(np.ones(len(names)), 130)
    weights[::9] = np.eye(len(names))[0]
    return ModalityAttentionDisplay(pd.DataFrame(weights, columns=names), pd.Series(np.arange(130))).plot(ax)


def importance(names, ax=None):
    columns = ["modality", "fold", "n_patients", "c_index", "c_index_without", "drop"]
    folds = [(name, k, 90, 0.7, 0.6, rng.normal(0.05, 0.04)) for name in names for k in range(5)]
    return ModalityImportance(pd.DataFrame(folds, columns=columns), dict.fromkeys(names, (-0.1, 0.25))).plot(ax)


def features(names, ax=None):
    folds = [(values, values) for values in (pd.DataFrame(rng.normal(size=(9, len(names)))) for _ in range(5))]
    return FeatureImportance(
        [tuple(one.set_axis([f"rna__{n}" for n in names], axis=1) for one in f) for f in folds]
    ).plot(ax)


def audit(names, ax=None):
    c_index = pd.DataFrame({name: rng.normal(0.6, 0.02, 5) for name in ["fused", *names]})
    tests = pd.DataFrame({"gain": 0.02, "lower": -0.03, "upper": 0.07, "p_value": 0.4}, index=["corrected t-test"])
    ranks = pd.DataFrame({"event": rng.random(50) < 0.4, "rank_single": rng.random(50), "rank_fused": rng.random(50)})
    return FusionAudit("fused", names[-3:][0], c_index, tests, ranks).plot(ax)


def tiles(names, ax=None):
    coords = np.stack(np.meshgrid(np.arange(6), np.arange(5)), axis=-1).reshape(-1, 2) * 512.0
    look = {"highlight": np.arange(30) % 4 == 0, "um_per_unit": 0.5 if len(names) > 2 else None}
    return TileAttentionDisplay(rng.dirichlet(np.ones(30)), coords, patient="A", slide_name=SLIDE, **look).plot(ax)


def reach(figure):
    """How far what is drawn reaches beyond the figure, in points: in the first file and in later ones."""
    (width, height), farthest = figure.get_size_inches(), []
    for _ in range(2):  # what constrained layout does must not grow from one drawing to the next
        figure.savefig(BytesIO())
        drawn = figure.get_tightbbox()
        farthest.append(72 * max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height))
    return max(farthest)


EVERY = pytest.mark.parametrize("draw", [attention, importance, features, audit, tiles])


@EVERY
@pytest.mark.parametrize("names", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("width", [3.5, 7])
def test_nothing_is_clipped(draw, names, width, tmp_path):
    ax = plt.subplots(figsize=(width, 4.5), layout="constrained")[1] if width == 7 else None
    display = draw(names, ax)
    assert display.figure_.get_figwidth() == width
    assert reach(display.figure_) < 1
    display.figure_.savefig(tmp_path / "figure.pdf")


@EVERY
def test_everything_is_seen_in_a_dark_style(draw):
    with plt.style.context("dark_background"):
        figure = draw(["wsi", "rna", "clinical"]).figure_
        figure.draw_without_rendering()
    drawn = [one for one in figure.findobj(lambda one: isinstance(one, (Line2D, Text))) if one.get_visible()]
    colors = [one.get_color() for one in drawn]
    colors += [line.get_markeredgecolor() for line in drawn if isinstance(line, Line2D)]
    assert min(max(to_rgb(color)) for color in colors) > 0.4
    assert all(patch.get_facecolor()[:3] != (1, 1, 1) for patch in figure.findobj(Patch))


@EVERY
@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize("names", [FEW, MANY[2:7]], ids=["few", "many"])
def test_nothing_is_clipped_in_a_row_of_axes(draw, layout, names):
    figure, axes = plt.subplots(1, 3, figsize=(7, 4), layout=layout)
    for ax in axes:
        draw(names, ax)
    assert reach(figure) < 1


@pytest.mark.parametrize("n_rows", [6, 19, 21, 22, 40])
@pytest.mark.parametrize("marks", [None, [True, False] * 3], ids=["plain", "marked"])
def test_maps_of_any_shape_are_whole_in_the_first_file(n_rows, marks):
    corners = np.stack(np.meshgrid([0, 9], [0, 1, n_rows - 1]), axis=-1).reshape(-1, 2) * 512.0
    highlight = None if marks is None else np.array(marks)
    display = TileAttentionDisplay(np.full(6, 1 / 6), corners, patient="A", tile_size=512, highlight=highlight)
    assert reach(display.plot().figure_) < 0


@pytest.mark.parametrize("draw", [importance, features])
@pytest.mark.parametrize("width", [3.5, 7])
def test_long_names_leave_half_of_the_figure(draw, width):
    figure, ax = plt.subplots(figsize=(width, 3), layout="constrained")
    draw([f"{name} of a tumour and of what is around it" for name in MANY], ax)
    figure.canvas.draw()
    assert 0.45 < ax.get_position().width < 0.75


def test_the_whole_name_of_a_slide_is_kept():
    display = tiles(FEW)
    assert display.slide_name == SLIDE
    patient, slide = display.ax_.get_title().splitlines()
    assert patient == "Patient A"
    assert len(slide) < len(SLIDE)
    assert slide.startswith("TCGA-05")
    assert slide.endswith("ac01")
