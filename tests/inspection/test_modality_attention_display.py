import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.transforms import Bbox
from sklearn.pipeline import make_pipeline

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import Concat
from sksurv_mmf.inspection import ModalityAttentionDisplay
from sksurv_mmf.inspection._modality_attention import GAP, ROW
from sksurv_mmf.plotting import modality_colors

WEIGHTS = pd.DataFrame(
    {"wsi": [0.2, 0.7, 0.0, 0.5], "rna": [0.5, 0.1, 1.0, 0.25], "clinical": [0.3, 0.2, 0.0, 0.25]},
    index=["A", "B", "C", "D"],
)


def heights(bar):
    """Values and baselines of one modality's steps."""
    data = bar.get_data()
    return data.values, data.baseline


def test_bars_are_the_weights_stacked_from_low_to_high_risk():
    display = ModalityAttentionDisplay.from_predictions(WEIGHTS, risk=[3, 1, 4, 2])
    ordered = WEIGHTS.loc[["B", "D", "A", "C"]]
    floor = np.zeros(4)
    for bar, (_, weight) in zip(display.bars_, ordered.items()):
        top, bottom = heights(bar)
        np.testing.assert_allclose(bottom, floor)
        np.testing.assert_allclose(top - bottom, weight)
        floor = top
    np.testing.assert_allclose(floor, 1)
    assert display.risk.tolist() == [1, 2, 3, 4]


def test_many_patients_share_bars_that_show_their_mean():
    weights = np.random.default_rng(0).dirichlet([1, 2], size=100)
    display = ModalityAttentionDisplay.from_predictions(
        pd.DataFrame(weights, columns=["wsi", "rna"]), risk=np.arange(100)
    ).plot(max_bars=8)
    data = display.bars_[0].get_data()
    groups = [weights[low:high, 0] for low, high in zip(data.edges, data.edges[1:])]
    assert {len(group) for group in groups} == {12, 13}
    np.testing.assert_allclose(data.values, [group.mean() for group in groups])


def test_without_risk_patients_are_ordered_by_the_first_modality():
    display = ModalityAttentionDisplay.from_predictions(WEIGHTS)
    assert display.attention.index.tolist() == ["C", "A", "D", "B"]
    assert "weight of wsi" in display.ax_.get_xlabel()


def test_mean_weights_leave_out_patients_who_lack_a_modality():
    display = ModalityAttentionDisplay.from_predictions(WEIGHTS)
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["wsi 0.47", "rna 0.28", "clinical 0.25"]
    assert legend.get_title().get_text() == "Mean weight (3 patients with all)"
    complete = ModalityAttentionDisplay.from_predictions(WEIGHTS.drop("C"))
    assert complete.ax_.get_legend().get_title().get_text() == "Mean weight"


def marks(display):
    """Colour of each row of marks above the bars, and how much of its height each mark has."""
    return [
        (to_hex(row.get_facecolor()).upper(), (np.subtract(*heights(row)) / (0.8 * ROW)).round(9).tolist())
        for row in display.ax_.patches[len(display.bars_) :]
    ]


def test_who_lacks_a_modality_has_a_mark_in_its_colour():
    display = ModalityAttentionDisplay.from_predictions(WEIGHTS, risk=[3, 1, 4, 2])
    colors = modality_colors(WEIGHTS.columns)
    assert marks(display) == [(colors["wsi"], [0, 0, 0, 1]), (colors["clinical"], [0, 0, 0, 1])]
    top, bottom = heights(display.ax_.patches[3])
    assert 1 < bottom < top.max() < display.ax_.get_ylim()[1]
    assert "missing" in [label.get_text() for label in display.ax_.get_yticklabels()]
    complete = ModalityAttentionDisplay.from_predictions(WEIGHTS.drop("C"))
    assert marks(complete) == []
    assert complete.ax_.get_ylim() == (0, 1)


def test_marks_are_as_high_as_the_share_of_patients_who_lack_the_modality():
    weights = pd.DataFrame({"wsi": np.where(np.arange(40) % 10 < 3, 0.0, 0.5)}).assign(rna=lambda table: 1 - table)
    display = ModalityAttentionDisplay.from_predictions(weights, risk=np.arange(40)).plot(max_bars=8)
    assert marks(display) == [("#0072B2", [0.6, 0, 0.6, 0, 0.6, 0, 0.6, 0])]


