import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.bags import Bag, BagArray, BagDtype

PATIENTS = ["P1", "P2", "P3", "P4", "P5"]
PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3


@pytest.fixture
def bags():
    """Five bags in memory, the third missing; bag i has i + 1 tiles."""
    rng = np.random.default_rng(0)
    return [None if i == 2 else Bag(rng.normal(size=(i + 1, 3)), source=f"slide{i}") for i in range(5)]


@pytest.fixture
def column(bags):
    return pd.Series(bags, index=PATIENTS, dtype="bag", name="wsi__tiles")


@pytest.fixture
def frame(column):
    return pd.DataFrame({column.name: column, "rna__A": np.arange(5.0), "site": list("xyxyx")})


@pytest.fixture
def file_backed_column(tmp_path):
    tiles = np.ones((1000, 1024), dtype=np.float16)
    np.save(tmp_path / "slide.npy", tiles)
    return pd.Series([Bag.from_file(tmp_path / "slide.npy")] * 3, dtype="bag")


def assert_same_bags(column, expected):
    """The very same bags at the same places, with a column of the right type around them."""
    assert column.dtype == "bag"
    assert len(column) == len(expected)
    for bag, other in zip(column, expected):
        assert bag is (pd.NA if other is None else other)


def test_dtype_is_registered():
    assert pd.api.types.pandas_dtype("bag") == BagDtype()
    assert repr(BagDtype()) == "BagDtype()"
    assert pd.array([np.ones((2, 3))], dtype="bag").dtype == BagDtype()


def test_elements_may_be_bags_arrays_or_missing(bags):
    array = BagArray([bags[0], np.ones((2, 3)), [[1, 2, 3]], None, np.nan, pd.NA, pd.NaT])
    assert array[0] is bags[0]
    assert array[1] == Bag(np.ones((2, 3)))
    assert array[2] == Bag([[1, 2, 3]])
    assert array.isna().tolist() == [False, False, False, True, True, True, True]
    assert all(bag is pd.NA for bag in array[3:])


@pytest.mark.parametrize("element", ["slide.npy", 3.0, object()])
def test_other_elements_are_refused(element):
    reason = f"Element 1 cannot be a bag: .* Bag, 2-D arrays and missing values, got {type(element).__name__}"
    with pytest.raises(TypeError, match=reason):
        BagArray([None, element])


def test_arrays_that_are_no_bags_are_refused_with_their_position(bags):
    with pytest.raises(ValueError, match=r"Element 2 cannot be a bag: .*got shape \(0, 3\)"):
        BagArray([*bags[:2], np.ones((0, 3))])


def test_sizes_are_known(bags):
    array = BagArray(bags)
    assert_array_equal(array.n_tiles, [1, 2, 0, 4, 5])
    assert array.n_tiles.dtype == np.int64
    assert array.n_features == 3
    assert BagArray([None]).n_features is None
    assert array.nbytes == (1 + 2 + 4 + 5) * 3 * 4 + 5 * 8


def test_file_backed_bags_take_no_memory(file_backed_column):
    assert file_backed_column.array.nbytes == 3 * 8


def test_bags_of_different_width_are_refused_with_their_positions(bags):
    narrow = Bag(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"there are 3 bags with 3; 2 bags with 2: 1, 4 \(by position\)\.$"):
        BagArray([bags[0], narrow, bags[1], None, narrow, bags[3]])
    with pytest.raises(ValueError, match=r"8 bags with 3; 7 bags with 2: 0, 1, 2, 3, 4 and 2 more \(by position\)\.$"):
        BagArray([narrow] * 7 + [bags[0]] * 8)
    with pytest.raises(ValueError, match=r"1 bag with 2: 5 \(by position\)\.$"):
        pd.concat([pd.Series(bags, dtype="bag"), pd.Series([narrow], dtype="bag")])


