"""Saved models that were damaged or edited, many at random, are refused by name."""

import importlib.util
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.persistence._integrity import check_times

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_models.py"


@pytest.fixture(scope="module")
def fuzz_models():
    """The script that edits models, as a module."""
    spec = importlib.util.spec_from_file_location("fuzz_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_edit_is_obscure_or_silent(fuzz_models):
    results = list(fuzz_models.fuzz(120, seed=1))
    counts = Counter(verdict for verdict, *_ in results)
    assert [one for one in results if one[0] not in ("named", "harmless")] == []
    assert counts["named"] >= 100


def test_without_checksums_nothing_crashes(fuzz_models):
    verdicts = Counter(verdict for verdict, *_ in fuzz_models.fuzz(60, seed=2, with_checksums=False))
    assert verdicts["crash"] == 0
    assert verdicts["named"] > verdicts["silent"] + verdicts["obscure"]


@pytest.fixture(scope="module")
def fitted(make_cohort):
    cohort = make_cohort()
    params = {"n_estimators": 1, "embedding_dim": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}
    return FusionSurvivalAnalysis(objective=CoxPH(), **params).fit(cohort.X, cohort.y), cohort


@pytest.fixture
def edited(fitted, tmp_path):
    """The path of the saved model after its parameters, weights or manifest were changed."""

    def edit(parameters=None, weights=None, manifest=None, keep_checksums=True):
        path = tmp_path / "model.zip"
        save_model(fitted[0], path, overwrite=True)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for name, change in {"parameters.json": parameters, "manifest.json": manifest}.items():
            tree = json.loads(members[name])
            if change is not None:
                change(tree)
            if name == "manifest.json" and not keep_checksums:
                del tree["checksums"]
            members[name] = json.dumps(tree).encode()
        if weights is not None:
            tensors = load_tensors(members["weights.safetensors"])
            weights(tensors)
            members["weights.safetensors"] = save_tensors(tensors)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return edit


def nudge(tensors):
    tensors["net_/head.weight"][0, 0] += 1e-3


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"weights": nudge}, "weights.safetensors"),
        ({"parameters": lambda tree: tree["network"]["state"].update(normalization="minmax")}, "parameters.json"),
        ({"parameters": lambda tree: tree["network"]["state"].update(lr=0.5)}, "parameters.json"),
        ({"manifest": lambda tree: tree["feature_names"].reverse()}, "manifest.json"),
        ({"manifest": lambda tree: tree["checksums"].pop("parameters.json")}, "parameters.json"),
    ],
)
def test_a_change_that_can_be_loaded_is_refused_with_the_member(edited, change, member):
    with pytest.raises(ValueError, match=rf"checksums tell that '{member}' was changed after the model was saved"):
        load_model(edited(**change))


def test_what_is_wrong_is_said_beside_what_was_changed(edited):
    path = edited(weights=lambda tensors: tensors.pop("net_/head.weight"))
    with pytest.raises(ValueError, match=r"lacks weight: 'head\.weight'\. .* that 'weights\.safetensors' was changed"):
        load_model(path)


def test_the_layout_of_json_does_not_count(edited, fitted):
    model, cohort = fitted
    loaded = load_model(edited())  # parameters and manifest are written without indentation here
    np.testing.assert_array_equal(loaded.predict(cohort.X), model.predict(cohort.X))


def test_files_of_before_there_were_checksums_are_read(edited, fitted):
    model, cohort = fitted
    loaded = load_model(edited(keep_checksums=False))
    np.testing.assert_array_equal(loaded.predict(cohort.X), model.predict(cohort.X))


