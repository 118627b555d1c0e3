"""Columns of the composer belong to their modality, whatever a transformer does to names."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler

from sksurv_mmf.bags import BagArray
from sksurv_mmf.preprocessing import PresentPatients, make_modality_transformer

GENES = ["A", "B", "C"]


@pytest.fixture
def X():
    patients = pd.Index([f"P{i}" for i in range(12)], name="patient")
    genes = np.random.default_rng(0).uniform(1, 5, size=(12, 3))
    genes[[3, 7]] = np.nan
    X = pd.DataFrame(genes, patients, [f"rna__{gene}" for gene in GENES])
    return X.assign(wsi__tiles=BagArray([np.ones((2, 2))] * 12), clinical__age=np.arange(12.0))


class Reversed(TransformerMixin, BaseEstimator):
    """Returns as many columns as before in another order, and does not say so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X)[:, ::-1]


def function(f):
    return FunctionTransformer(f)


KEPT, NUMBERED = GENES, ["0", "1", "2"]
NAMES = {
    "a function first": (lambda: make_pipeline(function(np.log1p), StandardScaler()), KEPT),
    "a function last": (lambda: make_pipeline(StandardScaler(), function(np.tanh)), KEPT),
    "a function between": (lambda: make_pipeline(MinMaxScaler(), function(np.log1p), SimpleImputer()), KEPT),
    "a function of an array": (lambda: FunctionTransformer(np.log1p, validate=True), KEPT),
    "nested": (lambda: make_pipeline(make_pipeline(SimpleImputer(), function(np.sqrt)), PCA(1)), ["pca0"]),
    "nested last": (lambda: make_pipeline(SimpleImputer(), make_pipeline(function(np.sqrt), StandardScaler())), KEPT),
    "a frame between": (lambda: make_pipeline(function(lambda X: X.iloc[:, 1:]), StandardScaler()), ["B", "C"]),
    "an array": (lambda: function(lambda X: X.to_numpy()), NUMBERED),
    "an array first": (lambda: make_pipeline(function(lambda X: X.to_numpy()), StandardScaler()), NUMBERED),
    "any function": (lambda: make_pipeline(SimpleImputer(), function(lambda X: X[:, ::-1])), NUMBERED),
    "another order": (Reversed, NUMBERED),
    "another order, then names": (lambda: make_pipeline(Reversed(), TruncatedSVD(1)), ["truncatedsvd0"]),
    "a union with one that tells none": (lambda: make_union(Reversed(), VarianceThreshold()), list("012345")),
    "sparse": (lambda: function(lambda X: csr_array(X.to_numpy())), NUMBERED),
    "bins": (lambda: KBinsDiscretizer(2, strategy="uniform"), [f"{g}_{i}.0" for g in GENES for i in (0, 1)]),
    "words": (lambda: make_pipeline(function(lambda X: (X > 3).iloc[:, :1]), OneHotEncoder()), ["A_False", "A_True"]),
    "a frame": (lambda: StandardScaler().set_output(transform="pandas"), KEPT),
    "numbers as names": (lambda: function(lambda X: pd.DataFrame(X.to_numpy())), NUMBERED),
    "several levels": (lambda: function(lambda X: pd.concat({"a": X}, axis=1)), ["a_rna__A", "a_rna__B", "a_rna__C"]),
    "a series": (lambda: function(lambda X: X.mean(axis=1)), ["0"]),
    "a series with a name": (lambda: function(lambda X: X["rna__B"]), ["B"]),
    "chosen columns": (lambda: ColumnTransformer([("a", StandardScaler(), [0])]), ["a__rna__A"]),
}  # fmt: skip


@pytest.mark.parametrize(("make", "names"), NAMES.values(), ids=NAMES)
def test_names_are_kept_told_or_numbers_behind_that_of_the_modality(make, names, X):
    prepare = make_modality_transformer(rna=make())
    out = prepare.fit_transform(X)
    assert list(out.columns) == [*(f"rna__{name}" for name in names), "wsi__tiles", "clinical__age"]
    assert list(prepare.get_feature_names_out()) == list(out.columns)
    lacking = X.index[X["rna__A"].isna()]
    assert out.loc[lacking].filter(like="rna__").isna().all(axis=None)
    assert out.drop(lacking).filter(like="rna__").notna().all(axis=None)
    for part in (X, X.iloc[:5], X.loc[lacking]):
        again = make_modality_transformer(rna=make()).fit(X).transform(part)
        pd.testing.assert_frame_equal(again, out.loc[part.index], check_dtype=False)


