"""X of every kind: frames of other libraries are read, and what is no table is told apart by name."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import Bag, FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, join_modalities
from sksurv_mmf.inspection import feature_importance, integrated_gradients, modality_importance
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import (
    BagPooling,
    BagTransformer,
    CoxElasticNetSelector,
    MinMaxNormalizer,
    ModalityImputer,
    PresentPatients,
    make_modality_transformer,
)
from sksurv_mmf.utils._frames import as_frame


@pytest.fixture
def X(cohort):
    return cohort.X.drop(columns="wsi__tiles").assign(
        clinical__age=np.arange(30.0), clinical__male=np.arange(30) % 2 == 0
    )


@pytest.fixture
def y(cohort):
    return cohort.y


def network():
    return FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0)


def late_fusion():
    model = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=10))
    return LateFusionSurvivalAnalysis([("rna", model), ("clinical", model)], cv=2)


def prepare():
    return make_modality_transformer(rna=make_pipeline(FunctionTransformer(np.exp), StandardScaler()))


def in_library(library, X):
    """The frame as one of another library, and so without an index."""
    make = {"polars": "DataFrame", "pyarrow": "table"}[library]
    return getattr(pytest.importorskip(library), make)({name: column.tolist() for name, column in X.items()})


LIBRARIES = pytest.mark.parametrize("library", ["polars", "pyarrow"])


@LIBRARIES
@pytest.mark.parametrize("model", [network, late_fusion, lambda: make_pipeline(prepare(), network())])
def test_estimators_read_frames_of_other_libraries_as_pandas(library, model, X, y):
    foreign = in_library(library, X)
    fitted, expected = model().fit(foreign, y), model().fit(X, y)
    np.testing.assert_array_equal(fitted.predict(foreign), expected.predict(X))
    assert list(fitted.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(
        cross_val_predict(model(), foreign, y, cv=SurvivalKFold(2)),
        cross_val_predict(model(), X, y, cv=SurvivalKFold(2)),
    )


@LIBRARIES
def test_transformers_keep_the_names_of_other_frames(library, X, y):
    foreign = in_library(library, X)
    select = CoxElasticNetSelector(cv=2, min_features=1, random_state=0)
    for transformer in (prepare(), ModalityImputer(), MinMaxNormalizer(), PresentPatients(StandardScaler()), select):
        transformer.set_output(transform="pandas")
        expected = transformer.fit_transform(X, y).reset_index(drop=True)
        pd.testing.assert_frame_equal(transformer.fit_transform(foreign, y), expected, check_index_type=False)


@LIBRARIES
def test_comparisons_and_explanations_read_other_frames(library, X, y):
    foreign, cv = in_library(library, X), SurvivalKFold(2)
    pd.testing.assert_frame_equal(
        compare_models({"a": network()}, foreign, y, cv).summary(), compare_models({"a": network()}, X, y, cv).summary()
    )
    importance = [modality_importance(network(), one, y, cv=cv, random_state=0).table for one in (foreign, X)]
    pd.testing.assert_frame_equal(*importance)
    pytest.importorskip("captum")
    gradients = integrated_gradients(network().fit(foreign, y), foreign, modality="rna")
    assert list(gradients.columns) == list(X.columns[:4])
    assert len(feature_importance(network(), foreign, y, cv=cv, modality="rna").table) == 4


@LIBRARIES
def test_gaps_and_words_of_other_frames_are_those_of_pandas(library):
    table = {"number": [1, None, 3], "flag": [True, None, False], "word": ["a", None, "b"], "whole": [1, 2, 3]}
    frame = as_frame(getattr(pytest.importorskip(library), {"polars": "DataFrame", "pyarrow": "table"}[library])(table))
    pd.testing.assert_series_equal(frame["number"], pd.Series([1.0, np.nan, 3.0], name="number"))
    pd.testing.assert_series_equal(frame["flag"], pd.Series([1.0, np.nan, 0.0], name="flag"))
    assert frame["word"].isna().tolist() == [False, True, False]
    assert frame.dtypes["whole"].kind == "i"


def test_frames_without_patients_cannot_be_joined():
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"'rna' is a DataFrame without patients.*to_pandas\(\)\.set_index"):
        join_modalities({"rna": polars.DataFrame({"patient": ["P1"], "TP53": [1.0]})})


POLARS_IS_THE_REASON = r"returns bags.*transform_output='polars'.*set_output\(transform='pandas'\)"


@pytest.mark.parametrize(
    "transformer",
    [make_modality_transformer(rna=PCA(2)), make_modality_transformer(wsi=BagTransformer(StandardScaler()))],
)
def test_polars_is_named_as_the_reason_where_it_cannot_hold_bags(transformer, cohort):
    pytest.importorskip("polars")
    with pytest.raises(ValueError, match=POLARS_IS_THE_REASON):
        clone(transformer).set_output(transform="polars").fit_transform(cohort.X, cohort.y)


def test_so_it_is_in_the_global_setting(cohort):
    pytest.importorskip("polars")
    with sklearn.config_context(transform_output="polars"):
        with pytest.raises(ValueError, match=POLARS_IS_THE_REASON):
            BagTransformer(StandardScaler()).fit(cohort.X[["wsi__tiles"]])
        prepare = make_modality_transformer(wsi=BagTransformer(StandardScaler()), rna=FunctionTransformer(np.exp))
        out = prepare.fit_transform(cohort.X)  # asks for pandas by itself
    pd.testing.assert_frame_equal(out, prepare.fit_transform(cohort.X))


def several_levels(X):
    return X.set_axis(pd.MultiIndex.from_tuples([tuple(name.split("__")) for name in X.columns]), axis=1)


def tuples(X):
    return X.set_axis(pd.Index([tuple(name.split("__")) for name in X.columns], tupleize_cols=False), axis=1)


READERS = {
    "network": lambda X, y: network().fit(X, y),
    "late fusion": lambda X, y: late_fusion().fit(X, y),
    "composer": lambda X, y: prepare().fit(X, y),
    "PresentPatients": lambda X, y: PresentPatients(StandardScaler()).fit(X, y),
    "CoxElasticNetSelector": lambda X, y: CoxElasticNetSelector().fit(X, y),
    "MinMaxNormalizer": lambda X, y: MinMaxNormalizer().fit(X),
    "ModalityImputer": lambda X, y: ModalityImputer().fit(X),
    "join_modalities": lambda X, y: join_modalities({"rna": X}),
    "modality_importance": lambda X, y: modality_importance(network(), X, y, cv=2),
    "feature_importance": lambda X, y: feature_importance(network(), X, y, cv=2),
    "compare_models": lambda X, y: compare_models({"a": network()}, X, y, 2),
}


@pytest.mark.parametrize("make", [several_levels, tuples])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_columns_of_several_levels_are_refused_with_a_way_out_that_works(make, read, X, y):
    with pytest.raises(ValueError, match=r"several levels .*: \('rna', 'G0'\).*join the levels") as caught:
        read(make(X), y)
    joined = make(X)
    way_out = str(caught.value).partition("X.columns = ")[2].removesuffix(".")
    joined.columns = eval(way_out, {"X": joined})
    assert list(joined.columns) == list(X.columns)


@pytest.mark.parametrize("make", [several_levels, tuples])
def test_a_fitted_model_refuses_columns_of_several_levels(make, X, y):
    with pytest.raises(ValueError, match="several levels"):
        network().fit(X, y).predict(make(X))


def test_a_name_may_have_several_separators_or_end_in_one(X, y):
    names = ["rna__a__b", "rna__", "rna__c", "rna__d", "clinical__e__f", "clinical__"]
    fitted = network().fit(X.set_axis(names, axis=1), y)
    np.testing.assert_array_equal(fitted.predict(X.set_axis(names, axis=1)), network().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="Column '__a' belongs to no modality"):
        network().fit(X.set_axis(["__a", *names[1:]], axis=1), y)


def test_names_that_are_numbers(X, y):
    numbered = X.set_axis(range(6), axis=1)
    assert network().fit(numbered, y).modalities_[0][0] == "features"
    with pytest.raises(ValueError, match="no column of the modality 'rna'"):
        prepare().fit(numbered)
    with pytest.raises(TypeError, match=r"0, 1, 2, 3, 4 and 1 more are no names"):
        ModalityImputer().fit(numbered)
    mixed = X.set_axis([0, *X.columns[1:]], axis=1)
    with pytest.raises(TypeError, match="string names"):
        network().fit(mixed, y)


def no_tables():
    numbers = np.arange(60.0).reshape(30, 2)
    frame = pd.DataFrame(numbers, columns=["rna__A", "rna__B"])
    bags = [numbers] * 30
    objects = np.empty(30, dtype=object)
    objects[:] = bags
    return {
        "None": (None, "X is None"),
        "dict": ({"rna": frame}, r"dict with the keys 'rna'.*join_modalities\(X\)"),
        "list of dicts": (frame.to_dict("records"), r"records with the fields 'rna__A', 'rna__B'.*pd\.DataFrame"),
        "recarray": (frame.to_records(), "recarray of records with the fields 'index', 'rna__A'"),
        "structured": (
            np.zeros(30, dtype=[("A", float), ("B", float)]),
            "ndarray of records with the fields 'A'",
        ),
        "series": (frame["rna__A"], "the Series 'rna__A'"),
        "text": ("cohort.csv", r"the text 'cohort\.csv'.*read_csv"),
        "objects": (objects, r"ndarray of bags of tiles.*dtype='bag'"),
        "column of objects": (objects[:, np.newaxis], "ndarray of bags"),
        "list of bags": ([Bag(one) for one in bags], "list of bags"),
        "three axes": (np.ones((30, 3, 2)), "ndarray of bags"),
        "BagArray": (pd.array(bags, dtype="bag"), "BagArray of bags"),
        "generator": ((row for row in numbers), "of the type generator"),
        "number": (3, "of the type int"),
    }


@pytest.mark.parametrize("kind", no_tables())
def test_what_is_no_table_is_told_apart(kind, X, y):
    table, message = no_tables()[kind]
    readers = {**READERS, "predict": lambda X_new, y: network().fit(X, y).predict(X_new)}
    for name in ("join_modalities", "feature_importance", "PresentPatients"):  # their X is no plain table anyway
        del readers[name]
    for read in readers.values():
        with pytest.raises(ValueError, match=message):
            read(table, y)


def test_sparse_matrices_are_refused_with_the_way_out(X, y):
    with pytest.raises(TypeError, match=r"(?i)sparse.*toarray\(\)"):
        network().fit(csr_array(X.to_numpy(dtype=float)), y)


@pytest.mark.parametrize("transformer", [CoxElasticNetSelector(), MinMaxNormalizer(), ModalityImputer()])
def test_transformers_of_numbers_say_that_bags_are_none(transformer, cohort):
    name = type(transformer).__name__
    X = cohort.X.copy()
    X.iloc[[0], 0] = pd.array([None], dtype="bag")
    for table in (X, X[["wsi__tiles"]]):
        with pytest.raises(TypeError, match=rf"{name} works on numbers, .* 'wsi__tiles' holds bags.*BagPooling"):
            transformer.fit(table, cohort.y)


@pytest.mark.parametrize("model", [StandardScaler(), PCA(1), CoxPHSurvivalAnalysis()])
def test_others_are_told_that_a_bag_is_no_number(model, cohort):
    with pytest.raises(TypeError, match=r"bag of tiles is no number.*BagPooling.*BagTransformer"):
        model.fit(cohort.X, cohort.y)


@pytest.mark.parametrize("transformer", [BagPooling(), BagTransformer(StandardScaler())])
def test_transformers_of_bags_say_what_a_table_is(transformer, X):
    with pytest.raises(TypeError, match="works on columns of dtype 'bag'; column 'rna__G0' has dtype float64"):
        transformer.fit(X)
    with pytest.raises(TypeError, match="works on columns of bags; got ndarray"):
        transformer.fit(X.to_numpy())