def set_to(name, value):
    def change(tensors):
        tensors[name].ravel()[0] = value

    return {"weights": change}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("net_/head.weight", torch.nan), r"weights that are NaN or infinite: 'head\.weight'"),
        (set_to("net_/encoders.1.standardize.scale", torch.nan), r"NaN or infinite: 'encoders\.1\.standardize\.scale'"),
        (set_to("net_/encoders.1.standardize.mean", -torch.inf), r"NaN or infinite: 'encoders\.1\.standardize\.mean'"),
        (set_to("objective_/unique_times_", torch.nan), "unique_times_ of objective_ has numbers that are NaN"),
        (set_to("objective_/unique_times_", -1.0), "unique_times_ of objective_ must be .* not negative"),
        (set_to("objective_/unique_times_", 1e30), "unique_times_ of objective_ must be increasing"),
        (set_to("objective_/log_baseline_hazard_", torch.inf), "log_baseline_hazard_ of objective_ has numbers"),
        (set_to("unique_times_", 0.01), "unique_times_ are not those of the objective_"),
    ],
)
def test_numbers_that_cannot_predict_are_refused_without_checksums(edited, change, message):
    with pytest.raises(ValueError, match=message):
        load_model(edited(**change, keep_checksums=False))


def swap_modalities(tree):
    tree["network"]["state"]["modalities_"].reverse()


def swap_columns(tree):
    rna = tree["network"]["state"]["modalities_"][1]["state"]
    rna["columns"] = rna["columns"][::-1]


def no_loss(tree):
    pairs = tree["epochs"][0]["dict"]
    pairs[:] = [pair for pair in pairs if pair[0] != "train_loss"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_modalities, "weights.safetensors lacks weight: 'encoders.0"),
        (swap_columns, "features 'G0', 'G1', 'G2', 'G3' of modality 'rna', whose columns are 'rna__G3', 'rna__G2'"),
        (
            lambda tree: tree["network"]["state"].update(n_features_in_=10**9),
            "n_features_in_=1000000000, but has 5 feature_names_in_",
        ),
        (lambda tree: tree.update(epochs=[]), r"epochs=\[\], where a list"),
        (no_loss, "an epoch whose train_loss is no number"),
        (lambda tree: tree["network"]["state"].update(modalities_=3), "modalities_=3, where a list"),
        (lambda tree: tree["network"]["state"].update(lr=float("nan")), "parameters.json holds NaN, which JSON"),
        (lambda tree: tree["network"]["state"].update(checkpoint_dir="mine"), "checkpoint_dir='mine', which is never"),
    ],
)
def test_parameters_that_do_not_belong_together_are_refused_without_checksums(edited, change, message):
    with pytest.raises(ValueError, match=message):
        load_model(edited(parameters=change, keep_checksums=False))


def test_a_model_that_cannot_predict_is_not_saved(make_cohort, tmp_path):
    cohort = make_cohort()
    model = FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu").fit(cohort.X, cohort.y)
    with torch.no_grad():
        model.net_.module_.head.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"cannot be saved.* NaN or infinite: 'head\.bias'"):
        save_model(model, tmp_path / "model.zip")
    assert list(tmp_path.iterdir()) == []


def test_late_fusion_with_risks_that_are_nan_is_not_saved(make_cohort, tmp_path):
    cohort = make_cohort()
    network = FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu")
    model = LateFusionSurvivalAnalysis([("wsi", network)], cv=2).fit(cohort.X.iloc[:, :1], cohort.y)
    model._models[0].reference[3] = np.nan
    with pytest.raises(ValueError, match="risks of the training patients of 'wsi' are not a list of finite numbers"):
        save_model(model, tmp_path / "model.zip")


@pytest.mark.parametrize("path", [3, None, [], {}, np.nan, b"model.zip"], ids=repr)
def test_a_path_that_is_none(fitted, path):
    with pytest.raises(
        TypeError, match=r"path must be the path of a file, .* got (int|NoneType|list|dict|float|bytes)"
    ):
        load_model(path)
    with pytest.raises(TypeError, match="path must be the path of a file"):
        save_model(fitted[0], path)


def test_an_overwrite_that_is_no_switch(fitted, tmp_path):
    with pytest.raises(TypeError, match="overwrite must be True or False, got 'no'"):
        save_model(fitted[0], tmp_path / "model.zip", overwrite="no")


@pytest.mark.parametrize("trusted", [3, None, "name", ["name"]])
def test_trusted_that_is_no_list_of_classes(edited, trusted):
    with pytest.raises(TypeError, match="trusted must be a list of classes or functions"):
        load_model(edited(), trusted=trusted)


def test_an_objective_may_have_a_single_time():
    check_times([3.0], "unique_times_")
    with pytest.raises(ValueError, match="must be a list of times"):
        check_times([], "unique_times_")
