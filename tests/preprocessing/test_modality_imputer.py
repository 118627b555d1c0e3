import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.preprocessing import StandardScaler

from sksurv_mmf.preprocessing import ModalityImputer, make_modality_transformer

NAN = np.nan


@pytest.fixture
def X():
    columns = ["rna__a", "rna__b", "clinical__age"]
    return pd.DataFrame([[1, 2, 50], [3, 6, NAN], [NAN, NAN, 70], [NAN, 4, 60.0]], index=list("wxyz"), columns=columns)


def test_gaps_get_the_mean_and_missing_modalities_an_indicator(X):
    expected = X.fillna({"rna__a": 2.0, "rna__b": 4.0, "clinical__age": 60.0})
    expected["clinical__missing"] = [0.0, 1.0, 0.0, 0.0]
    expected["rna__missing"] = [0.0, 0.0, 1.0, 0.0]
    imputer = ModalityImputer().fit(X)
    assert_frame_equal(imputer.transform(X)[expected.columns], expected)
    assert sorted(imputer.indicated_) == ["clinical", "rna"]
    assert_frame_equal(ModalityImputer(add_indicator=False).fit_transform(X), expected.iloc[:, :3])


def test_means_are_those_of_the_training_patients(X):
    imputer = ModalityImputer().fit(X[:2])
    filled = imputer.transform(X)
    assert filled.loc["y", "rna__a"] == 2.0
    assert filled.loc["x", "clinical__age"] == 50.0
    # nobody among the training patients lacks RNA, so that its indicator would have taught nothing
    assert imputer.indicated_ == ["clinical"]


def test_a_column_that_nobody_has_becomes_zero(X):
    assert (ModalityImputer().fit_transform(X.assign(rna__c=NAN))["rna__c"] == 0).all()


def test_behind_a_scaler_the_missing_patient_is_the_average_one(X):
    prepared = make_modality_transformer(rna=StandardScaler(), remainder="drop").fit_transform(X.drop(index="z"))
    assert ModalityImputer().fit_transform(prepared).loc["y"].tolist() == [0.0, 0.0, 1.0]


def test_arrays_and_infinite_values_are_refused(X):
    with pytest.raises(TypeError, match="DataFrame with columns named <modality>__<feature>"):
        ModalityImputer().fit(X.to_numpy())
    with pytest.raises(ValueError, match="infinity"):
        ModalityImputer().fit(X.replace(50, np.inf))
