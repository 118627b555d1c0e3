import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from sksurv_mmf.datasets import load_breast_cancer_cohort, make_multimodal_survival
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer


@pytest.fixture(scope="module")
def cohort():
    cohort = make_multimodal_survival(
        n_patients=60, n_genes=12, n_informative_genes=4, n_tiles=(3, 6), n_tile_features=5, missing=0.3, random_state=0
    )
    cohort.X["clinical__age"] = np.arange(60.0)
    return cohort


class BestByConcordance(SelectorMixin, BaseEstimator):
    """Keeps the genes that order the patients best; needs the structured y."""

    def __init__(self, k=3):
        self.k = k

    def fit(self, X, y):
        X = np.asarray(X)
        self.n_features_in_ = X.shape[1]
        c = [concordance_index_censored(y["event"], y["time"], gene)[0] for gene in X.T]
        self.best_ = np.argsort(-np.abs(np.array(c) - 0.5))[: self.k]
        return self

    def _get_support_mask(self):
        return np.isin(np.arange(self.n_features_in_), self.best_)


def test_columns_keep_one_prefix_and_a_missing_modality_stays_missing(cohort):
    X = cohort.X
    out = make_modality_transformer(
        rna=make_pipeline(SimpleImputer(), StandardScaler(), PCA(3)), wsi=BagTransformer(StandardScaler())
    ).fit_transform(X)
    assert list(out.columns) == ["rna__pca0", "rna__pca1", "rna__pca2", "wsi__tiles", "clinical__age"]
    assert out.index.equals(X.index)
    np.testing.assert_array_equal(out["wsi__tiles"].isna(), X["wsi__tiles"].isna())
    np.testing.assert_array_equal(out["rna__pca0"].isna(), X["rna__G0000"].isna())
    assert out["wsi__tiles"].isna().sum() == out["rna__pca0"].isna().sum() == 9


def test_features_that_keep_their_names_keep_their_columns(cohort):
    out = make_modality_transformer(rna=StandardScaler()).fit_transform(cohort.X)
    assert set(out.columns) == set(cohort.X.columns)
    expected = StandardScaler().fit_transform(cohort.X.filter(like="rna__"))
    np.testing.assert_allclose(out.filter(like="rna__"), expected)


def test_the_missing_patients_have_no_part_in_the_fit(cohort):
    X = cohort.X
    present = X["rna__G0000"].notna()
    make = lambda: make_modality_transformer(rna=make_pipeline(SimpleImputer(), PCA(2, random_state=0)))  # noqa: E731
    whole = make().fit(X, cohort.y).transform(X[present])
    apart = make().fit(X[present], cohort.y[present]).transform(X[present])
    pd.testing.assert_frame_equal(whole, apart)


def test_selectors_receive_the_outcome_of_their_patients(cohort):
    prepare = make_modality_transformer(rna=make_pipeline(StandardScaler(), BestByConcordance(4)), remainder="drop")
    out = prepare.fit_transform(cohort.X, cohort.y)
    present = cohort.X["rna__G0000"].notna()
    genes = cohort.X.loc[present].filter(like="rna__")
    expected = BestByConcordance(4).fit(genes, cohort.y[present]).get_support()
    assert list(out.columns) == list(genes.columns[expected])


def test_passthrough_drop_and_remainder(cohort):
    out = make_modality_transformer(clinical="passthrough", rna="drop").fit_transform(cohort.X)
    assert list(out.columns) == ["clinical__age", "wsi__tiles"]
    out = make_modality_transformer(clinical="passthrough", remainder="drop").fit_transform(cohort.X)
    assert list(out.columns) == ["clinical__age"]
    # a column without a modality is none of our business
    out = make_modality_transformer(rna="drop").fit_transform(cohort.X.assign(age=1))
    assert list(out.columns) == ["wsi__tiles", "clinical__age", "age"]


