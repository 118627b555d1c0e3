"""New patients of a hospital that never measured a modality: they are missing it, and nothing is guessed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.bags import BagArray
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer


def network():
    return FusionSurvivalAnalysis(n_estimators=1, max_epochs=2, random_state=0)


TRANSFORMERS = {
    "rna": make_pipeline(SimpleImputer(), StandardScaler()),
    "wsi": BagTransformer(StandardScaler()),
}


def prepared(*modalities):
    transformers = {modality: TRANSFORMERS[modality] for modality in modalities}
    return make_pipeline(make_modality_transformer(**transformers), network())


@pytest.fixture(scope="module")
def cohort():
    return make_multimodal_survival(n_patients=40, n_genes=6, n_informative_genes=2, random_state=0)


@pytest.fixture(scope="module", params=[network, lambda: prepared("rna"), lambda: prepared("rna", "wsi")])
def model(request, cohort):
    return request.param().fit(cohort.X, cohort.y)


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


class TestNothingIsGuessed:
    def test_columns_of_a_modality_that_are_partly_absent_are_named(self, cohort, model):
        for X in (cohort.X, without(cohort.X, "wsi")):
            with pytest.raises(ValueError, match=r"missing:\s.*rna__G0003"):
                model.predict(X.drop(columns="rna__G0003"))

    @pytest.mark.parametrize("old", ["wsi__", "rna__"])
    def test_a_misspelt_modality_is_an_error(self, cohort, model, old):
        misspelt = cohort.X.rename(columns=lambda name: name.replace(old, "other__"))
        with pytest.raises(ValueError, match=rf"missing:\s.*{old}"):
            model.predict(misspelt)

    def test_a_table_of_nothing_that_is_known_is_an_error(self, cohort, model):
        with pytest.raises(ValueError, match="missing"):
            model.predict(cohort.X.add_prefix("my "))

    def test_an_empty_column_is_no_modality_in_fit(self, cohort):
        X = cohort.X.assign(wsi__tiles=np.nan)
        with pytest.raises(ValueError, match="wsi"):
            network().fit(X, cohort.y)
