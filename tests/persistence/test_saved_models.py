"""A saved model comes back as it was: the same predictions, curves and explanations, to the bit."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load as load_tensors
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler
from sksurv.ensemble import ComponentwiseGradientBoostingSurvivalAnalysis, RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis, IPCRidge
from sksurv.preprocessing import OneHotEncoder as SurvivalOneHotEncoder
from sksurv.svm import FastKernelSurvivalSVM, FastSurvivalSVM
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis, encoders, fusions, load_model, objectives, preprocessing, save_model
from sksurv_mmf.encoders import (
    MLP,
    SNN,
    AttentionMIL,
    DeepAttnMISL,
    Encoder,
    Identity,
    MaxMIL,
    MeanMIL,
    PathwaySNN,
    TileTokens,
    TransformerMIL,
)
from sksurv_mmf.fusions import (
    Bilinear,
    CoAttention,
    Concat,
    CrossModalAttention,
    Fusion,
    GatedAttention,
    Mean,
    SurvPath,
)
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Objective, Weibull
from sksurv_mmf.persistence._foreign import known_types
from sksurv_mmf.persistence._tree import full_name, subclasses
from sksurv_mmf.preprocessing import (
    BagTransformer,
    CoxElasticNetSelector,
    MinMaxNormalizer,
    PresentPatients,
    make_modality_transformer,
)

GENE_SETS = {"one": ["G0", "G1"], "two": ["G1", "G2", "G3"]}

DESIGNS = [
    (AttentionMIL(4, 4), SNN(4, n_layers=2), CrossModalAttention(hidden_dim=4), DiscreteHazard()),
    (AttentionMIL(4, 4, batch_norm=True), MLP(4), CrossModalAttention(shared=False, activation="relu"), CoxPH()),
    (MeanMIL(4), Identity(), Concat(), DiscreteHazard(3, alpha=0.2, interpolation="step", proportional=False)),
    (MaxMIL(4), SNN(4), Mean(), CoxPH("breslow")),
    (DeepAttnMISL(3, hidden_dim=4, attention_dim=4), SNN(4), GatedAttention(4), DiscreteHazard()),
    (TransformerMIL(4, n_heads=2, n_layers=1, n_inducing=2), SNN(4), Bilinear(scale=2, hidden_dim=4), DiscreteHazard()),
    (TileTokens(), PathwaySNN(GENE_SETS, hidden_dim=4, min_genes=2), SurvPath(hidden_dim=4), DiscreteHazard()),
    (
        TileTokens("relu"),
        PathwaySNN(GENE_SETS, hidden_dim=4, min_genes=2),
        CoAttention(n_heads=2, n_layers=1, feedforward_dim=4, hidden_dim=4),
        CoxPH(),
    ),
    (MeanMIL(4), SNN(4), Mean(), Weibull()),
]


def network(*parts, **params):
    tiny = {
        "n_estimators": 1,
        "embedding_dim": 4,
        "max_epochs": 2,
        "lr": 0.01,
        "batch_size": 15,
        "device": "cpu",
        "random_state": 0,
    }
    wsi, rna, fusion, objective = parts or DESIGNS[0]
    return FusionSurvivalAnalysis([("wsi", wsi), ("rna", rna)], fusion, objective, **(tiny | params))


@pytest.fixture(scope="module")
def cohort(make_cohort):
    cohort = make_cohort()
    cohort.X.iloc[0, 0] = pd.NA
    cohort.X.iloc[1, 1:] = np.nan
    return cohort


@pytest.fixture(scope="module")
def fitted(cohort):
    return network().fit(cohort.X, cohort.y)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.zip"


def saved_and_loaded(model, path, **kwargs):
    save_model(model, path)
    return load_model(path, **kwargs)


def assert_same_predictions(loaded, model, X):
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for method in ("predict_survival_function", "predict_cumulative_hazard_function"):
        if hasattr(model, method):
            curves = [getattr(one, method)(X, return_array=True) for one in (loaded, model)]
            np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize("parts", DESIGNS, ids=lambda parts: "-".join(type(one).__name__ for one in parts))
def test_every_encoder_fusion_and_objective_comes_back(cohort, path, parts, global_random_state, device):
    model = network(*parts, device=device).fit(cohort.X, cohort.y)
    before = global_random_state()
    loaded = saved_and_loaded(model, path)
    assert global_random_state() == before
    assert_same_predictions(loaded, model, cohort.X)
    pd.testing.assert_frame_equal(loaded.transform(cohort.X), model.transform(cohort.X))
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    assert str(loaded.get_params()) == str(model.get_params())
    assert str(loaded.modalities_) == str(model.modalities_)


@pytest.mark.parametrize(("module", "base"), [(encoders, Encoder), (fusions, Fusion), (objectives, Objective)])
def test_no_design_is_forgotten_here(module, base):
    here = {type(part) for parts in DESIGNS for part in parts}
    public = {getattr(module, name) for name in module.__all__}
    assert {one for one in subclasses(base) if one in public} <= here


def test_explanations_and_attributes_come_back(cohort, fitted, path):
    loaded = saved_and_loaded(fitted, path)
    for method in ("modality_attention", "tile_attention"):
        pd.testing.assert_frame_equal(getattr(loaded, method)(cohort.X), getattr(fitted, method)(cohort.X))
    np.testing.assert_array_equal(loaded.unique_times_, fitted.unique_times_)
    np.testing.assert_array_equal(loaded.feature_names_in_, fitted.feature_names_in_)
    assert loaded.net_.history[:, ("epoch", "train_loss")] == fitted.net_.history[:, ("epoch", "train_loss")]


def test_a_loaded_model_can_be_fitted_again_pickled_and_saved_again(cohort, fitted, path):
    loaded = saved_and_loaded(fitted, path)
    again = saved_and_loaded(loaded, path.with_name("again.zip"))
    for model in (clone(loaded).fit(cohort.X, cohort.y), pickle.loads(pickle.dumps(loaded)), again):
        np.testing.assert_array_equal(model.predict(cohort.X), fitted.predict(cohort.X))


def test_defaults_and_other_parameters_come_back(cohort, path):
    rare = {
        "early_stopping": True,
        "input_noise": {"rna": 0.1},
        "normalization": None,
        "optimizer": torch.optim.RMSprop,
        "standardize": False,
        "weight_decay": np.float64(0.0),
        "batch_size": np.int64(8),
    }
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=2, random_state=0, **rare).fit(cohort.X, cohort.y)
    loaded = saved_and_loaded(model, path)
    assert_same_predictions(loaded, model, cohort.X)
    assert loaded.get_params() == model.get_params()
    pd.testing.assert_frame_equal(loaded.history_, model.history_)


@pytest.mark.parametrize("columns", [slice(1, 5), ["rna__G0", "rna__G1", "rna__G2", "rna__G3"], np.arange(1, 5)])
def test_modalities_with_columns_come_back(cohort, path, columns):
    wsi, rna = AttentionMIL(4, 4), SNN(4)
    model = network().set_params(modalities=[("wsi", wsi), ("rna", rna, columns)]).fit(cohort.X, cohort.y)
    loaded = saved_and_loaded(model, path)
    assert_same_predictions(loaded, model, cohort.X)
    np.testing.assert_array_equal(loaded.modalities[1][2], columns)
    assert type(loaded.modalities[1][2]) is type(columns)


def test_an_array_without_names_comes_back(cohort, path):
    values = np.random.default_rng(0).normal(size=(30, 3))
    model = FusionSurvivalAnalysis([("all", SNN(4))], n_estimators=1, max_epochs=2).fit(values, cohort.y)
    loaded = saved_and_loaded(model, path)
    assert_same_predictions(loaded, model, values)
    assert loaded.n_features_in_ == 3
    assert not hasattr(loaded, "feature_names_in_")


class TestPipelines:
    def test_our_transformers_and_those_of_scikit_learn(self, cohort, path):
        X = cohort.X.assign(clinical__age=50.0 + np.arange(30), clinical__stage=["I", "II", "III"] * 10)
        X.loc["P002", "rna__G1"] = X.loc["P003", "clinical__age"] = np.nan
        genes = make_pipeline(
            SimpleImputer(),
            StandardScaler(),
            CoxElasticNetSelector(n_alphas=5, cv=SurvivalKFold(3), min_features=2),
            MinMaxNormalizer(),
        )
        clinical = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["clinical__age"]),
                ("words", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["clinical__stage"]),
            ],
            verbose_feature_names_out=False,
        )
        prepare = make_modality_transformer(
            wsi=make_pipeline(BagTransformer(StandardScaler()), BagTransformer(PCA(3))), rna=genes, clinical=clinical
        )
        model = Pipeline([("prepare", prepare), ("fuse", network().set_params(modalities=None))]).fit(X, cohort.y)
        loaded = saved_and_loaded(model, path)
        assert_same_predictions(loaded, model, X)
        pd.testing.assert_frame_equal(loaded[:-1].transform(X), model[:-1].transform(X))
        nobody = X.iloc[1:2]  # the patient without genes, alone
        assert_same_predictions(loaded, model, nobody)
        assert list(loaded[0].get_feature_names_out()) == list(model[0].get_feature_names_out())
        assert clone(loaded).fit(X, cohort.y).predict(X).tolist() == model.predict(X).tolist()

    def test_pipelines_in_pipelines_and_steps_that_do_nothing(self, cohort, path):
        inner = Pipeline([("nothing", "passthrough"), ("fuse", network())])
        model = Pipeline([("also", None), ("inner", inner)]).fit(cohort.X, cohort.y)
        loaded = saved_and_loaded(model, path)
        assert_same_predictions(loaded, model, cohort.X)
        assert [name for name, _ in loaded.steps] == ["also", "inner"]

    @pytest.mark.parametrize(
        "estimator",
        [
            CoxPHSurvivalAnalysis(alpha=0.1),
            CoxnetSurvivalAnalysis(fit_baseline_model=True),
            IPCRidge(),
            FastSurvivalSVM(random_state=0),
            FastKernelSurvivalSVM(alpha=0.01, random_state=0),  # with less, the optimiser ends in rounding errors
            ComponentwiseGradientBoostingSurvivalAnalysis(n_estimators=3),
        ],
        ids=lambda one: type(one).__name__,
    )
    def test_estimators_of_scikit_survival(self, cohort, path, estimator):
        X = np.random.default_rng(0).normal(size=(30, 3))
        binned = KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf")
        model = make_pipeline(binned, estimator).fit(X, cohort.y)
        loaded = saved_and_loaded(model, path)
        assert_same_predictions(loaded, model, X)

    def test_trees_are_refused_by_name_unless_trusted(self, cohort, path):
        from sklearn.tree._tree import Tree
        from sksurv.tree import SurvivalTree

        X = np.random.default_rng(0).normal(size=(30, 3))
        model = RandomSurvivalForest(2, random_state=0).fit(X, cohort.y)
        save_model(model, path)
        with pytest.raises(ValueError, match=r"0\.skops.*'sklearn\.tree\._tree\.Tree', .*SurvivalTree.*trusted=\["):
            load_model(path)
        loaded = load_model(path, trusted=[Tree, SurvivalTree, RandomSurvivalForest])
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))

    def test_all_our_transformers_are_known(self):
        transformers = [getattr(preprocessing, name) for name in preprocessing.__all__]
        names = {full_name(one) for one in transformers if isinstance(one, type)}
        assert full_name(PresentPatients) in names
        assert names <= known_types()


class Halves(Encoder):
    """An encoder of a user, with something learnt."""

    reads = "vector"

    def __init__(self, factor=0.5):
        self.factor = factor

    def fit(self, inputs, feature_names):
        self.means_ = inputs.mean(0)
        self.seen_ = {"patients": len(inputs), 0: ("a", np.inf)}
        return self

    def build(self, n_features, embedding_dim):
        module = nn.Linear(n_features, embedding_dim)
        module.weight.data.mul_(self.factor + self.means_[0].item())  # a tensor without memory has no item
        module.out_dim = embedding_dim
        return module


class Shift(TransformerMixin, BaseEstimator):
    """A transformer of a user."""

    def fit(self, X, y=None):
        self.mean_ = np.asarray(X, dtype=float).mean(0)
        return self

    def transform(self, X):
        return X - self.mean_


def double(X):
    return 2 * X


class TestPartsOfTheUser:
    def test_an_encoder_must_be_trusted(self, cohort, path):
        model = network(AttentionMIL(4, 4), Halves(0.25), Concat(), DiscreteHazard()).fit(cohort.X, cohort.y)
        save_model(model, path)
        with pytest.raises(ValueError, match=r"model\.zip.*the class 'Halves', which .* not know.*trusted=\["):
            load_model(path)
        loaded = load_model(path, trusted=[Halves])
        assert_same_predictions(loaded, model, cohort.X)
        spec = loaded.modalities_[1][1]
        assert spec.factor == 0.25
        assert spec.seen_ == {"patients": 29, 0: ("a", np.inf)}
        assert torch.equal(spec.means_, model.modalities_[1][1].means_)
        assert read(path, "manifest.json")["needs_trusted"] == [full_name(Halves)]

    def test_transformers_and_functions_must_be_trusted(self, cohort, path):
        X = np.random.default_rng(0).normal(size=(30, 3))
        model = make_pipeline(Shift(), FunctionTransformer(double), CoxPHSurvivalAnalysis(alpha=1)).fit(X, cohort.y)
        save_model(model, path)
        with pytest.raises(ValueError, match=r"in '0\.skops', it holds '.*Shift'"):
            load_model(path)
        with pytest.raises(ValueError, match=r"in '1\.skops', it holds '.*double'"):
            load_model(path, trusted=[Shift])
        loaded = load_model(path, trusted=[Shift, double])
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))

    def test_what_trusted_must_hold(self, path):
        for trusted in (["Halves"], "Halves", Halves):
            with pytest.raises(TypeError, match="trusted must be a list of classes or functions, got "):
                load_model(path, trusted=trusted)


def read(path, member):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(member))


class TestTheFile:
    def test_it_says_what_it_holds(self, cohort, fitted, path, monkeypatch):
        # A wheel's metadata say nothing of the build that torch itself names.
        monkeypatch.setattr(torch, "__version__", "9.13.0+cu130")
        save_model(Pipeline([("fuse", fitted)]), path)
        manifest = read(path, "manifest.json")
        assert manifest["feature_names"] == list(cohort.X.columns)
        assert manifest["versions"]["torch"] == "9.13.0+cu130"
        described = manifest["networks"]["fuse"]
        assert described["modalities"]["wsi"] == {
            "encoder": "AttentionMIL(attention_dim=4, hidden_dim=4)",
            "kind": "bags",
            "n_features": 5,
        }
        assert described["training"] == {"n_epochs": 2, "train_loss": fitted.history_["train_loss"].iloc[-1]}

    def test_weights_are_plain_safetensors(self, fitted, path):
        save_model(fitted, path)
        with zipfile.ZipFile(path) as archive:
            tensors = load_tensors(archive.read("weights.safetensors"))
        for name, weight in fitted.net_.module_.state_dict().items():
            assert torch.equal(tensors[f"net_/{name}"], weight)

    def test_what_only_training_needs_is_left_out_with_a_word(self, cohort, path, tmp_path):
        class Mine(torch.optim.SGD):
            pass

        from skorch.callbacks import GradientNormClipping

        rng = np.random.RandomState(0)
        network_ = network(optimizer=Mine, callbacks=[GradientNormClipping(1.0)], random_state=rng)
        model = Pipeline([("fuse", network_)], memory=str(tmp_path / "cache")).fit(cohort.X, cohort.y)
        with pytest.warns(
            UserWarning, match="leaves out 'fuse/callbacks', 'fuse/optimizer', 'fuse/random_state', 'mem"
        ):
            save_model(model, path)
        loaded = load_model(path)
        assert_same_predictions(loaded, model, cohort.X)
        assert (loaded[0].callbacks, loaded[0].optimizer, loaded[0].random_state) == (None, "adamw", None)
        assert loaded.memory is None
        assert network_.callbacks is not None  # the model at hand stays as it is
        assert len(read(path, "manifest.json")["left_out"]) == 4

    def test_a_file_is_replaced_only_when_asked(self, fitted, path):
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="overwrite=True"):
            save_model(fitted, path)
        assert path.read_text() == "precious"
        save_model(fitted, path, overwrite=True)
        load_model(path)

    def test_nothing_remains_of_a_save_that_failed(self, cohort, path):
        X = np.ones((30, 2)) * np.arange(30)[:, None]
        model = make_pipeline(FunctionTransformer(lambda X: X), StandardScaler()).fit(X)
        with pytest.raises(ValueError, match=r"cannot be saved, because it could not be loaded again: .*lambda"):
            save_model(model, path)
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize(
        ("place", "error", "message"),
        [(".", IsADirectoryError, "is a folder"), ("absent/model.zip", FileNotFoundError, "does not exist")],
    )
    def test_places_that_cannot_be_written(self, fitted, tmp_path, place, error, message):
        with pytest.raises(error, match=message):
            save_model(fitted, tmp_path / place, overwrite=True)

    def test_models_that_cannot_be_saved_are_named(self, cohort, path):
        with pytest.raises(NotFittedError):
            save_model(network(), path)
        search = GridSearchCV(network(), {"max_epochs": [1, 2]}, cv=2).fit(cohort.X, cohort.y)
        with pytest.raises(ValueError, match=r"GridSearchCV\) cannot .* best_estimator_ .*Save its best_estimator_"):
            save_model(search, path)
        frame = pd.DataFrame({"sex": pd.Categorical(["m", "f"] * 15)})
        model = make_pipeline(SurvivalOneHotEncoder(), CoxPHSurvivalAnalysis()).fit(frame, cohort.y)
        with pytest.raises(ValueError, match=r"Step 'onehotencoder' .*encoded_columns_ \(pandas.*Index\)"):
            save_model(model, path)
        chooser = network().set_params(modalities=[("wsi", MeanMIL(4)), ("rna", SNN(4), lambda X: list(X.columns[1:]))])
        model = Pipeline([("fuse", chooser)]).fit(cohort.X, cohort.y)
        with pytest.raises(
            ValueError, match=r"Step 'fuse' \(Fusion.*cannot be saved: fuse/modalities/1/2 is of the type"
        ):
            save_model(model, path)

    def test_a_model_for_a_gpu_loads_without_one(self, fitted, cohort, path, monkeypatch):
        # Here is no GPU to save from, so the device is set afterwards; the file of weights has none.
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        model = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda")
        loaded = saved_and_loaded(model, path)
        assert loaded.net_.device == "cpu"
        assert loaded.device == "cuda"
        np.testing.assert_array_equal(loaded.predict(cohort.X), fitted.predict(cohort.X))


@pytest.mark.cuda
def test_a_model_trained_on_a_gpu_loads_on_the_cpu(cohort, path, monkeypatch):
    model = network(device="cuda").fit(cohort.X, cohort.y)
    save_model(model, path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = load_model(path)
    assert {weight.device.type for weight in loaded.net_.module_.parameters()} == {"cpu"}
    np.testing.assert_allclose(loaded.predict(cohort.X), model.predict(cohort.X), rtol=1e-4)


def test_a_path_may_be_text(fitted, path):
    save_model(fitted, str(path))
    load_model(str(path))
    assert Path(path).is_file()
