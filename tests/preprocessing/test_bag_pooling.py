import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksurv_mmf.bags import BagArray
from sksurv_mmf.preprocessing import BagPooling


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    tiles = [rng.normal(size=(n, 3)).astype(np.float32) for n in (1, 4, 9)]
    return pd.DataFrame({"wsi__tiles": BagArray([*tiles, None])}, index=list("abcd"))


STATISTICS = {
    "mean": lambda tiles: tiles.mean(0),
    "std": lambda tiles: tiles.std(0),
    "min": lambda tiles: tiles.min(0),
    "max": lambda tiles: tiles.max(0),
    "median": lambda tiles: np.median(tiles, 0),
    0.25: lambda tiles: np.quantile(tiles, 0.25, 0),
    1: lambda tiles: tiles.max(0),
}


def test_pooling_is_that_of_numpy(X):
    pooled = BagPooling(list(STATISTICS)).fit_transform(X)
    for row, bag in zip(pooled, X["wsi__tiles"].dropna()):
        tiles = bag.features.astype(float)
        assert_allclose(row, np.concatenate([function(tiles) for function in STATISTICS.values()]), rtol=1e-12)
    assert np.isnan(pooled[3]).all()


def test_the_order_of_tiles_does_not_matter(X):
    shuffled = X.assign(wsi__tiles=BagArray([bag.features[::-1] for bag in X["wsi__tiles"][:3]] + [None]))
    pooling = BagPooling(["mean", "std", 0.3]).fit(X)
    assert_allclose(pooling.transform(shuffled), pooling.transform(X), rtol=1e-12)


def test_a_missing_value_does_not_count():
    bags = BagArray([[[1.0, np.nan], [3.0, np.nan]], [[np.nan, 5.0], [7.0, 9.0]]])
    assert_array_equal(BagPooling(handle_missing="ignore").fit_transform(pd.Series(bags)), [[2, np.nan], [7, 7]])


def test_names_say_column_statistic_and_feature(X):
    names = BagPooling(["std", 0.9]).fit(X).get_feature_names_out()
    expected = [f"wsi__tiles_{label}{i}" for label in ("std", "q0.9_") for i in range(3)]
    assert names.tolist() == expected


def test_pooling_learns_nothing_from_other_patients(X):
    alone = BagPooling().fit(X.iloc[[1]]).transform(X)
    assert_array_equal(alone, BagPooling().fit_transform(X))


@pytest.mark.parametrize("statistics", ["mean", [], ["mode"], [1.5], [True], [None]])
def test_an_unknown_statistic_is_refused(X, statistics):
    with pytest.raises(ValueError, match=r"statistics.* must"):
        BagPooling(statistics).fit(X)


def test_other_tiles_are_refused(X):
    pooling = BagPooling().fit(X)
    with pytest.raises(ValueError, match=r"tiles with 2 features, but BagPooling.* fitted to tiles with 3"):
        pooling.transform(X.assign(wsi__tiles=BagArray([np.ones((1, 2))] * 4)))
    with pytest.raises(TypeError, match="BagPooling works on columns of dtype 'bag'; column 'rna__a'"):
        pooling.fit(X.assign(rna__a=1.0))
    with pytest.raises(ValueError, match="all 1 patients lack it"):
        pooling.fit(X.iloc[[3]])
