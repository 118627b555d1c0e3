"""Names of columns are made and taken apart, and tell who has a modality together with the values."""

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.utils._frames import who_has
from sksurv_mmf.utils._modality_names import (
    belongs_to,
    column_name,
    columns_by_modality,
    feature_of,
    modality_of,
    prefixes,
    without_modality,
)


@pytest.mark.parametrize(("modality", "feature"), [("rna", "TP53"), ("rna", "HLA__A"), ("wsi", "tiles")])
def test_what_is_made_is_taken_apart_again(modality, feature):
    column = column_name(modality, feature)
    assert (modality_of(column), feature_of(column, modality), without_modality(column)) == (modality, feature, feature)
    assert belongs_to(column, modality)


@pytest.mark.parametrize("column", ["age", "__age", 3, ("rna", "TP53")])
def test_other_names_belong_to_no_modality(column):
    assert modality_of(column) is None
    assert not belongs_to(column, "rna")
    assert columns_by_modality([column]) == {}


def test_a_modality_is_not_one_whose_name_begins_alike():
    assert not belongs_to("rna2__TP53", "rna")
    assert feature_of("rna2__TP53", "rna") == "rna2__TP53"


def test_modalities_are_in_order_of_appearance():
    columns = ["wsi__tiles", "rna__b", "clinical__age", "rna__a"]
    assert prefixes(columns) == ["wsi", "rna", "clinical"]
    assert columns_by_modality(columns)["rna"] == ["rna__b", "rna__a"]
    assert prefixes(["age", "sex", 3]) == []


@pytest.mark.parametrize("loose", ["age", "__age", 3])
def test_a_name_without_a_modality_among_others_is_refused(loose):
    with pytest.raises(ValueError, match=f"Column {loose!r} belongs to no modality"):
        prefixes(["rna__TP53", loose])


def test_a_patient_has_a_modality_unless_all_of_it_is_missing():
    X = pd.DataFrame({"rna__a": [1.0, np.nan, np.nan], "age": [1, 2, 3], "rna__b": [np.nan, np.nan, 2.0]})
    X["tiles"] = pd.array([np.ones((2, 3)), pd.NA, np.full((1, 3), np.nan)], dtype="bag")
    assert who_has(X, [0, 2]).tolist() == [True, False, True]
    assert who_has(X, [3]).tolist() == [True, False, True]
    assert who_has(X).tolist() == [True, True, True]
    assert who_has(X[["rna__a", "rna__b"]].to_numpy()).tolist() == [True, False, True]
