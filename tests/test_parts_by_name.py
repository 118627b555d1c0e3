"""Parts that are inferred, or None, are set by name: what a search reaches before there is a table."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL, MeanMIL
from sksurv_mmf.fusions import CrossModalAttention


def network(**params):
    settings = {"n_estimators": 1, "embedding_dim": 4, "max_epochs": 1, "device": "cpu", "random_state": 0} | params
    return FusionSurvivalAnalysis(**settings)


def encoders(model, cohort):
    return {name: encoder for name, encoder, _ in model.fit(cohort.X, cohort.y).modalities_}


def test_parameters_set_by_name_make_the_model_that_names_its_encoders(cohort):
    inferred = network().set_params(wsi__hidden_dim=6, wsi__attention_dim=3, rna__n_layers=1)
    named = network(modalities=[("wsi", AttentionMIL(6, 3)), ("rna", SNN(n_layers=1))])
    predicted = [model.fit(cohort.X, cohort.y).predict(cohort.X) for model in (inferred, named)]
    np.testing.assert_array_equal(*predicted)
    assert not np.array_equal(predicted[0], network().fit(cohort.X, cohort.y).predict(cohort.X))


def test_they_survive_clone_parameters_repr_and_files(cohort, tmp_path):
    model = network().set_params(wsi__hidden_dim=6, rna=MLP(5))
    assert {"wsi__hidden_dim": 6, "rna__hidden_dim": 5}.items() <= model.get_params().items()
    for again in (clone(model), network().set_params(**model.get_params())):
        assert again.encoders.keys() == {"wsi", "rna"}
        assert repr(again) == repr(model)
        assert again.get_params()["rna__hidden_dim"] == 5
    assert eval(repr(model)).encoders["wsi"] == {"hidden_dim": 6}
    save_model(model.fit(cohort.X, cohort.y), tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip")
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.predict(cohort.X), model.predict(cohort.X))
    assert encoders(loaded, cohort)["wsi"].hidden_dim == 6


def test_a_change_of_a_clone_does_not_reach_the_original():
    model = network().set_params(wsi__hidden_dim=6, rna=MLP(5))
    clone(model).set_params(wsi__hidden_dim=7, rna__hidden_dim=7)
    assert model.get_params()["wsi__hidden_dim"] == 6
    assert model.get_params()["rna__hidden_dim"] == 5


def test_a_search_reaches_them_in_a_pipeline(cohort):
    grid = {"fuse__wsi__hidden_dim": [3, 5], "fuse__rna": [SNN(4), MLP(4)], "fuse__fusion__activation": ["relu"]}
    search = GridSearchCV(Pipeline([("fuse", network())]), grid, cv=2, error_score="raise").fit(cohort.X, cohort.y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    best = search.best_estimator_[-1]
    found = {name: encoder for name, encoder, _ in best.modalities_}
    assert found["wsi"].hidden_dim == search.best_params_["fuse__wsi__hidden_dim"]
    assert type(found["rna"]) is type(search.best_params_["fuse__rna"])
    assert best.fusion.activation == "relu"


def test_a_search_may_choose_between_inferred_and_named_modalities(cohort):
    grid = {"modalities": [None, [("wsi", MeanMIL()), ("rna", SNN())]], "wsi__hidden_dim": [3]}
    search = GridSearchCV(network(), grid, cv=2, error_score="raise").fit(cohort.X, cohort.y)
    assert search.best_estimator_.modalities_[0][1].hidden_dim == 3


def test_a_part_comes_before_its_parameters_in_whatever_order(cohort):
    model = network().set_params(wsi__hidden_dim=3, wsi=MeanMIL())
    assert repr(encoders(model, cohort)["wsi"]) == "MeanMIL(hidden_dim=3)"


def test_the_table_of_one_unnamed_modality(cohort):
    X = cohort.X.filter(like="rna__").to_numpy()
    assert network().set_params(features__hidden_dim=3).fit(X, cohort.y).modalities_[0][1].hidden_dim == 3


def test_default_parts_are_made_when_a_parameter_of_theirs_is_set():
    model = network().set_params(fusion__activation="relu", objective__n_bins=3)
    assert isinstance(model.fusion, CrossModalAttention)
    assert model.objective.n_bins == 3
    with pytest.raises(ValueError, match="Invalid parameter 'n_tiles' for estimator CrossModalAttention"):
        network().set_params(fusion__n_tiles=1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"wsl__hidden_dim": 3}, "set of 'wsl', but the modalities of X are 'wsi', 'rna'"),
        ({"wsi__hiden_dim": 3}, r"encoder of modality 'wsi' cannot.*'hiden_dim' for estimator AttentionMIL\(\)"),
        ({"wsi": SNN()}, "'wsi' is a bag column, but SNN reads numeric columns"),
        ({"wsi__hidden_dim": 0}, "'hidden_dim' parameter of AttentionMIL"),
        ({"encoders": {"wsi": "mean"}}, r"encoders\['wsi'\] must be an object .*got 'mean'. Write .*=MeanMIL\(\)"),
        ({"encoders": {"wsi": MeanMIL}}, r"must be an object .*Write .*=MeanMIL\(\)"),
        ({"encoders": {"wsi": 3}}, r"encoders\['wsi'\] must be an encoder .* or a dict of parameters, got 3"),
        ({"encoders": [MeanMIL()]}, "'encoders' parameter"),
        (
            {"encoders": {"rna": {}}, "modalities": [("wsi", MeanMIL()), ("rna", SNN())]},
            "encoders has 'rna'.*Leave one",
        ),
    ],
    ids=str,
)
def test_what_X_or_its_encoder_does_not_have_is_named_in_fit(params, message, cohort):
    with pytest.raises(ValueError, match=message):
        network().set_params(**params).fit(cohort.X, cohort.y)


@pytest.mark.parametrize("modalities", [None, [("wsi", AttentionMIL(3, 2)), ("rna", SNN(4))]])
@pytest.mark.parametrize("name", ["device", "lr", "random_state", "callbacks", "optimizer", "encoders", "modalities"])
def test_parameters_of_what_has_none_are_named(modalities, name):
    with pytest.raises(ValueError, match=f"'{name}__x' cannot be set: {name} of FusionSurvivalAnalysis is .* no param"):
        network(modalities=modalities).set_params(**{f"{name}__x": 1})


def test_parameters_of_a_number_of_a_part_are_named(cohort):
    modalities = [("wsi", AttentionMIL(3, 2)), ("rna", SNN(4))]
    with pytest.raises(ValueError, match=r"'wsi__hidden_dim__x' cannot be set: wsi__hidden_dim of .* is 3"):
        network(modalities=modalities).set_params(wsi__hidden_dim__x=1)
    with pytest.raises(ValueError, match="encoder of modality 'wsi' cannot be set as asked"):
        network().set_params(wsi__hidden_dim__x=1).fit(cohort.X, cohort.y)


def test_a_name_without_a_part_is_still_a_mistake_at_once():
    with pytest.raises(ValueError, match="Invalid parameter 'embeding_dim'"):
        network().set_params(embeding_dim=3)
