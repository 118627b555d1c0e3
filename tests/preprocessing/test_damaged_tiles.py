"""Tiles that come from damaged files are refused before something averages or imputes them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf import LateFusionSurvivalAnalysis
from sksurv_mmf.bags import read_bags
from sksurv_mmf.preprocessing import BagPooling, BagTransformer, ModalityImputer, make_modality_transformer
from sksurv_mmf.presets import baselines

DAMAGES = {
    "one value": ((2, 1), 2),
    "one tile": ((3, slice(None)), 3),
    "most tiles": (slice(1, None), 1),
    "everything": (slice(None), 0),
}


@pytest.fixture(params=["memory", "file"])
def make_column(request, tmp_path):
    """A column of twenty bags in memory or in files, some features of the bag of P7 being `value`."""

    def make(where=None, value=np.nan, dtype=np.float32):
        rng = np.random.default_rng(0)
        bags = {f"P{i}": rng.normal(size=(6, 3)).astype(dtype) for i in range(20)}
        if where is not None:
            bags["P7"][where] = value
        if request.param == "memory":
            return pd.Series(bags).astype("bag").to_frame("wsi__tiles")
        folder = tmp_path / f"cohort{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, features in bags.items():
            np.save(folder / f"{name}.npy", features)
        return read_bags(folder).to_frame("wsi__tiles")

    return make


@pytest.mark.parametrize(("where", "tile"), DAMAGES.values(), ids=DAMAGES)
def test_pooling_refuses_nan_and_names_patient_and_tile(make_column, where, tile):
    X = make_column(where)
    with pytest.raises(ValueError, match=f"patient 'P7' in column 'wsi__tiles'.*: tile {tile} has "):
        BagPooling().fit_transform(X)


def test_pooling_names_the_file(make_column):
    X = make_column((2, 1))
    if X.iloc[0, 0].is_file_backed:
        with pytest.raises(ValueError, match=r"from '.*P7\.npy': tile 2 has NaN .*handle_missing='ignore'"):
            BagPooling().fit_transform(X)


def test_nan_that_is_asked_for_does_not_count(make_column):
    X = make_column((2, 1))
    pooled = BagPooling(["mean", "max"], handle_missing="ignore").fit_transform(X)
    tiles = X.loc["P7", "wsi__tiles"].features.astype(float)
    assert_array_equal(pooled[X.index == "P7"][0], [*np.nanmean(tiles, 0), *np.nanmax(tiles, 0)])


def test_a_bag_without_a_value_cannot_be_asked_for(make_column):
    X = make_column(slice(None))
    with pytest.raises(ValueError, match=r"'P7' .*no value, NaN throughout"):
        BagPooling(handle_missing="ignore").fit_transform(X)
    with pytest.raises(ValueError, match=r"'P7' .*no value, NaN throughout"):
        BagTransformer(SimpleImputer()).fit(X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("handle_missing", ["error", "ignore"])
def test_infinite_features_are_refused(make_column, dtype, value, handle_missing):
    X = make_column((4, 0), value, dtype)
    with pytest.raises(ValueError, match=r"'P7' .*tile 4 has infinite features"):
        BagPooling(handle_missing=handle_missing).fit_transform(X)
    with pytest.raises(ValueError, match=r"'P7' .*tile 4 has infinite features"):
        BagTransformer(StandardScaler()).fit(X)


def test_a_fitted_imputer_does_not_hide_a_bag_without_a_value(make_column):
    imputer = BagTransformer(SimpleImputer()).fit(make_column())
    with pytest.raises(ValueError, match="no value, NaN throughout"):
        imputer.transform(make_column(slice(None))).loc["P7", "wsi__tiles"].features  # noqa: B018


def test_an_imputer_fills_single_values(make_column):
    filled = BagTransformer(SimpleImputer()).fit_transform(make_column((2, 1)))
    assert np.isfinite(filled.loc["P7", "wsi__tiles"].features).all()


def survival(n_patients):
    return Surv.from_arrays(np.ones(n_patients, dtype=bool), np.random.default_rng(0).exponential(size=n_patients))


@pytest.mark.parametrize("name", ["Gradient boosting", "Late fusion, rank"])
def test_baselines_refuse_a_damaged_slide_unless_asked(make_column, name):
    X = make_column(slice(1, None)).assign(rna__G=np.linspace(0, 1, 20) ** 2)
    with pytest.raises(ValueError, match="patient 'P7' in column 'wsi__tiles'"):
        baselines(clinical=None, random_state=0)[name].fit(X, survival(20))
    model = baselines(clinical=None, handle_missing="ignore", random_state=0)[name]
    assert np.isfinite(model.fit(X, survival(20)).predict(X)).all()


def test_pooling_and_imputation_of_the_guide(make_column):
    """Missing patients are imputed, damaged slides are not."""
    X = make_column()
    X.iloc[3, 0] = pd.NA
    cox = CoxPHSurvivalAnalysis(alpha=10)
    late = LateFusionSurvivalAnalysis([("wsi", make_pipeline(BagPooling(), SimpleImputer(), cox))])
    table = make_pipeline(
        make_modality_transformer(wsi=BagPooling(), rna=FunctionTransformer()), ModalityImputer(), cox
    )
    genes = np.linspace(0, 1, 20) ** 2
    damaged = make_column((0, 0)).assign(rna__G=genes)
    full = X.assign(rna__G=genes)
    assert np.isfinite(table.fit(full, survival(20)).predict(full)).all()
    with pytest.raises(ValueError, match="'P7'"):
        table.predict(damaged)
    late.fit(X.drop(X.index[3]), survival(19))
    with pytest.raises(ValueError, match=r"modality 'wsi' cannot predict: Bag of patient 'P7'"):
        late.predict(damaged[["wsi__tiles"]])


def test_an_unknown_way_to_handle_missing_values(make_column):
    with pytest.raises(ValueError, match="'handle_missing' parameter of BagPooling"):
        BagPooling(handle_missing="skip").fit(make_column())