def test_setting_a_bag_of_different_width_is_refused_and_changes_nothing(column, bags):
    with pytest.raises(ValueError, match=r"4 bags with 3; 1 bag with 2: 2 \(by position\)\.$"):
        column.iloc[2] = Bag(np.ones((2, 2)))
    assert_same_bags(column, bags)


def test_all_bags_can_be_replaced_by_others_of_another_width(column):
    column[:] = [np.ones((1, 2))] * 5
    assert column.array.n_features == 2


def test_an_array_of_numbers_is_set_as_one_bag(column):
    column["P3"] = np.ones((2, 3))
    assert column["P3"] == Bag(np.ones((2, 3)))
    column["P1"] = None
    assert column["P1"] is pd.NA


def test_equality_is_that_of_the_bags(column, bags):
    same = pd.Series([None if bag is None else Bag(bag.features) for bag in bags], index=PATIENTS, dtype="bag")
    assert (column == same).tolist() == [True, True, False, True, True]
    assert (column != same).tolist() == [False, False, True, False, False]
    assert (column == bags[1]).tolist() == [False, True, False, False, False]
    assert column.equals(same)
    assert not column.equals(same.iloc[::-1].set_axis(PATIENTS))
    with pytest.raises(ValueError, match="Lengths must match"):
        column.array == bags[:2]  # noqa: B015


def test_duplicates_are_found_by_content(bags):
    column = pd.Series([bags[0], Bag(bags[0].features), None, bags[1], None], dtype="bag")
    assert column.duplicated().tolist() == [False, True, False, False, True]
    assert_same_bags(column.unique(), [bags[0], None, bags[1]])
    codes, uniques = pd.factorize(column)
    assert codes.tolist() == [0, 0, -1, 1, -1]
    assert_same_bags(uniques, [bags[0], bags[1]])
    assert column.isin([bags[1]]).tolist() == [False, False, False, True, False]


def test_pandas_hash_tells_bags_of_one_size_apart():
    column = pd.Series([np.ones((2, 3)), np.zeros((2, 3)), -np.zeros((2, 3)), None], dtype="bag")
    ones, zeros, negative_zeros, missing = pd.util.hash_pandas_object(column, index=False)
    assert zeros == negative_zeros
    assert len({ones, zeros, missing}) == 3


# A column of bags survives what happens to a table


@pytest.mark.parametrize(
    "select",
    [
        lambda frame: frame.iloc[[0, 3]],
        lambda frame: frame.iloc[::3],
        lambda frame: frame.loc[["P1", "P4"]],
        lambda frame: frame[[True, False, False, True, False]],
        lambda frame: frame[frame["rna__A"].isin([0, 3])],
        lambda frame: frame.take([0, 3]),
        lambda frame: frame.query("rna__A == 0 or rna__A == 3"),
        lambda frame: frame.drop(["P2", "P3", "P5"]),
        lambda frame: frame.filter(["P1", "P4"], axis=0),
        lambda frame: frame.sort_values("rna__A", ascending=False).iloc[[4, 1]],
        lambda frame: frame.sample(frac=1, random_state=0).loc[["P1", "P4"]],
    ],
)
def test_selecting_rows(frame, bags, select):
    assert_same_bags(select(frame)["wsi__tiles"], [bags[0], bags[3]])


def test_dropna_and_isna(frame, bags):
    assert frame.isna()["wsi__tiles"].tolist() == [False, False, True, False, False]
    assert_same_bags(frame.dropna()["wsi__tiles"], [bags[0], bags[1], bags[3], bags[4]])
    assert_same_bags(frame["wsi__tiles"].fillna(bags[0]), [bags[0], bags[1], bags[0], bags[3], bags[4]])


def test_concat(frame, bags):
    assert_same_bags(pd.concat([frame.iloc[3:], frame.iloc[:3]])["wsi__tiles"], bags[3:] + bags[:3])
    beside = pd.concat([frame["wsi__tiles"].iloc[:2], frame["rna__A"]], axis=1)
    assert_same_bags(beside["wsi__tiles"], [*bags[:2], None, None, None])


