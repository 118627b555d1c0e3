"""New patients of a hospital that never measured a modality: they are missing it, and nothing is guessed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, join_modalities, load_model, save_model
from sksurv_mmf.bags import BagArray
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.preprocessing import BagPooling, BagTransformer, make_modality_transformer


def network():
    return FusionSurvivalAnalysis(n_estimators=1, max_epochs=2, random_state=0)


TRANSFORMERS = {
    "rna": make_pipeline(SimpleImputer(), StandardScaler()),
    "wsi": BagTransformer(StandardScaler()),
}


def prepared(*modalities):
    transformers = {modality: TRANSFORMERS[modality] for modality in modalities}
    return make_pipeline(make_modality_transformer(**transformers), network())


def late_fusion(combine="rank", **params):
    """Members of one modality each, and two that see both: a network, and a pipeline that is given bags as bags."""
    cox = CoxPHSurvivalAnalysis(alpha=10)
    pool = ColumnTransformer([("wsi", BagPooling(), ["wsi__tiles"])], remainder="passthrough")
    both = ["wsi", "rna"]
    members = [
        ("wsi", make_pipeline(BagPooling(), StandardScaler(), cox)),
        ("rna", cox),
        ("network", network(), both),
        ("pooled", make_pipeline(pool, SimpleImputer(keep_empty_features=True), StandardScaler(), cox), both),
    ]
    return LateFusionSurvivalAnalysis(members, combine=combine, **params)


@pytest.fixture(scope="module")
def cohort():
    return make_multimodal_survival(n_patients=40, n_genes=6, n_informative_genes=2, random_state=0)


MODELS = {
    "network": network,
    "prepared rna": lambda: prepared("rna"),
    "prepared": lambda: prepared("rna", "wsi"),
    "ranks": lambda: late_fusion(cv=2),
    "curves": lambda: late_fusion("curves", cv=None),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request, cohort):
    return MODELS[request.param]().fit(cohort.X, cohort.y)


def lacking(X, modality):
    """Every patient without the modality, in columns of the types that the model was fitted on."""
    X = X.copy()
    for name in X.columns[X.columns.str.startswith(f"{modality}__")]:
        X[name] = BagArray([None] * len(X)) if modality == "wsi" else np.nan
    return X


def without(X, modality):
    return X.loc[:, ~X.columns.str.startswith(f"{modality}__")]


@pytest.mark.parametrize("modality", ["wsi", "rna"])
def test_a_modality_without_a_column_is_missing_for_all(cohort, model, modality):
    X = cohort.X
    predicted = model.predict(without(X, modality))
    np.testing.assert_array_equal(predicted, model.predict(lacking(X, modality)))
    assert np.ptp(predicted) > 0
    assert not np.allclose(predicted, model.predict(X))
    curves = model.predict_survival_function(without(X, modality), return_array=True)
    np.testing.assert_array_equal(curves, model.predict_survival_function(lacking(X, modality), return_array=True))


def test_patients_joined_from_one_table(cohort, model):
    rna = without(cohort.X, "wsi").rename(columns=lambda name: name.removeprefix("rna__"))
    X = join_modalities({"rna": rna})
    np.testing.assert_array_equal(model.predict(X), model.predict(lacking(cohort.X, "wsi")))


@pytest.mark.parametrize("empty", [pd.NA, None, np.nan])
def test_an_empty_column_of_bags_has_any_type(cohort, model, empty):
    X = cohort.X.assign(wsi__tiles=empty)
    np.testing.assert_array_equal(model.predict(X), model.predict(lacking(cohort.X, "wsi")))


def test_columns_may_be_in_any_place(cohort):
    order = ["rna__G0000", "wsi__tiles", *cohort.X.columns[2:]]
    model = network().fit(cohort.X[order], cohort.y)
    expected = model.predict(lacking(cohort.X[order], "wsi"))
    np.testing.assert_array_equal(model.predict(without(cohort.X[order], "wsi")), expected)
    with pytest.raises(ValueError, match="same order"):
        model.predict(without(cohort.X[order[::-1]], "wsi"))


def test_what_a_network_says_of_patients_knows_it_too(cohort):
    model = network().fit(cohort.X, cohort.y)
    attention = model.modality_attention(without(cohort.X, "wsi"))
    np.testing.assert_array_equal(attention["wsi"], 0)
    np.testing.assert_array_equal(attention["rna"], 1)


class TestLateFusion:
    @pytest.fixture
    def fitted(self, cohort):
        members = late_fusion().modalities[:2]
        return LateFusionSurvivalAnalysis(members, cv=2).fit(cohort.X, cohort.y)

    @pytest.mark.parametrize(("modality", "other"), [("wsi", "rna"), ("rna", "wsi")])
    def test_a_patient_is_predicted_from_what_she_has(self, cohort, fitted, modality, other):
        X = without(cohort.X, modality)
        ranks = fitted.modality_ranks(X)
        assert ranks[modality].isna().all()
        np.testing.assert_array_equal(ranks[other], fitted.modality_ranks(cohort.X)[other])
        np.testing.assert_allclose(fitted.predict(X), ranks[other], rtol=1e-12)

    def test_a_saved_one_knows_which_columns_are_bags(self, cohort, tmp_path):
        model = late_fusion("curves", cv=None).fit(cohort.X, cohort.y)
        save_model(model, tmp_path / "model.zip")
        X = without(cohort.X, "wsi")
        np.testing.assert_array_equal(load_model(tmp_path / "model.zip").predict(X), model.predict(X))

    def test_a_member_that_sees_part_of_a_modality_makes_no_modality_of_it(self, cohort):
        cox = CoxPHSurvivalAnalysis(alpha=1)
        members = [("gene", cox, ["rna__G0000"]), ("genes", cox, slice(2, None)), late_fusion().modalities[0]]
        model = LateFusionSurvivalAnalysis(members, combine="curves", cv=None).fit(cohort.X, cohort.y)
        assert np.isfinite(model.predict(without(cohort.X, "rna"))).all()
        with pytest.raises(ValueError, match=r"missing:\s.*rna__G0000"):
            model.predict(cohort.X.drop(columns="rna__G0000"))

    def test_of_columns_without_a_prefix_members_tell_modalities(self, cohort):
        X = cohort.X.rename(columns=lambda name: name.partition("__")[2])
        cox, image = CoxPHSurvivalAnalysis(alpha=1), late_fusion().modalities[0][1]
        members = [("wsi", image, ["tiles"]), ("rna", cox, slice(1, None)), ("again", cox, slice(1, None))]
        model = LateFusionSurvivalAnalysis(members, cv=2).fit(X, cohort.y)
        np.testing.assert_allclose(model.predict(X[["tiles"]]), model.modality_ranks(X)["wsi"], rtol=1e-12)
        with pytest.raises(ValueError, match=r"missing:\s.*G0003"):
            model.predict(X.drop(columns="G0003"))


class TestNothingIsGuessed:
    def test_columns_of_a_modality_that_are_partly_absent_are_named(self, cohort, model):
        for X in (cohort.X, without(cohort.X, "wsi")):
            with pytest.raises(ValueError, match=r"(?s)(missing:|lacks columns).*rna__G0003"):
                model.predict(X.drop(columns="rna__G0003"))

    @pytest.mark.parametrize("old", ["wsi__", "rna__"])
    def test_a_misspelt_modality_is_an_error(self, cohort, model, old):
        misspelt = cohort.X.rename(columns=lambda name: name.replace(old, "other__"))
        with pytest.raises(ValueError, match=rf"(?s)(missing:|lacks columns).*{old}"):
            model.predict(misspelt)

    def test_a_table_of_nothing_that_is_known_is_an_error(self, cohort, model):
        with pytest.raises(ValueError, match=r"missing|lacks columns"):
            model.predict(cohort.X.add_prefix("my "))

    def test_an_empty_column_is_no_modality_in_fit(self, cohort):
        X = cohort.X.assign(wsi__tiles=np.nan)
        with pytest.raises(ValueError, match="wsi"):
            network().fit(X, cohort.y)
