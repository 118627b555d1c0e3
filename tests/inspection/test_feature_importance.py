import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import Identity
from sksurv_mmf.fusions import Mean
from sksurv_mmf.inspection import FeatureImportance, feature_importance, integrated_gradients
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.plotting import modality_colors
from sksurv_mmf.preprocessing import make_modality_transformer

LINEAR = {"n_estimators": 1, "normalization": None, "lr": 0.02, "max_epochs": 15, "random_state": 0, "device": "cpu"}


def most_events(X, y):
    """A score of each column for SelectKBest."""
    return np.abs(np.corrcoef(X.T, y["time"] * (y["event"] - 0.5))[:-1, -1])


def linear_model():
    return FusionSurvivalAnalysis([("rna", Identity())], Mean(), CoxPH(), **LINEAR)


@pytest.fixture(scope="module")
def genes():
    """Patients whose hazard depends on the first two of 30 genes, up in one and down in the other."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 30)), columns=[f"rna__G{i}" for i in range(30)])
    time = rng.exponential(np.exp(-1.5 * X["rna__G0"] + 1.5 * X["rna__G1"]))
    y = np.array(list(zip(rng.random(120) < 0.8, time)), dtype=[("event", bool), ("time", float)])
    return X, y


@pytest.fixture(scope="module")
def selected(genes):
    prepare = make_modality_transformer(rna=make_pipeline(StandardScaler(), SelectKBest(most_events, k=8)))
    model, cv = make_pipeline(prepare, linear_model()), SurvivalKFold(3)
    return model, cv, feature_importance(model, *genes, cv=cv, top_k=2)


def test_signal_genes_lead_in_all_folds_with_their_direction(selected):
    *_, importance = selected
    table = importance.table
    assert set(table.index[:2]) == {"rna__G0", "rna__G1"}
    assert table["top_k"][:2].tolist() == [1, 1]
    assert table["top_k"][2:].tolist() == [0] * (len(table) - 2)
    # Of a linear risk, attribution and feature are perfectly correlated.
    assert table.loc[["rna__G0", "rna__G1"], "direction"].tolist() == pytest.approx([1, -1], abs=1e-4)


def test_each_fold_is_judged_by_its_own_model_on_its_own_test_patients(selected, genes):
    model, cv, importance = selected
    X, y = genes
    for fold, (train, test) in enumerate(cv.split(X, y)):
        found = integrated_gradients(model.fit(X.iloc[train], y[train]), X.iloc[test])
        pd.testing.assert_frame_equal(importance.attributions.loc[fold][found.columns], found, check_names=False)
        size = found.abs().mean()
        np.testing.assert_allclose(importance.per_fold.loc[found.columns, fold], size / size.sum(), rtol=1e-5)


def test_a_gene_that_was_not_selected_counts_as_zero(selected):
    *_, importance = selected
    np.testing.assert_allclose(importance.per_fold.sum(), 1, rtol=1e-5)
    lacking = importance.per_fold == 0
    assert lacking.to_numpy().any()
    np.testing.assert_allclose(importance.table["selected"], 1 - lacking.mean(axis=1))
    np.testing.assert_allclose(importance.table["importance"], importance.per_fold.mean(axis=1))
    assert (importance.table["selected"] * 3).sum() == pytest.approx(24)  # eight genes in each of three folds


def test_prefit_explains_the_given_patients(genes):
    X, y = genes
    model = linear_model().fit(X[:80], y[:80])
    importance = feature_importance(model, X[80:], cv="prefit", top_k=2)
    found = integrated_gradients(model, X[80:])
    expected = (found.abs().mean() / found.abs().mean().sum()).sort_values(ascending=False)
    np.testing.assert_allclose(importance.table["importance"], expected, rtol=1e-5)
    assert importance.table.index.tolist() == expected.index.tolist()


def test_ignored_features_are_never_among_the_first():
    values = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, 0.0, 2.0]})
    table = FeatureImportance([(values, values * [2, 0]), (values, values * 0)], top_k=5).table
    assert table.loc["b", ["importance", "direction", "top_k", "selected"]].tolist() == [0, 0, 0, 1]
    assert table.loc["a", ["importance", "top_k"]].tolist() == [0.5, 0.5]


def test_the_picture_shows_the_first_features_with_their_folds(selected):
    *_, importance = selected
    ax = importance.plot(n_features=5).ax_
    names = importance.table.index[:5].str.removeprefix("rna__")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [f"{name}  {3 if name in ('G0', 'G1') else 0}/3" for name in names]
    widths = sorted((bar.get_width() for bar in ax.patches), reverse=True)
    np.testing.assert_allclose(widths, importance.table["importance"][:5])
    for fold, dots in enumerate(ax.lines):
        np.testing.assert_array_equal(dots.get_xdata(), importance.per_fold[fold][:5])
    lowers = importance.table["direction"][:5] < 0
    assert [to_hex(bar.get_facecolor()) == "#ffffff" for bar in ax.patches] == lowers.tolist()
    assert {to_hex(bar.get_edgecolor()).upper() for bar in ax.patches} == {modality_colors(["rna"])["rna"]}


def test_no_features_at_all_are_refused():
    values = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    with pytest.raises(ValueError, match=r"'n_features' parameter of FeatureImportance.plot must be an int.* Got 0"):
        FeatureImportance([(values, values)]).plot(n_features=0)
