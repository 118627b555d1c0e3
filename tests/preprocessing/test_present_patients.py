import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sksurv.util import Surv

from sksurv_mmf.bags import BagArray
from sksurv_mmf.preprocessing import BagTransformer, PresentPatients

LACKING = [1, 4]


def make_table(lacking=LACKING):
    X = np.random.default_rng(0).normal([0, 5, 10], size=(8, 3))
    X[lacking] = np.nan
    return pd.DataFrame(X, index=list("abcdefgh"), columns=["A", "B", "C"])


@pytest.mark.parametrize("container", [pd.DataFrame, np.asarray], ids=["frame", "array"])
@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(2, random_state=0), SimpleImputer()])
def test_is_the_transformer_on_the_present_rows_and_missing_elsewhere(transformer, container):
    X = make_table()
    present = X.dropna()
    expected = pd.DataFrame(clone(transformer).fit_transform(present.to_numpy()), present.index).reindex(X.index)
    out = PresentPatients(transformer).fit_transform(container(X))
    np.testing.assert_allclose(out, expected)
    again = PresentPatients(transformer).fit(container(X)).transform(container(X))
    np.testing.assert_allclose(again, expected)


def test_partly_missing_rows_are_mended_from_the_present_ones():
    X = make_table()
    X.loc["a", "A"] = np.nan
    out = PresentPatients(SimpleImputer()).set_output(transform="pandas").fit_transform(X)
    assert out.loc["a", "A"] == pytest.approx(X["A"].mean())
    assert out.loc[["b", "e"]].isna().all(axis=None)
    assert out.drop(["b", "e"]).notna().all(axis=None)


@pytest.mark.parametrize("before", ["default", "pandas"])
def test_frames_or_arrays_may_be_asked_for_after_the_fit(before):
    after = {"default": "pandas", "pandas": "default"}[before]
    X = make_table()
    with config_context(transform_output=before):
        fitted = PresentPatients(StandardScaler()).fit(X)
        expected = fitted.transform(X)
    with config_context(transform_output=after):
        out = fitted.transform(X)
    assert isinstance(out, pd.DataFrame) == (after == "pandas")
    np.testing.assert_array_equal(out, expected)


class RemembersOutcome(TransformerMixin, BaseEstimator):
    def fit(self, X, y):
        self.seen_ = list(zip(X.index, y["time"]))
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_the_outcome_goes_with_the_rows(method):
    X = make_table()
    y = Surv.from_arrays(np.ones(8, dtype=bool), np.arange(1, 9))
    model = PresentPatients(RemembersOutcome())
    getattr(model, method)(X, y)
    assert model.transformer_.seen_ == [("a", 1), ("c", 3), ("d", 4), ("f", 6), ("g", 7), ("h", 8)]


def test_nobody_present_at_transform_is_all_missing():
    X = make_table()
    model = PresentPatients(PCA(2)).set_output(transform="pandas").fit(X)
    out = model.transform(X.loc[["b", "e"]])
    pd.testing.assert_frame_equal(out, pd.DataFrame(np.nan, index=["b", "e"], columns=["pca0", "pca1"]))


def test_a_row_does_not_depend_on_its_neighbours():
    X = make_table()
    model = PresentPatients(PCA(2)).fit(X)
    np.testing.assert_allclose(model.transform(X.iloc[[5, 1]]), model.transform(X)[[5, 1]])


def test_repeated_patients_as_in_a_bootstrap():
    X = make_table().loc[["a", "b", "b", "a", "c"]]
    out = PresentPatients(RemembersOutcome()).fit_transform(X, Surv.from_arrays([True] * 5, np.arange(1, 6)))
    pd.testing.assert_frame_equal(out, X)


def test_integers_booleans_and_sparse_results_can_be_missing_too():
    X = pd.DataFrame({"sex": ["M", None, "F"]})
    out = PresentPatients(OneHotEncoder()).fit_transform(X)
    np.testing.assert_array_equal(out, [[0, 1], [np.nan, np.nan], [1, 0]])
    single = make_table().astype(np.float32)
    assert PresentPatients(StandardScaler()).fit_transform(single).dtype == np.float32


def test_bags_stay_bags():
    X = pd.DataFrame({"wsi__tiles": BagArray([[[0.0], [2.0]], None, [[4.0]]])}, index=list("abc"))
    model = PresentPatients(BagTransformer(StandardScaler()))
    out = model.fit_transform(X)
    pd.testing.assert_frame_equal(out, BagTransformer(StandardScaler()).fit_transform(X))
    nobody = model.transform(X.iloc[[1]])
    assert nobody.dtypes["wsi__tiles"].name == "bag"
    assert nobody.isna().all(axis=None)


def test_names_are_those_of_the_transformer():
    model = PresentPatients(make_pipeline(StandardScaler(), SelectKBest(k=2))).set_output(transform="pandas")
    out = model.fit_transform(make_table(), np.array([0, 0, 1, 1, 0, 1, 0, 1]))
    assert list(out.columns) == list(model.get_feature_names_out())
    assert set(out.columns) < {"A", "B", "C"}


def test_clone_pickle_and_nested_parameters():
    X = make_table()
    model = clone(PresentPatients(PCA(1)).set_params(transformer__n_components=2))
    out = model.fit_transform(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))
    assert out.shape[1] == 2
    assert not hasattr(model.transformer, "components_")


def test_errors_say_what_is_wrong():
    with pytest.raises(
        ValueError, match=r"nobody to fit StandardScaler\(\) to: all 2 patients lack .* \['A', 'B', 'C'\]"
    ):
        PresentPatients(StandardScaler()).fit(make_table().loc[["b", "e"]])
    with pytest.raises(ValueError, match="feature names should match"):
        PresentPatients(StandardScaler()).fit(make_table()).transform(make_table()[["B", "A", "C"]])
    with pytest.raises(ValueError, match="'transformer' parameter of PresentPatients"):
        PresentPatients("scale").fit(make_table())
    bags = pd.DataFrame({"wsi__tiles": BagArray([[[0.0], [2.0]], None])})
    with pytest.raises(TypeError, match=r"cannot work on column 'wsi__tiles', which holds bags .* BagTransformer\("):
        PresentPatients(StandardScaler()).fit(bags)
    # a type error that has nothing to do with bags remains what it was
    with pytest.raises(AttributeError, match="lower"):
        PresentPatients(CountVectorizer()).fit(np.array([[1.0]]))
