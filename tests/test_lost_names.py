"""A pipeline whose steps lose the names of columns, and with them the modalities, is warned of; nothing else is."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import make_modality_transformer


@pytest.fixture
def X(cohort):
    return cohort.X.drop(columns="wsi__tiles").assign(clinical__age=np.arange(30.0), clinical__bmi=np.arange(30.0) % 7)


@pytest.fixture
def y(cohort):
    return cohort.y


def network(modalities=None):
    return FusionSurvivalAnalysis(
        modalities, embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0
    )


def late_fusion(*names):
    model = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=10))
    return LateFusionSurvivalAnalysis([(name, model) for name in names], cv=2)


def all_as(name):
    """All columns under one name, as ColumnTransformer writes it."""
    transformer = ColumnTransformer([(name, StandardScaler(), make_column_selector(dtype_include="number"))])
    return transformer.set_output(transform="pandas")


LOST = {
    "array": lambda: make_pipeline(StandardScaler(), network()),
    "nested": lambda: make_pipeline(make_pipeline(StandardScaler()), make_pipeline(SimpleImputer(), network())),
    "fewer columns": lambda: make_pipeline(TruncatedSVD(2), network()),
    "other names": lambda: make_pipeline(PCA(2).set_output(transform="pandas"), network()),
    "union": lambda: make_pipeline(make_union(PCA(2), StandardScaler()), network()),
    "columns": lambda: make_pipeline(make_column_transformer((StandardScaler(), [0, 1, 4])), network()),
    "prefix": lambda: make_pipeline(all_as("num"), network()),
    "search": lambda: make_pipeline(StandardScaler(), GridSearchCV(network(), {"lr": [0.1]}, cv=2)),
    "one is named": lambda: make_pipeline(StandardScaler(), network([("rna", SNN(4))])),
    "late fusion": lambda: make_pipeline(StandardScaler(), late_fusion("rna")),
}  # fmt: skip


@pytest.mark.parametrize("model", LOST.values(), ids=LOST)
def test_merged_modalities_are_warned_of_with_counts_examples_and_a_way_out(model, X, y):
    with pytest.warns(UserWarning, match="lost their names") as caught:
        model().fit(X, y)
    messages = {str(warning.message) for warning in caught}
    assert len(messages) == 1
    (message,) = messages
    for part in ("'rna' (4 columns, such as 'rna__G0')", "'clinical' (2 columns", "set_output(transform='pandas')"):
        assert part in message


def test_a_modality_that_lost_its_name_is_warned_of(X, y):
    """Its columns lost theirs, too; but a late fusion, which took it out of a table, knows it."""
    with pytest.warns(UserWarning, match=r"given the modality 'rna' \(4 columns.*'features'"):
        make_pipeline(StandardScaler(), network()).fit(X.filter(like="rna__"), y)
    for modality in (("rna", SNN(4)), ("features", SNN(4))):
        make_pipeline(StandardScaler(), network([modality])).fit(X.filter(like="rna__"), y)


def test_columns_of_several_levels_are_warned_of(X, y):
    X = X.set_axis(pd.MultiIndex.from_tuples([column.split("__") for column in X.columns]), axis=1)
    with pytest.warns(UserWarning, match=r"'rna' \(4 columns, such as 'rna__G0'\), 'clinical' \(2 columns"):
        make_pipeline(StandardScaler(), network()).fit(X, y)


def test_names_of_modalities_that_differ_in_spelling_are_warned_of(X, y):
    X = X.rename(columns={"rna__G1": "RNA__G1", "clinical__bmi": "clinical __bmi"})
    with pytest.warns(
        UserWarning, match="Of 4 modalities of X, 'rna', 'RNA'; 'clinical', 'clinical ' differ"
    ) as caught:
        network().fit(X, y)
    assert caught[0].filename == __file__
    names = [(name, SNN(4)) for name in ("rna", "RNA", "clinical", "clinical ")]
    network(names).fit(X, y)  # as they are listed, they are meant


def test_cross_validation_and_comparisons_warn(X, y):
    model = make_pipeline(StandardScaler(), network())
    with pytest.warns(UserWarning, match="lost their names"):
        cross_val_score(model, X, y, cv=2)
    with pytest.warns(UserWarning, match="lost their names"):
        compare_models({"network": model}, X, y, SurvivalKFold(2))


NOTHING_LOST = {
    "set_output": lambda: make_pipeline(StandardScaler(), network()).set_output(transform="pandas"),
    "composer": lambda: make_pipeline(make_modality_transformer(rna=PCA(2), clinical=StandardScaler()), network()),
    "another name": lambda: make_pipeline(StandardScaler(), network([("features", SNN(4))])),
    "another name, late": lambda: make_pipeline(StandardScaler(), late_fusion("features")),
    "columns are said": lambda: make_pipeline(
        StandardScaler(), network([("rna", SNN(4), slice(0, 4)), ("clinical", SNN(4), [4, 5])])
    ),
    "inside late fusion": lambda: LateFusionSurvivalAnalysis(
        [("rna", make_pipeline(StandardScaler(), network())), ("clinical", CoxPHSurvivalAnalysis(alpha=10))], cv=2
    ),
    "modalities of their own": lambda: make_pipeline(
        ColumnTransformer([("genes", PCA(2), [0, 1, 2, 3]), ("rest", StandardScaler(), [4, 5])]), network()
    ).set_output(transform="pandas"),
    "a network alone": network,
}


@pytest.mark.parametrize("model", NOTHING_LOST.values(), ids=NOTHING_LOST)
def test_what_is_meant_passes_in_silence(model, X, y):
    model().fit(X, y)  # warnings are errors


def test_tables_without_modalities_pass_in_silence(X, y):
    model = make_pipeline(StandardScaler(), network())
    for table in (X.to_numpy(), X.set_axis(list("abcdef"), axis=1)):
        assert [name for name, *_ in model.fit(table, y)[-1].modalities_] == ["features"]
    network().fit(StandardScaler().fit_transform(X), y)  # by hand, and so on purpose


def test_the_global_setting_keeps_names(X, y):
    with sklearn.config_context(transform_output="pandas"):
        model = make_pipeline(StandardScaler(), network()).fit(X, y)
    assert [name for name, *_ in model[-1].modalities_] == ["rna", "clinical"]


def test_the_model_sees_the_modalities_of_the_composer_by_name(X, y):
    log = make_pipeline(FunctionTransformer(np.exp), StandardScaler())
    prepare = make_modality_transformer(rna=log, clinical=FunctionTransformer(lambda X: X.to_numpy()))
    model = make_pipeline(prepare, network()).fit(X, y)
    assert [(name, len(columns)) for name, _, columns in model[-1].modalities_] == [("rna", 4), ("clinical", 2)]
    assert list(model[-1].feature_names_in_) == [*X.columns[:4], "clinical__0", "clinical__1"]


def test_several_named_modalities_of_a_table_without_names_are_refused(X, y):
    for last in (network([("rna", SNN(4)), ("clinical", SNN(4))]), late_fusion("rna", "clinical")):
        with pytest.raises(ValueError, match=r"'rna' is not in X.*set_output\(transform='pandas'\)"):
            make_pipeline(StandardScaler(), last).fit(X, y)


def test_what_is_warned_of_is_the_innermost_pipeline_that_has_modalities(X, y):
    inner = make_pipeline(StandardScaler(), network())
    outer = make_pipeline(make_modality_transformer(rna="drop"), inner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outer.fit(X, y)  # one modality is left, with which nothing can be merged
