import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    QuantileTransformer,
    StandardScaler,
)

from sksurv_mmf.bags import Bag, BagArray
from sksurv_mmf.preprocessing import BagTransformer

PATIENTS = [f"P{i}" for i in range(6)]


def make_frame(n_features=4, dtype=np.float32, sizes=(3, 50, 7, 0, 1, 40), seed=0):
    """Bags of the given sizes; 0 is a missing one."""
    rng = np.random.default_rng(seed)
    bags = []
    for n in sizes:
        features = (rng.normal(size=(n, n_features)) * 3 + np.arange(n_features)).astype(dtype)
        bags.append(Bag(features, coords=rng.integers(0, 9, (n, 2)), source=f"slide {n}") if n else None)
    return pd.DataFrame({"wsi__tiles": BagArray(bags)}, index=PATIENTS[: len(sizes)])


def save(X, folder):
    """The same bags, in files."""
    bags = []
    for patient, bag in X["wsi__tiles"].items():
        if bag is not pd.NA:
            np.savez(folder / f"{patient}.npz", features=bag.features, coords=bag.coords)
        bags.append(None if bag is pd.NA else Bag.from_file(folder / f"{patient}.npz"))
    return pd.DataFrame({"wsi__tiles": BagArray(bags)}, index=X.index)


def stack(X):
    return np.concatenate([bag.features for bag in X["wsi__tiles"].dropna()])


class Recorder(TransformerMixin, BaseEstimator):
    """Keeps the batches it is fitted to, outside of itself because it is cloned."""

    batches = []

    def partial_fit(self, X, y=None):
        self.batches.append(X)
        self.n_features_in_ = X.shape[1]
        return self

    fit = partial_fit

    def transform(self, X):
        return X


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        PCA(2, random_state=0),
        MaxAbsScaler(),
        make_pipeline(StandardScaler(), PCA(3, random_state=0)),
        KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
    ],
    ids=lambda t: type(t).__name__,
)
def test_is_the_transformer_fitted_to_all_tiles(transformer):
    X = make_frame()
    expected = clone(transformer).fit(stack(X)).transform(stack(X))
    expected = expected.toarray() if hasattr(expected, "toarray") else expected
    out = BagTransformer(transformer).fit_transform(X)
    np.testing.assert_allclose(stack(out), expected, rtol=1e-4, atol=1e-5)


def test_everything_but_the_features_stays():
    X = make_frame()
    out = BagTransformer(PCA(2)).fit_transform(X)
    assert list(out.index) == PATIENTS
    assert list(out.columns) == ["wsi__tiles"]
    np.testing.assert_array_equal(out.isna(), X.isna())
    np.testing.assert_array_equal(out["wsi__tiles"].array.n_tiles, X["wsi__tiles"].array.n_tiles)
    for before, after in zip(X["wsi__tiles"].dropna(), out["wsi__tiles"].dropna()):
        np.testing.assert_array_equal(before.coords, after.coords)
        assert before.source == after.source
        assert not after.is_file_backed


def test_file_backed_bags_stay_in_their_files_and_agree_with_those_in_memory(tmp_path):
    X = make_frame()
    in_files = save(X, tmp_path)
    lazy = BagTransformer(PCA(2)).fit(X).transform(in_files)
    eager = BagTransformer(PCA(2)).fit(in_files).transform(X)
    assert all(bag.is_file_backed for bag in lazy["wsi__tiles"].dropna())
    np.testing.assert_array_equal(stack(lazy), stack(eager))
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(stack(again), stack(eager))
    assert lazy["wsi__tiles"].array.n_features == 2


def test_lazy_bags_are_not_read_by_transform(tmp_path):
    X = make_frame()
    in_files = save(X, tmp_path)
    transformer = BagTransformer(StandardScaler()).fit(X)
    for file in tmp_path.iterdir():
        file.rename(file.with_suffix(".away"))
    out = transformer.transform(in_files)
    bag = out.loc["P0", "wsi__tiles"]
    with pytest.raises(FileNotFoundError):
        _ = bag.features


