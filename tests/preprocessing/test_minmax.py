import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sksurv_mmf.bags import BagArray
from sksurv_mmf.preprocessing import BagTransformer, MinMaxNormalizer


@parametrize_with_checks([MinMaxNormalizer()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_scikit_learns_scaler_of_the_transposed_matrix():
    X = np.random.default_rng(0).normal(size=(7, 5)) * 1e3
    np.testing.assert_allclose(MinMaxNormalizer().fit_transform(X), MinMaxScaler().fit_transform(X.T).T, atol=1e-12)


def test_bounds_are_reached_exactly_and_never_left():
    X = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    out = MinMaxNormalizer().fit_transform(X)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.min(axis=1), 0)
    np.testing.assert_array_equal(out.max(axis=1), 1)


def test_shift_and_positive_scale_of_a_patient_do_not_matter():
    X = np.random.default_rng(0).normal(size=(4, 6))
    shift, scale = np.array([[1.0], [-5], [0], [100]]), np.array([[2.0], [0.1], [1], [50]])
    np.testing.assert_allclose(
        MinMaxNormalizer().fit_transform(scale * X + shift), MinMaxNormalizer().fit_transform(X), atol=1e-12
    )


def test_a_row_is_rescaled_without_looking_at_any_other():
    X = np.random.default_rng(0).normal(size=(5, 4))
    whole = MinMaxNormalizer().fit_transform(X)
    np.testing.assert_array_equal(MinMaxNormalizer().fit(X[:1]).transform(X[3:]), whole[3:])


def test_constant_rows_become_zeros_and_missing_stays_missing():
    X = pd.DataFrame(
        [[3.0, 3, 3], [np.nan, np.nan, np.nan], [np.nan, 2, 6], [np.nan, 4, np.nan]],
        index=list("abcd"),
        columns=list("xyz"),
    )
    out = MinMaxNormalizer().set_output(transform="pandas").fit_transform(X)
    expected = [[0, 0, 0], [np.nan] * 3, [np.nan, 0, 1], [np.nan, 0, np.nan]]
    pd.testing.assert_frame_equal(out, pd.DataFrame(expected, X.index, X.columns, dtype=float))


def test_infinity_is_refused():
    with pytest.raises(ValueError, match="infinity"):
        MinMaxNormalizer().fit_transform([[1.0, np.inf]])


def test_rescales_each_tile_of_a_bag():
    bags = pd.Series(BagArray([[[0.0, 5, 10], [1, 1, 1]]]), index=["a"], name="wsi__tiles")
    out = BagTransformer(MinMaxNormalizer()).fit_transform(bags)
    np.testing.assert_array_equal(out.loc["a", "wsi__tiles"].features, [[0, 0.5, 1], [0, 0, 0]])