def test_values_belong_to_the_names(X):
    prepare = make_modality_transformer(rna=make_pipeline(MinMaxScaler(), FunctionTransformer(np.square)))
    genes = X.filter(like="rna__").dropna()
    expected = ((genes - genes.min()) / (genes.max() - genes.min())) ** 2
    pd.testing.assert_frame_equal(prepare.fit_transform(X).filter(like="rna__").dropna(), expected)
    numbered = make_modality_transformer(rna=Reversed()).fit_transform(X)
    np.testing.assert_array_equal(numbered["rna__0"].dropna(), genes["rna__C"])


def test_fitted_transformers_hold_names_as_a_list(X):
    model = PresentPatients(FunctionTransformer(np.log1p, validate=True)).fit(X.filter(like="rna__"))
    assert type(model._names) is list  # saved models hold no pandas


def test_present_patients_alone_has_names_too(X):
    model = PresentPatients(make_pipeline(FunctionTransformer(np.log1p), StandardScaler())).fit(X.filter(like="rna__"))
    assert list(model.get_feature_names_out()) == ["rna__A", "rna__B", "rna__C"]
    array = PresentPatients(StandardScaler()).fit(X.filter(like="rna__").to_numpy())
    assert list(array.get_feature_names_out()) == ["x0", "x1", "x2"]
    assert list(array.get_feature_names_out(["a", "b", "c"])) == ["a", "b", "c"]


REFUSED = {
    "rows left out": (lambda X: X.iloc[1:], r"given 10 patients and returned a DataFrame of shape \(9, 3\)"),
    "rows of an array": (lambda X: X.to_numpy()[1:], r"given 10 patients and returned a ndarray of shape \(9, 3\)"),
    "other order": (lambda X: X[::-1], r"given the patients 'P0', 'P1', 'P2' .* returned the rows 'P11', 'P10', 'P9'"),
    "one axis": (lambda X: X.to_numpy()[:, 0], r"a ndarray of shape \(10,\)"),
    "a series of columns": (lambda X: X.mean(), r"of shape \(3, 1\)"),
    "nothing": (lambda X: None, "returned a NoneType"),
    "no column": (lambda X: X[[]], r"leaves no column of 'rna__A', 'rna__B', 'rna__C'.*'drop'"),
    "no column of an array": (lambda X: X.to_numpy()[:, :0], "leaves no column"),
    "one name twice": (lambda X: pd.concat([X, X], axis=1), "several columns of the name 'rna__A', 'rna__B'"),
}  # fmt: skip


@pytest.mark.parametrize(("f", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_mix_or_lose_patients_or_columns_is_refused(f, message, X):
    with pytest.raises(ValueError, match=message):
        make_modality_transformer(rna=FunctionTransformer(f)).fit_transform(X)


def test_columns_that_depend_on_the_patients_at_hand_are_refused(X):
    def dummies(X):
        return pd.get_dummies(X["rna__A"].round().astype(int), prefix="level")

    prepare = make_modality_transformer(rna=FunctionTransformer(dummies))
    prepare.fit_transform(X)
    with pytest.raises(
        ValueError, match=r"in fit it returned 'level_1'.*OneHotEncoder in place of pandas\.get_dummies"
    ):
        prepare.transform(X.iloc[:2])


def test_a_frame_that_is_numbered_is_in_the_order_of_the_patients(X):
    out = make_modality_transformer(rna=FunctionTransformer(lambda X: X.reset_index(drop=True))).fit_transform(X)
    pd.testing.assert_frame_equal(out, X)


def test_what_is_left_unchanged_survives_pickle_and_names_itself(X):
    prepare = make_modality_transformer(clinical="passthrough", rna=PCA(2)).fit(X)
    expected = prepare.transform(X)
    assert list(expected.columns) == ["clinical__age", "rna__pca0", "rna__pca1", "wsi__tiles"]
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(prepare)).transform(X), expected)
    assert make_pipeline(prepare).steps[0][0] == "columntransformer"