def test_chained_lazy_transformers_apply_in_order(tmp_path):
    X = make_frame()
    chain = make_pipeline(BagTransformer(StandardScaler()), BagTransformer(IncrementalPCA(2)))
    np.testing.assert_allclose(stack(chain.fit_transform(save(X, tmp_path))), stack(chain.fit_transform(X)), atol=1e-6)


def test_with_partial_fit_batches_are_whole_bags_of_at_least_a_thousand_tiles():
    sizes = (600, 300, 200, 2500, 0, 30)
    Recorder.batches = []
    BagTransformer(Recorder()).fit(make_frame(sizes=sizes))
    assert list(map(len, Recorder.batches)) == [1100, 2500, 30]


def test_bags_smaller_than_the_number_of_components_are_no_obstacle():
    X = make_frame(n_features=6, sizes=(2, 3, 2, 4, 1, 5))
    out = BagTransformer(IncrementalPCA(6)).fit_transform(X)
    # all six components are a rotation: distances remain
    centred = stack(X) - stack(X).mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(stack(out), axis=1), np.linalg.norm(centred, axis=1), rtol=1e-4)


def test_fewer_tiles_than_components_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="n_components=4 must be less or equal to the batch number of samples 3"):
        BagTransformer(IncrementalPCA(4)).fit(make_frame(sizes=(1, 2)))


def test_half_precision_does_not_overflow():
    X = pd.DataFrame({"wsi__tiles": BagArray([np.full((4, 2), 60000, dtype=np.float16), np.zeros((4, 2), np.float16)])})
    out = BagTransformer(StandardScaler()).fit_transform(X)
    np.testing.assert_allclose(stack(out), np.repeat([1.0, -1.0], 4)[:, None] * [1, 1], rtol=1e-6)


def test_missing_features_of_tiles_are_mended():
    X = pd.DataFrame({"wsi__tiles": BagArray([[[1.0, np.nan], [3, 4]], [[np.nan, 8.0]]])})
    out = BagTransformer(SimpleImputer()).fit_transform(X)
    np.testing.assert_array_equal(stack(out), [[1, 6], [3, 4], [2, 8]])


def test_max_tiles_limits_the_fit_and_draws_from_all_bags():
    X = make_frame(sizes=(200, 300, 0, 500))
    Recorder.batches = []
    BagTransformer(Recorder(), max_tiles=100, random_state=0).fit(X)
    assert list(map(len, Recorder.batches)) == [100]

    few = BagTransformer(StandardScaler(), max_tiles=100, random_state=0).fit(X)
    same = BagTransformer(StandardScaler(), max_tiles=100, random_state=0).fit(X)
    other = BagTransformer(StandardScaler(), max_tiles=100, random_state=1).fit(X)
    mean = few.transformers_["wsi__tiles"].mean_
    np.testing.assert_array_equal(mean, same.transformers_["wsi__tiles"].mean_)
    assert not np.array_equal(mean, other.transformers_["wsi__tiles"].mean_)
    # standard error 3 / sqrt(100)
    np.testing.assert_allclose(mean, stack(X).mean(axis=0), atol=1.2)

    everything = BagTransformer(StandardScaler(), max_tiles=1000, random_state=0).fit(X)
    np.testing.assert_allclose(everything.transformers_["wsi__tiles"].mean_, stack(X).mean(axis=0), rtol=1e-4)


def test_drawn_tiles_are_distinct_tiles_of_the_bags():
    Recorder.batches = []
    bags = BagArray([np.arange(0, 10.0)[:, None], None, np.arange(10.0, 30)[:, None]])
    BagTransformer(Recorder(), max_tiles=25, random_state=0).fit(bags)
    values = np.concatenate(Recorder.batches).ravel()
    assert len(set(values)) == 25
    assert set(values) <= set(range(30))


