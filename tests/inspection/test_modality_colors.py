"""A modality has one colour in every figure, and those of a figure can be told apart."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from sksurv_mmf.inspection import FeatureImportance, FusionAudit, ModalityAttentionDisplay, ModalityImportance
from sksurv_mmf.plotting import modality_colors
from sksurv_mmf.plotting._modality_colors import KNOWN, SPARE, _plain
from sksurv_mmf.portals import CohortReport

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SEEN_BY = {
    "trichromats": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colors, eye):
    """Colours in CIELAB, as an eye sees them."""
    rgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x = (linear @ np.transpose(SEEN_BY[eye])).clip(0, 1) @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


@pytest.mark.parametrize("eye", SEEN_BY)
def test_colours_can_be_told_apart(eye):
    places = lab([*KNOWN, *SPARE, "white"], eye)
    distance = np.linalg.norm(places[:, None] - places, axis=-1) + 1000 * np.eye(len(places))
    assert distance.min() > 15  # about 2 can be seen side by side


def test_common_names_have_their_colours_however_they_are_written():
    assert modality_colors(["wsi", "RNA-seq"]) == {"wsi": "#0072B2", "RNA-seq": "#E69F00"}
    assert modality_colors(["Copy number"]) == {"Copy number": "#CC79A7"}
    every = [name for kind in KNOWN.values() for name in kind]
    assert len(set(every)) == len(every)
    assert all(name == _plain(name) for name in every)


def test_a_common_name_has_one_colour_whatever_is_beside_it():
    for others in ([], ["wsi"], ["radiology", "lab"], ["wsi", "clinical", "cnv"], [f"m{i}" for i in range(40)]):
        assert modality_colors([*others, "rna"])["rna"] == "#E69F00"


def test_order_does_not_matter():
    names = ["wsi", "tiles", "smoking", "mri", "lab", "ct"]
    assert _choice("smoking") == _choice("mri")
    assert _choice("lab") == _choice("ct")
    found = {tuple(sorted(modality_colors(order).items())) for order in permutations(names)}
    assert len(found) == 1


def _choice(name):
    return modality_colors([name])[name]


@pytest.mark.parametrize("n", [2, 6, 14, 60])
def test_colours_of_a_figure_differ(n):
    names = ["wsi", "slide", "image", "rna", *(f"modality {i}" for i in range(n))]
    assert len(set(modality_colors(names).values())) == len(names)


def test_of_two_names_of_a_kind_the_more_common_one_keeps_the_colour():
    colors = modality_colors(["tiles", "wsi"])
    assert colors["wsi"] == "#0072B2"
    assert colors["tiles"] in SPARE
    assert modality_colors(["tiles"]) == {"tiles": "#0072B2"}


def test_the_user_decides():
    names = ["rna", "wsi"]
    assert modality_colors(names, "black") == {"rna": "black", "wsi": "black"}
    assert modality_colors(names, ["red", "blue", "green"]) == {"rna": "red", "wsi": "blue"}
    whole_paper = {"wsi": "black", "clinical": "gold"}
    assert modality_colors(names, whole_paper) == {"rna": "#E69F00", "wsi": "black"}
    taken = modality_colors(names, {"wsi": "#E69F00"})
    assert taken["wsi"] == "#E69F00" != taken["rna"]
    for wrong, said in ((["red"], r"\['red'\]"), (5, "5")):
        with pytest.raises(ValueError, match=rf"color must be a list of 2 colors, a dict .* got {said}"):
            modality_colors(names, wrong)


def test_names_of_a_dict_may_be_written_otherwise():
    assert modality_colors(["RNA", "wsi"], {"rna": "black"}) == {"RNA": "black", "wsi": "#0072B2"}
    assert modality_colors(["RNA-seq"], {"rna_seq": "black", "RNA-seq": "red"}) == {"RNA-seq": "red"}
    assert modality_colors(["rna", "RNA"], {"RNA": "red", "rna": "blue"}) == {"rna": "blue", "RNA": "red"}


def test_one_name_is_not_read_as_its_letters():
    with pytest.raises(TypeError, match=r"names must be a list of names, got the str 'rna'\. Pass \['rna'\]"):
        modality_colors("rna")


NAMES = ["clinical", "smoking", "rna", "wsi"]


def attention(names):
    weights = pd.DataFrame(np.full((3, len(names)), 1 / len(names)), columns=names)
    bars = ModalityAttentionDisplay.from_predictions(weights, risk=[1, 2, 3]).bars_
    return {name: bar.get_facecolor() for name, bar in zip(names, bars)}


def importance(names):
    folds = [(name, k, 90, 0.7, 0.6, i + 0.1 * k) for i, name in enumerate(names) for k in range(3)]
    columns = ["modality", "fold", "n_patients", "c_index", "c_index_without", "drop"]
    display = ModalityImportance(pd.DataFrame(folds, columns=columns), dict.fromkeys(names, (0, 9))).plot()
    means = [line.get_color() for line in display.ax_.lines if line.get_marker() == "D"]
    return dict(zip(display.table.index, means))


def features(names):
    values = pd.DataFrame({f"{name}__a": [1.0, 2.0 + i] for i, name in enumerate(names)})
    display = FeatureImportance([(values, values)]).plot()
    return {name.partition("__")[0]: bar.get_edgecolor() for name, bar in zip(display.table.index, display.ax_.patches)}


def audit(names):
    colors = {}
    for single in names:
        c_index = pd.DataFrame({"fused": [0.7, 0.8], **dict.fromkeys(names, 0.6)})
        tests = pd.DataFrame({"gain": 0.1, "lower": 0.0, "upper": 0.2, "p_value": 0.4}, index=["corrected t-test"])
        ranks = pd.DataFrame({"event": [True], "rank_single": [1.0], "rank_fused": [1.0]})
        *_, strip = FusionAudit("fused", single, c_index, tests, ranks).plot().ax_.child_axes
        colors[single] = strip.lines[-1].get_color()
    return colors


def cohort(names):
    index = pd.MultiIndex.from_tuples([(True,) * len(names)], names=names)
    _, dots = CohortReport(pd.DataFrame({"patients": [9], "events": [3]}, index=index), {}, 9, "inner").plot()
    return dict(zip(names, dots.collections[0].get_facecolor()))


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1], NAMES[1:3]])
@pytest.mark.parametrize("draw", [attention, importance, features, audit, cohort])
def test_every_figure_has_these_colours(draw, names):
    drawn = {name: to_hex(color).upper() for name, color in draw(names).items()}
    assert drawn == {name: color for name, color in modality_colors(NAMES).items() if name in names}