def test_bags_may_become_numbers(cohort):
    def mean_tile(X):
        bags = X["wsi__tiles"]
        return pd.DataFrame([bag.features.mean(axis=0) for bag in bags], index=X.index).add_prefix("mean")

    out = make_modality_transformer(wsi=FunctionTransformer(mean_tile), rna="drop").fit_transform(cohort.X)
    assert list(out.columns) == [f"wsi__mean{k}" for k in range(5)] + ["clinical__age"]
    np.testing.assert_array_equal(out["wsi__mean0"].isna(), cohort.X["wsi__tiles"].isna())


def test_a_transformer_of_numbers_is_refused_for_bags_with_the_way_out(cohort):
    with pytest.raises(
        TypeError, match=r"column 'wsi__tiles', which holds bags .* BagTransformer\(StandardScaler\(\)\)"
    ):
        make_modality_transformer(wsi=StandardScaler()).fit(cohort.X)


def test_an_unknown_modality_is_refused_with_those_that_exist(cohort):
    with pytest.raises(ValueError, match=r"no column of the modality 'mirna'.* are \['wsi', 'rna', 'clinical'\]"):
        make_modality_transformer(mirna=StandardScaler()).fit(cohort.X)
    with pytest.raises(TypeError, match="X must be a DataFrame"):
        make_modality_transformer(rna=StandardScaler()).fit(np.zeros((3, 2)))


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="Name at least one modality"):
        make_modality_transformer()
    with pytest.raises(ValueError, match="remainder must be 'passthrough', 'drop' or 'error'"):
        make_modality_transformer(rna=StandardScaler(), remainder=StandardScaler())


def test_clone_pickle_and_parallel_agree(cohort):
    prepare = make_modality_transformer(rna=PCA(2, random_state=0), wsi=BagTransformer(StandardScaler()))
    expected = clone(prepare).fit(cohort.X).transform(cohort.X)
    again = pickle.loads(pickle.dumps(clone(prepare).fit(cohort.X))).transform(cohort.X)
    pd.testing.assert_frame_equal(again, expected)
    pickled_first = pickle.loads(pickle.dumps(prepare)).fit(cohort.X).transform(cohort.X)
    pd.testing.assert_frame_equal(pickled_first, expected)
    parallel = clone(prepare).set_params(n_jobs=2).fit_transform(cohort.X)
    pd.testing.assert_frame_equal(parallel, expected)


def test_grid_search_reaches_the_parts():
    cohort = load_breast_cancer_cohort()
    prepare = make_modality_transformer(
        clinical=SimpleImputer(strategy="most_frequent"), rna=make_pipeline(StandardScaler(), BestByConcordance())
    )
    model = make_pipeline(prepare, CoxPHSurvivalAnalysis(alpha=1.0))
    grid = {"columntransformer__rna__transformer__bestbyconcordance__k": [2, 5]}
    search = GridSearchCV(model, grid, cv=3).fit(cohort.X, cohort.y)
    k = search.best_params_["columntransformer__rna__transformer__bestbyconcordance__k"]
    assert search.best_estimator_[-1].n_features_in_ == 4 + k
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda X: X.rename(columns={"rna__A": "rna__a"}),
            "1 of the 2 columns of modality 'rna': 'rna__A'.* misspelt: 'rna__a'",
        ),
        (lambda X: X.drop(columns="rna__A"), "1 of the 2 columns of modality 'rna': 'rna__A'.* absent as a whole"),
        (lambda X: X[["rna__A", "rna__B"]].assign(foo__x=1), "all of the 1 columns of modality 'clinical'.*'foo__x'"),
    ],
)
def test_columns_of_new_patients_that_do_not_fit_are_named(change, message):
    X = pd.DataFrame({"rna__A": [1.0, 2.0], "rna__B": [3.0, 5.0], "clinical__age": [60.0, 70.0]})
    prepare = make_modality_transformer(rna=StandardScaler(), clinical=StandardScaler()).fit(X)
    with pytest.raises(ValueError, match=f"X lacks columns that fit has seen: {message}"):
        prepare.transform(change(X))