def test_a_panel_without_marks_does_not_hide_those_of_the_panel_that_shares_its_axis():
    _, axes = plt.subplots(1, 2, sharey=True, figsize=(7, 4))
    panels = [WEIGHTS, WEIGHTS.drop("C")]
    first, _ = (ModalityAttentionDisplay.from_predictions(weights, ax=ax) for weights, ax in zip(panels, axes))
    assert heights(first.ax_.patches[-1])[0].max() < axes[0].get_ylim()[1]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["0.0", "0.5", "1.0", "missing"]


def test_in_large_cohorts_as_much_is_marked_as_is_missing():
    lacks = np.random.default_rng(0).random(1000) < 0.29
    weights = pd.DataFrame({"wsi": np.where(lacks, 0.0, 0.5)}).assign(rna=lambda table: 1 - table)
    display = ModalityAttentionDisplay.from_predictions(weights, risk=np.arange(1000))
    display.figure_.set_dpi(400)
    display.figure_.canvas.draw()
    picture = np.asarray(display.figure_.canvas.buffer_rgba())
    row = Bbox([[0, 1 + GAP], [1000, 1 + GAP + 0.8 * ROW]]).transformed(display.ax_.transData)
    (left, low), (right, high) = row.get_points().round().astype(int)
    strip = picture[len(picture) - high : len(picture) - low, left:right, :3]
    assert np.isclose((strip == picture[0, 0, :3]).all(axis=2).mean(), 1 - lacks.mean(), atol=0.04)


def test_the_label_says_of_how_many_patients_bars_are_means():
    weights = pd.DataFrame({"wsi": np.full(100, 0.4), "rna": 0.6})
    display = ModalityAttentionDisplay.from_predictions(weights, risk=np.arange(100))
    assert "mean" not in ModalityAttentionDisplay.from_predictions(WEIGHTS).ax_.get_xlabel()
    for max_bars, said in ((20, "mean of 5 patients"), (8, "mean of 12 or 13 patients")):
        label = display.plot(max_bars=max_bars).ax_.get_xlabel().replace("\n", " ")
        assert label == f"Patient, from low to high risk (each bar: {said})"


def test_from_estimator_goes_through_a_pipeline():
    cohort = make_multimodal_survival(n_patients=30, n_genes=10, n_tiles=3, missing=0.2, random_state=0)
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, random_state=0, embedding_dim=8)
    pipeline = make_pipeline("passthrough", model).fit(cohort.X, cohort.y)
    display = ModalityAttentionDisplay.from_estimator(pipeline, cohort.X)

    fitted = pipeline[-1]
    order = cohort.X.index[np.argsort(fitted.predict(cohort.X), kind="stable")]
    pd.testing.assert_frame_equal(display.attention, fitted.modality_attention(cohort.X).loc[order])
    for name, m in [("wsi", 0), ("rna", 1)]:
        top, bottom = heights(display.bars_[m])
        lacks_it = (fitted.modality_attention(cohort.X).loc[order, name] == 0).to_numpy()
        assert lacks_it.sum() == 3
        assert (top[lacks_it] == bottom[lacks_it]).all()


def test_a_fusion_without_weights_is_named():
    cohort = make_multimodal_survival(n_patients=20, n_genes=10, n_tiles=3, random_state=0)
    model = FusionSurvivalAnalysis(fusion=Concat(), n_estimators=1, max_epochs=1, embedding_dim=8).fit(
        cohort.X, cohort.y
    )
    with pytest.raises(AttributeError, match="modality_attention"):
        ModalityAttentionDisplay.from_estimator(model, cohort.X)


@pytest.mark.parametrize(
    ("weights", "risk", "error", "message"),
    [
        (WEIGHTS.replace(0.7, 0.9), None, ValueError, "weights of patient 'B' are \\[0.9, 0.1, 0.2\\]"),
        (WEIGHTS - [1, -1, 0], None, ValueError, "weights of patient 'A'.*normalises"),
        (WEIGHTS, [1, 2], ValueError, "risk has 2 values, but attention has 4 patients"),
        (WEIGHTS.iloc[:0], None, ValueError, r"attention has shape \(0, 3\), but a row per patient"),
        (WEIGHTS[[]], None, ValueError, r"attention has shape \(4, 0\), but"),
        (WEIGHTS.to_numpy(), None, TypeError, "must be a DataFrame.*got ndarray"),
    ],
)
def test_unusable_weights_are_named(weights, risk, error, message):
    with pytest.raises(error, match=message):
        ModalityAttentionDisplay.from_predictions(weights, risk)


def test_no_bars_at_all_are_refused():
    display = ModalityAttentionDisplay.from_predictions(WEIGHTS)
    with pytest.raises(ValueError, match=r"'max_bars' parameter of ModalityAttentionDisplay.plot must be an int"):
        display.plot(max_bars=0)
