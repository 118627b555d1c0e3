"""Ensembles come back with all their members, and a file whose members do not belong together is refused."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from members import lacking, network
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.base import clone
from skorch.callbacks import GradientNormClipping

from sksurv_mmf import load_model, save_model
from sksurv_mmf.encoders import AttentionMIL, PathwaySNN
from sksurv_mmf.fusions import CoAttention, CrossModalAttention, SurvPath
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull

GENE_SETS = {"one": ["G0", "G1"], "two": ["G1", "G2", "G3"]}
DESIGNS = {
    "default": {"bags": AttentionMIL(6, 4), "fusion": CrossModalAttention(hidden_dim=4)},
    "Cox": {"bags": AttentionMIL(6, 4, batch_norm=True), "objective": CoxPH()},
    "Weibull": {"objective": Weibull(), "fusion": CoAttention(n_heads=2, n_layers=1, feedforward_dim=8)},
    "gene sets": {"vectors": PathwaySNN(GENE_SETS, hidden_dim=4, min_genes=2), "fusion": SurvPath(hidden_dim=4)},
    "one length": {"average_epochs": False, "objective": DiscreteHazard(3)},
}


@pytest.fixture(scope="module")
def patients(make_cohort):
    cohort = make_cohort()
    return lacking(cohort.X), cohort.y


@pytest.fixture(scope="module")
def fitted(patients):
    return network(AttentionMIL(6, 4)).fit(*patients)


@pytest.mark.parametrize("params", DESIGNS.values(), ids=DESIGNS)
def test_they_come_back(patients, tmp_path, params):
    X, y = patients
    model = network(**params).fit(X, y)
    save_model(model, tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip")
    save_model(loaded, tmp_path / "again.zip")
    for other in (loaded, load_model(tmp_path / "again.zip"), clone(loaded).fit(X, y)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        curves = [one.predict_survival_function(X, return_array=True, return_std=True) for one in (other, model)]
        np.testing.assert_array_equal(*curves)
        pd.testing.assert_frame_equal(other.transform(X), model.transform(X))
        if hasattr(model, "modality_attention"):
            pd.testing.assert_frame_equal(other.modality_attention(X), model.modality_attention(X))
        assert hasattr(other, "length_shares_") == hasattr(model, "length_shares_") == model.average_epochs
        if model.average_epochs:
            pd.testing.assert_series_equal(other.length_shares_, model.length_shares_)
        pd.testing.assert_frame_equal(other.history_, model.history_)
        np.testing.assert_array_equal(other.risk_times_, model.risk_times_)
        assert other.oob_score_ == model.oob_score_
    assert loaded.get_params().keys() == model.get_params().keys()


def test_curves_of_training_patients_stay_at_home(fitted, patients, tmp_path):
    save_model(fitted, tmp_path / "model.zip")
    assert not hasattr(load_model(tmp_path / "model.zip"), "oob_survival_function_")
    assert hasattr(fitted, "oob_survival_function_")


def test_callbacks_are_left_out_of_members_too(patients, tmp_path):
    X, y = patients
    model = network(callbacks=[GradientNormClipping(1.0)]).fit(X, y)
    with pytest.warns(UserWarning, match="callbacks"):
        save_model(model, tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip")
    assert [one.callbacks for one in (loaded, *loaded.estimators_)] == [None] * 4
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.fixture
def edited(fitted, tmp_path):
    """The path of the saved model after its parameters or weights were changed, with no checksums to tell."""

    def edit(parameters=None, weights=None):
        path = tmp_path / "model.zip"
        save_model(fitted, path, overwrite=True)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        manifest, tree = (json.loads(parts[name]) for name in ("manifest.json", "parameters.json"))
        del manifest["checksums"]
        if parameters is not None:
            parameters(tree)
        parts |= {"manifest.json": json.dumps(manifest), "parameters.json": json.dumps(tree)}
        if weights is not None:
            tensors = load_tensors(parts["weights.safetensors"])
            weights(tensors)
            parts["weights.safetensors"] = save_tensors(tensors)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return path

    return edit


def test_without_an_edit_it_is_read(edited, fitted, patients):
    np.testing.assert_array_equal(load_model(edited()).predict(patients[0]), fitted.predict(patients[0]))


def swap_columns(tree):
    """Another order of the genes, in the second member."""
    state = tree["members"][1]["network"]["state"]
    rna = next(one["state"] for one in state["modalities_"] if one["state"]["name"] == "rna")
    rna["columns"] = rna["columns"][::-1]
    rna["feature_names"] = rna["feature_names"][::-1]


def fill(name, value):
    def change(tensors):
        tensors[name].ravel()[0] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["ensemble"]["state"].update(n_estimators=5), "n_estimators=5, but has 3 members"),
        (lambda tree: tree["ensemble"]["state"].update(n_estimators=1), "n_estimators=1, but has 3 members"),
        (lambda tree: tree["ensemble"]["state"].update(n_estimators=0), "'n_estimators' parameter"),
        (lambda tree: tree["ensemble"]["state"].update(max_samples=7.5), "'max_samples' parameter"),
        (lambda tree: tree.update(members=3), "an ensemble that is none of networks"),
        (lambda tree: tree["members"].pop(), "unexpected array|has 2 members"),
        (lambda tree: tree["ensemble"]["state"].update(n_features_in_=4), "members that read other columns"),
        (swap_columns, "members that read other columns"),
        (lambda tree: tree["ensemble"]["state"].pop("risk_times_"), "risk_times_=None, where increasing times"),
        (lambda tree: tree["members"][2].update(epochs=[]), r"epochs=\[\], where a list"),
    ],
)
def test_members_that_do_not_belong_together_are_refused(edited, change, message):
    with pytest.raises(ValueError, match=message):
        load_model(edited(parameters=change))


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite")])
def test_weights_of_any_member_that_cannot_predict_are_refused(edited, k, value, message):
    with pytest.raises(ValueError, match=message):
        load_model(edited(weights=fill(f"{k}/net_/head.weight", value)))


@pytest.mark.parametrize("name", ["unique_times_", "risk_times_"])
@pytest.mark.parametrize("value", [np.nan, -1.0, 1e30])
def test_times_that_no_curve_can_have_are_refused(edited, name, value):
    with pytest.raises(ValueError, match=rf"(?s){name}=.* where increasing times are expected"):
        load_model(edited(weights=fill(name, value)))


def test_a_member_that_lacks_weights_is_refused(edited):
    with pytest.raises(ValueError, match=r"lacks weight: 'head\.weight'"):
        load_model(edited(weights=lambda tensors: tensors.pop("1/net_/head.weight")))