def test_merge_and_join(frame, bags):
    clinical = pd.DataFrame({"patient": ["P5", "P1", "P9"], "age": [50, 60, 70]})
    merged = clinical.merge(frame, left_on="patient", right_index=True, how="left")
    assert_same_bags(merged["wsi__tiles"], [bags[4], bags[0], None])
    joined = clinical.set_index("patient").join(frame, how="inner")
    assert_same_bags(joined["wsi__tiles"], [bags[4], bags[0]])


def test_reindex_fills_with_missing(column, bags):
    reindexed = column.reindex(["P4", "P9", "P1"])
    assert_same_bags(reindexed, [bags[3], None, bags[0]])
    assert_array_equal(reindexed.array.n_tiles, [4, 0, 1])


def test_set_and_reset_index(frame, bags):
    renamed = frame.rename_axis("patient").reset_index().set_index("site")
    assert_same_bags(renamed["wsi__tiles"], bags)
    assert_same_bags(renamed.loc["y", "wsi__tiles"], [bags[1], bags[3]])
    by_bag = frame.iloc[[0, 1]].set_index("wsi__tiles")
    assert by_bag.loc[bags[1], "rna__A"] == 1


def test_groupby_another_column(frame, bags):
    groups = dict(list(frame.groupby("site")["wsi__tiles"]))
    assert_same_bags(groups["x"], [bags[0], None, bags[4]])
    assert_same_bags(groups["y"], [bags[1], bags[3]])
    assert_same_bags(frame.groupby("site")["wsi__tiles"].first(), [bags[0], bags[1]])


def test_copies_share_tiles_but_not_cells(frame, bags):
    for duplicate in (frame.copy(), copy.copy(frame), copy.deepcopy(frame)):
        assert_same_bags(duplicate["wsi__tiles"], bags)
        duplicate.loc["P1", "wsi__tiles"] = None
        assert_same_bags(frame["wsi__tiles"], bags)


def test_pickle(frame, file_backed_column):
    restored = pickle.loads(pickle.dumps(frame))
    pd.testing.assert_frame_equal(restored, frame)
    assert restored["wsi__tiles"].iloc[1].source == "slide1"
    assert pickle.loads(pickle.dumps(file_backed_column)).equals(file_backed_column)


def test_column_of_file_backed_bags_is_pickled_without_tiles(tmp_path):
    names = [tmp_path / f"patient{i:04}.npy" for i in range(1000)]
    np.save(names[0], np.ones((500, 512), dtype=np.float32))
    for name in names[1:]:
        name.hardlink_to(names[0])
    column = pd.Series([Bag.from_file(name) for name in names], dtype="bag")
    pickled = pickle.dumps(column)
    assert len(pickled) < 1000 * (len(str(names[0])) + 100)
    assert pickle.loads(pickled).equals(column)


def test_astype_object_and_back(column, bags):
    cells = column.astype(object)
    assert cells.dtype == object
    assert all(cell is (pd.NA if bag is None else bag) for cell, bag in zip(cells, bags))
    assert_same_bags(cells.astype("bag"), bags)
    with pytest.raises(TypeError, match="dtype object only, not float64"):
        column.astype(float)


def test_printing_names_the_bags_and_reads_none(frame, file_backed_column, tmp_path):
    assert "Bag(4 tiles x 3 features)" in frame.to_string()
    assert "Bag(4 tiles x 3 features)" in repr(frame)
    assert "<NA>" in repr(frame["wsi__tiles"])
    (tmp_path / "slide.npy").unlink()
    assert repr(file_backed_column).count("Bag(1000 tiles x 1024 features)") == 3
    assert file_backed_column.to_csv(index=False).count("Bag(1000 tiles x 1024 features)") == 3
    if PANDAS_3:  # before, pandas asked the bag itself what it is made of
        assert file_backed_column[:1].to_json() == '{"0":"Bag(1000 tiles x 1024 features)"}'