def test_each_column_has_its_own_transformer():
    X = pd.concat([make_frame(), make_frame(n_features=2, seed=1).set_axis(["ihc__tiles"], axis=1)], axis=1)
    out = BagTransformer(StandardScaler()).fit_transform(X)
    for name in X.columns:
        tiles = np.concatenate([bag.features for bag in out[name].dropna()])
        np.testing.assert_allclose(tiles.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(tiles.std(axis=0), 1, atol=1e-5)


def test_works_inside_a_column_transformer_with_pandas_output():
    X = make_frame().assign(clinical__age=range(6))
    prepare = ColumnTransformer(
        [("wsi", BagTransformer(StandardScaler()), ["wsi__tiles"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    out = prepare.fit_transform(X)
    assert list(out.columns) == ["wsi__tiles", "clinical__age"]
    np.testing.assert_allclose(stack(out).mean(axis=0), 0, atol=1e-5)
    assert list(prepare.get_feature_names_out()) == list(out.columns)
    unseen = prepare.transform(X.iloc[[3]])  # a patient without a bag
    assert unseen["wsi__tiles"].isna().all()


def test_a_series_or_an_array_of_bags_will_do():
    X = make_frame()
    expected = BagTransformer(StandardScaler()).fit_transform(X)
    pd.testing.assert_frame_equal(BagTransformer(StandardScaler()).fit_transform(X["wsi__tiles"]), expected)
    out = BagTransformer(StandardScaler()).fit_transform(X["wsi__tiles"].array)
    np.testing.assert_array_equal(stack(out.set_axis(["wsi__tiles"], axis=1)), stack(expected))


def test_clone_pickle_and_nested_parameters():
    X = make_frame()
    model = BagTransformer(StandardScaler()).set_params(transformer__with_mean=False, max_tiles=1000)
    fitted = pickle.loads(pickle.dumps(clone(model).fit(X)))
    assert fitted.get_params()["transformer__with_mean"] is False
    np.testing.assert_array_equal(stack(fitted.transform(X)), stack(model.fit_transform(X)))
    assert not hasattr(model.transformer, "scale_")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((3, 2)), "works on columns of bags; got ndarray"),
        (make_frame().assign(clinical__age=1), "column 'clinical__age' has dtype int64"),
    ],
    ids=["array", "numbers"],
)
def test_what_is_no_column_of_bags_is_refused(X, message):
    with pytest.raises(TypeError, match=message):
        BagTransformer(StandardScaler()).fit(X)


def test_errors_name_the_column_or_the_patient():
    with pytest.raises(ValueError, match=r"Column 'wsi__tiles' holds no bag .* all 2 patients lack it"):
        BagTransformer(StandardScaler()).fit(make_frame(sizes=(0, 0)))
    fitted = BagTransformer(PCA(2)).fit(make_frame())
    with pytest.raises(ValueError, match=r"tiles with 5 features, but PCA.* was fitted to tiles with 4"):
        fitted.transform(make_frame(n_features=5))
    broken = make_frame()
    broken.loc["P2", "wsi__tiles"] = Bag(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match=r"Bag of patient 'P2' in column 'wsi__tiles': Input X contains NaN"):
        fitted.transform(broken)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(make_frame().set_axis(["ihc__tiles"], axis=1))
    with pytest.raises(NotFittedError):
        BagTransformer(PCA(2)).transform(make_frame())


def test_a_transformer_that_changes_the_number_of_tiles_is_refused():
    every_other = FunctionTransformer(lambda X: X[::2])
    with pytest.raises(ValueError, match="Bag of patient 'P0'"):
        BagTransformer(every_other).fit_transform(make_frame())


@pytest.mark.parametrize("parameters", [{"transformer": "scale"}, {"max_tiles": 0}, {"random_state": "x"}])
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        BagTransformer(**{"transformer": QuantileTransformer(), **parameters}).fit(make_frame())
