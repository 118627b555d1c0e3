"""Bags divided by the names of their instances."""

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf import join_modalities
from sksurv_mmf.bags import Bag, split_bags
from sksurv_mmf.preprocessing import BagPooling


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    bags = pd.Series([rng.normal(size=(n, 3)) for n in (4, 1, 3)], index=["Ann", "Bea", "Cleo"], dtype="bag")
    bags["Dora"] = pd.NA
    kinds = {"Cleo": ["a", "b", "a"], "Ann": ["b", "a", "b", "b"], "Bea": ["b"], "Eve": ["c"]}
    names = pd.concat({patient: pd.Series(own) for patient, own in kinds.items()})
    return bags.astype("bag"), names


def test_each_instance_is_in_the_column_of_its_name(cohort):
    bags, names = cohort
    split = split_bags(bags, names)
    assert list(split) == ["b", "a"]  # Ann is the first patient of bags; of Eve there is no bag
    np.testing.assert_array_equal(split.loc["Ann", "b"].features, bags["Ann"].features[[0, 2, 3]])
    np.testing.assert_array_equal(split.loc["Cleo", "a"].features, bags["Cleo"].features[[0, 2]])
    assert split["a"].isna().tolist() == [False, True, False, True]


def test_pooling_sees_each_kind_by_itself(cohort):
    bags, names = cohort
    X = join_modalities({"wsi": split_bags(bags, names)}, how="outer")
    pooled = BagPooling().set_output(transform="pandas").fit_transform(X)
    a = pooled.filter(regex="^wsi__a").to_numpy()
    np.testing.assert_allclose(a[0], bags["Ann"].features[1])
    np.testing.assert_allclose(a[2], bags["Cleo"].features[[0, 2]].mean(axis=0))
    assert np.isnan(a[1]).all()


def test_tiles_keep_their_slides():
    bag = Bag(np.eye(4), np.arange(8).reshape(4, 2), slides={"s1": 3, "s2": 1})
    names = pd.concat({"Ann": pd.Series(["a", "b", "b", "b"])})
    split = split_bags(pd.Series([bag], index=["Ann"], dtype="bag"), names)
    assert split.at["Ann", "a"].slides == {"s1": 1}
    assert split.at["Ann", "b"].slides == {"s1": 2, "s2": 1}
    np.testing.assert_array_equal(split.at["Ann", "b"].coords, bag.coords[1:])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda bags, names: (bags, names[1:]), ValueError, "'Cleo' has 3 instances and 2 names"),
        (lambda bags, names: (bags, names.drop("Bea")), ValueError, "'Bea' has 1 instances and 0 names"),
        (lambda bags, names: (bags, names.where(names != "a")), ValueError, "instances without a name"),
        (lambda bags, names: (pd.concat([bags, bags]), names), ValueError, "have several bags"),
        (lambda bags, names: (bags, names.reset_index(drop=True)), TypeError, "two levels, patient and tile"),
        (lambda bags, names: (bags.astype(object), names), TypeError, "dtype 'bag'"),
    ],
)
def test_names_that_do_not_fit_are_refused(cohort, change, error, message):
    with pytest.raises(error, match=message):
        split_bags(*change(*cohort))