def test_functions_of_a_bag(column, bags):
    n_tiles = column.dropna().map(lambda bag: bag.n_tiles)
    assert n_tiles.tolist() == [1, 2, 4, 5]
    assert n_tiles.dtype == np.int64
    doubled = column.map(lambda bag: bag.map(np.negative), na_action="ignore")
    assert doubled.dtype == ("bag" if PANDAS_3 else object)
    assert_array_equal(doubled["P2"].features, -bags[1].features)
    assert doubled["P3"] is pd.NA
    arrays = column.dropna().map(lambda bag: bag.features)
    assert arrays.dtype == object  # arrays that a function returns are not made bags again
    assert_array_equal(arrays["P2"], bags[1].features)


def test_neither_slicing_nor_taking_copies_tiles():
    tiles = np.ones((1000, 2, 4), dtype=np.float32)
    column = pd.Series(list(tiles), dtype="bag")
    order = np.random.default_rng(0).permutation(1000)
    for part, positions in [
        (column.iloc[100:900:2], range(100, 900, 2)),
        (column.take(order), order),
        (column[column.index % 2 == 0], range(0, 1000, 2)),
        (pd.concat([column, column]), [*range(1000)] * 2),
        (column.copy(deep=True), range(1000)),
    ]:
        assert len(part) == len(positions)
        assert all(np.shares_memory(bag.features, tiles[position]) for bag, position in zip(part, positions))


# and what scikit-learn does to it


def test_train_test_split(frame, bags):
    train, test = train_test_split(frame, test_size=2, random_state=0)
    for part in (train, test):
        assert_same_bags(part["wsi__tiles"], [bags[PATIENTS.index(patient)] for patient in part.index])


@pytest.mark.parametrize(
    "selector", [["wsi__tiles"], make_column_selector("wsi__"), make_column_selector(dtype_include="bag")]
)
def test_column_transformer_with_selector(frame, bags, selector):
    transformer = ColumnTransformer(
        [("rna", StandardScaler(), ["rna__A"]), ("wsi", "passthrough", selector)], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    transformed = transformer.fit_transform(frame)
    assert list(transformed.columns) == ["rna__A", "wsi__tiles"]
    assert_same_bags(transformed["wsi__tiles"], bags)
    assert transformed["rna__A"].mean() == pytest.approx(0)


def test_column_transformer_with_remainder(frame, bags):
    transformer = ColumnTransformer(
        [("rna", StandardScaler(), ["rna__A"])], remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    assert_same_bags(transformer.fit(frame).transform(frame.iloc[::-1])["wsi__tiles"], bags[::-1])


def mean_tiles(frame):
    return np.array([bag.features.mean(axis=0) for bag in frame["wsi__tiles"]])


@pytest.mark.parametrize("file_backed", [False, True])
def test_cross_validation_in_worker_processes(tmp_path, file_backed):
    rng = np.random.default_rng(0)
    tiles = [rng.normal(loc=patient % 3, size=(20, 2)).astype(np.float32) for patient in range(30)]
    for patient, features in enumerate(tiles):
        np.save(tmp_path / f"{patient}.npy", features)
    bags = [Bag.from_file(tmp_path / f"{i}.npy") if file_backed else Bag(tiles[i]) for i in range(30)]
    X = pd.DataFrame({"wsi__tiles": pd.Series(bags, dtype="bag")})
    y = Surv.from_arrays(np.ones(30, dtype=bool), rng.exponential(size=30) * np.exp(-X.index % 3) + 0.1)
    model = make_pipeline(FunctionTransformer(mean_tiles), CoxPHSurvivalAnalysis(alpha=1))

    scores = cross_val_score(model, X, y, cv=KFold(3), n_jobs=2)

    means = np.array([features.mean(axis=0) for features in tiles])
    assert_array_equal(scores, cross_val_score(CoxPHSurvivalAnalysis(alpha=1), means, y, cv=KFold(3)))
