"""A saved late fusion comes back as it was, with whatever models it holds."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree._tree import Tree
from sksurv.ensemble import RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis, IPCRidge
from sksurv.tree import SurvivalTree

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.encoders import AttentionMIL
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.preprocessing import BagPooling, make_modality_transformer

NETWORK = FusionSurvivalAnalysis(
    [("wsi", AttentionMIL(4, 4))], embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0
)
POOLED = make_pipeline(BagPooling(["mean", "max"]), StandardScaler(), CoxPHSurvivalAnalysis(alpha=10))
COXNET = CoxnetSurvivalAnalysis(fit_baseline_model=True)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    cohort = make_cohort()
    cohort.X = cohort.X.assign(clinical__age=50.0 + np.arange(30) % 7)
    cohort.X.iloc[0, 0] = pd.NA
    cohort.X.iloc[1, 1:5] = np.nan
    return cohort


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.zip"


def late_fusion(image=POOLED, rna=COXNET, **params):
    modalities = [("wsi", image), ("rna", rna, slice(1, 5)), ("clinical", IPCRidge(), ["clinical__age"])]
    return LateFusionSurvivalAnalysis(modalities, **({"cv": 3} | params))


def saved_and_loaded(model, path, **kwargs):
    save_model(model, path)
    return load_model(path, **kwargs)


def assert_same(loaded, model, X):
    assert_array_equal(loaded.predict(X), model.predict(X))
    for method in ("predict_survival_function", "predict_cumulative_hazard_function"):
        assert_array_equal(*(getattr(one, method)(X, return_array=True) for one in (loaded, model)))


def assert_same_attributes(loaded, model):
    assert_series_equal(loaded.weights_, model.weights_)
    if model.cv is not None:
        assert_frame_equal(loaded.held_out_ranks_, model.held_out_ranks_.reset_index(drop=True))
    if model.combine == "curves":
        assert_frame_equal(loaded.brier_scores_, model.brier_scores_)
        assert loaded.silenced_ == model.silenced_
    assert_array_equal(loaded.unique_times_, model.unique_times_)
    assert list(loaded.estimators_) == list(model.estimators_)
    assert str(loaded.get_params()) == str(model.get_params())


@pytest.mark.parametrize("params", [{}, {"combine": "stack", "cv": SurvivalKFold(3), "alpha": 0.5}], ids=str)
@pytest.mark.parametrize("image", [POOLED, NETWORK], ids=["pooled", "network"])
def test_alone(cohort, path, image, params):
    model = late_fusion(image, **params).fit(cohort.X, cohort.y)
    loaded = saved_and_loaded(model, path)
    assert_same(loaded, model, cohort.X)
    assert_frame_equal(loaded.modality_ranks(cohort.X), model.modality_ranks(cohort.X))
    assert_same_attributes(loaded, model)


CURVES = [
    {"cv": 3},
    {"cv": None, "weights": [0, 1, 2]},
    {"cv": SurvivalKFold(3), "weights": {"network": 2, "rna": 1, "clinical": 1}},
]


@pytest.mark.parametrize("params", CURVES, ids=str)
@pytest.mark.filterwarnings("ignore:.*silenced:UserWarning")
def test_a_mean_of_curves(cohort, path, params):
    cox = CoxPHSurvivalAnalysis(alpha=1.0)
    members = [
        ("network", clone(NETWORK).set_params(modalities=None), ["wsi", "rna"]),
        ("rna", COXNET),
        ("clinical", cox),
    ]
    model = LateFusionSurvivalAnalysis(members, combine="curves", **params).fit(cohort.X, cohort.y)
    loaded = saved_and_loaded(model, path)
    for again in (loaded, saved_and_loaded(loaded, path.with_name("again.zip")), clone(loaded).fit(cohort.X, cohort.y)):
        assert_same(again, model, cohort.X)
    assert_same_attributes(loaded, model)
    assert_frame_equal(loaded.modality_ranks(cohort.X), model.modality_ranks(cohort.X))


def test_in_a_pipeline_beside_another_and_fitted_again(cohort, path):
    inner = LateFusionSurvivalAnalysis([("rna", COXNET), ("clinical", IPCRidge())], cv=3)
    X, y = cohort.X, cohort.y
    outer = LateFusionSurvivalAnalysis([("wsi", NETWORK), ("table", inner, list(X.columns[1:]))], cv=3)
    model = Pipeline([("prepare", make_modality_transformer(rna=StandardScaler())), ("fuse", outer)]).fit(X, y)
    loaded = saved_and_loaded(model, path)
    for again in (loaded, saved_and_loaded(loaded, path.with_name("again.zip")), clone(loaded).fit(X, y)):
        assert_same(again, model, X)
    assert_same_attributes(loaded[-1], model[-1])
    assert_same_attributes(loaded[-1].estimators_["table"], model[-1].estimators_["table"])
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("manifest.json"))["networks"].keys() == {"fuse/wsi"}


def test_the_file_names_no_patient(cohort, path):
    X = cohort.X.set_axis([f"Jane Doe {i}" for i in range(30)])
    save_model(late_fusion(NETWORK).fit(X, cohort.y), path)
    assert b"Jane" not in path.read_bytes()


def test_forests_are_refused_by_name_unless_trusted(cohort, path):
    forest = make_pipeline(StandardScaler(), RandomSurvivalForest(2, random_state=0))
    model = late_fusion(rna=forest).fit(cohort.X, cohort.y)
    save_model(model, path)
    with pytest.raises(ValueError, match=r"\d\.skops.*'sklearn\.tree\._tree\.Tree', .*SurvivalTree.*trusted=\["):
        load_model(path)
    assert_same(load_model(path, trusted=[Tree, SurvivalTree, RandomSurvivalForest]), model, cohort.X)


def test_what_cannot_be_saved_is_named(cohort, path):
    def fitted(*args, **params):
        return Pipeline([("fuse", late_fusion(*args, **params))]).fit(cohort.X, cohort.y)

    search = GridSearchCV(NETWORK, {"lr": [0.01]}, cv=2)
    with pytest.raises(ValueError, match=r"^Step 'fuse/wsi' \(GridSearchCV\) cannot .*Save its best_estimator_"):
        save_model(fitted(search), path)
    chosen = late_fusion()
    chosen.modalities[2] = ("clinical", IPCRidge(), lambda X: ["clinical__age"])
    with pytest.raises(ValueError, match=r"Step 'fuse' \(Late.* cannot be saved: fuse/modalities/2/2 is of the type"):
        save_model(Pipeline([("fuse", chosen)]).fit(cohort.X, cohort.y), path)
    nameless = make_pipeline(FunctionTransformer(lambda X: X), COXNET)
    with pytest.raises(ValueError, match=r"cannot be saved, because it could not be loaded again: .*lambda"):
        save_model(fitted(rna=nameless), path)
    folds = PredefinedSplit(np.arange(30) % 3)
    save_model(fitted(cv=folds), path)
    with pytest.raises(ValueError, match=r"'sklearn\.model_selection\._split\.PredefinedSplit', .*trusted=\["):
        load_model(path)
    assert_array_equal(load_model(path, trusted=[PredefinedSplit])[0].cv.test_fold, folds.test_fold)
    search = GridSearchCV(late_fusion(), {"alpha": [1.0]}, cv=2).fit(cohort.X, cohort.y)
    with pytest.raises(ValueError, match=r"\(GridSearchCV\) cannot .* best_estimator_ .*Save its best_estimator_"):
        save_model(search, path, overwrite=True)


@pytest.fixture(scope="module")
def saved(cohort, tmp_path_factory):
    """A saved late fusion as a dict of members."""
    path = tmp_path_factory.mktemp("saved") / "model.zip"
    save_model(late_fusion().fit(cohort.X, cohort.y), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: node["late_fusion"]["state"].update(_fit_models="x"), "an unknown '_fit_models'"),
        (lambda node: node["late_fusion"]["state"].update(combine="eval"), "'combine' parameter of Late"),
        (lambda node: node["late_fusion"].update(object="sksurv_mmf.CoxPH", state={}), "CoxPH where a late fusion"),
        (lambda node: node["late_fusion"].update(object="os.system"), "the class 'os.system', which load_model does"),
        (lambda node: node["holds"].pop(0), "models of 'rna', 'clinical', but columns of others"),
        (lambda node: node["holds"][0].__setitem__(0, "other"), "models of 'other', 'rna', .*, but columns of others"),
        (lambda node: node["holds"][1].__setitem__(1, {"import": "os"}), "an unknown step 'import'"),
        (lambda node: node["holds"][1].__setitem__(1, "os"), "Cannot clone object '+os"),
        (lambda node: node["holds"][-1].__setitem__(1, "os"), "'cv' parameter of Late"),
    ],
)
def test_changed_files_are_refused(saved, path, change, message):
    node = json.loads(saved["parameters.json"])
    change(node)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (saved | {"parameters.json": json.dumps(node)}).items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=message):
        load_model(path)
