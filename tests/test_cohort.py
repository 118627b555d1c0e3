import numpy as np
import pandas as pd
import pytest
import torch

from sksurv_mmf import Bag, BagArray, join_modalities
from sksurv_mmf.cohort._columns import describe, infer_columns, select_columns
from sksurv_mmf.cohort._reading import read_patients
from sksurv_mmf.cohort._tiles import tile_table
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.outcome._outcome import Outcome


@pytest.fixture
def bags():
    tiles = [np.full((n, 2), n, dtype=np.float32) for n in (1, 2, 3)]
    return pd.Series(BagArray(tiles), index=["P1", "P2", "P3"])


@pytest.fixture
def rna():
    return pd.DataFrame({"TP53": [4.0, 3.0, 2.0], "EGFR": [40.0, 30.0, 20.0]}, index=["P4", "P3", "P2"])


class TestJoin:
    def test_rows_are_matched_by_patient_not_by_position(self, bags, rna):
        X = join_modalities({"wsi": bags, "rna": rna})
        assert X.index.tolist() == ["P2", "P3"]
        assert X.columns.tolist() == ["wsi__tiles", "rna__TP53", "rna__EGFR"]
        assert X["wsi__tiles"].array.n_tiles.tolist() == [2, 3]
        assert X["rna__TP53"].tolist() == [2, 3]
        assert X.dtypes["wsi__tiles"] == "bag"

    def test_outer_keeps_all_and_marks_what_is_missing(self, bags, rna):
        X = join_modalities({"wsi": bags, "rna": rna}, how="outer")
        assert X.index.tolist() == ["P1", "P2", "P3", "P4"]
        assert X["wsi__tiles"].isna().tolist() == [False, False, False, True]
        assert X["rna__EGFR"].tolist()[1:] == [20, 30, 40]
        assert X.loc["P1", ["rna__TP53", "rna__EGFR"]].isna().all()
        assert X.dtypes["wsi__tiles"] == "bag"

    @pytest.mark.parametrize("how", ["inner", "outer"])
    def test_order_of_patients_is_that_of_their_first_appearance(self, bags, rna, how):
        X = join_modalities({"rna": rna, "wsi": bags}, how=how)
        assert X.index.tolist() == (["P3", "P2"] if how == "inner" else ["P4", "P3", "P2", "P1"])

    def test_any_column_names_and_series(self, rna):
        age = pd.Series([60, 70], index=["P2", "P3"], name="age")
        grade = pd.Series([1, 2], index=["P3", "P2"])
        X = join_modalities({"rna": rna.set_axis([0, 1], axis=1), "clinical": age, "grade": grade})
        assert X.columns.tolist() == ["rna__0", "rna__1", "clinical__age", "grade__value"]
        assert X.loc["P2"].tolist() == [2, 20, 60, 2]

    def test_booleans_stay_usable_where_some_patients_lack_them(self, rna):
        smoker = pd.DataFrame({"smoker": [True, False]}, index=["P1", "P2"])
        X = join_modalities({"rna": rna, "clinical": smoker}, how="outer")
        layout = describe(X, infer_columns(X))
        patients = read_patients(X, layout)
        present = patients.present[:, 1]
        assert dict(zip(X.index, present)) == {"P4": False, "P3": False, "P2": True, "P1": True}
        assert patients.columns[1].values[torch.as_tensor(present)].flatten().tolist() == [0.0, 1.0]

    def test_input_stays_as_it_was(self, bags, rna):
        before = rna.copy()
        join_modalities({"wsi": bags, "rna": rna})
        pd.testing.assert_frame_equal(rna, before)


class TestLayout:
    @pytest.fixture
    def X(self, bags, rna):
        return join_modalities({"rna": rna, "wsi": bags})

    def named(self, X, modalities):
        return {one.name: (one.columns, one.is_bag, one.n_features) for one in describe(X, modalities)}

    def test_modalities_are_inferred_from_prefixes(self, X):
        assert self.named(X, infer_columns(X)) == {"rna": ([0, 1], False, 2), "wsi": ([2], True, 2)}

    def test_columns_of_a_modality_need_not_stand_together(self, X):
        X = X[["rna__EGFR", "wsi__tiles", "rna__TP53"]]
        assert infer_columns(X) == [("rna", [0, 2]), ("wsi", [1])]

    def test_only_the_first_separator_counts(self):
        X = pd.DataFrame(np.ones((2, 2)), columns=["rna__HLA__A", "rna__TP53"])
        assert infer_columns(X) == [("rna", [0, 1])]

    def test_a_name_that_begins_another_takes_its_own_columns_only(self):
        X = pd.DataFrame(np.ones((2, 2)), columns=["rna__a", "rna2__a"])
        assert select_columns(X, [("rna", SNN()), ("rna2", SNN())]) == [("rna", [0]), ("rna2", [1])]

    @pytest.mark.parametrize("columns", [["TP53", "EGFR"], [0, 1]])
    def test_a_frame_without_prefixes_is_one_modality(self, columns):
        X = pd.DataFrame(np.ones((3, 2)), columns=columns)
        assert infer_columns(X) == [("features", [0, 1])]
        assert select_columns(X, [("anything", SNN())]) == [("anything", [0, 1])]

    def test_a_single_column_of_bags_is_one_modality(self, bags):
        assert self.named(bags.to_frame("slides"), [("tiles", [0])]) == {"tiles": ([0], True, 2)}
        assert infer_columns(bags.to_frame("slides")) == [("tiles", [0])]

    @pytest.mark.parametrize(
        "columns",
        [
            ["rna__EGFR"],
            "rna__EGFR",
            [1],
            1,
            slice(1, 2),
            np.array([False, True, False]),
            lambda X: ["rna__EGFR"],
        ],
        ids=["names", "name", "positions", "position", "slice", "mask", "callable"],
    )
    def test_columns_are_chosen_as_in_a_column_transformer(self, X, columns):
        modalities = [("a", SNN(), columns), ("b", SNN(), ["rna__TP53"]), ("wsi", AttentionMIL())]
        assert select_columns(X, modalities) == [("a", [1]), ("b", [0]), ("wsi", [2])]


class TestRead:
    def test_missing_means_na_or_nan_in_all_columns(self, bags, rna):
        X = join_modalities({"wsi": bags, "rna": rna}, how="outer")
        patients = read_patients(X, describe(X, infer_columns(X)))
        assert patients.present.tolist() == [[True, False], [True, True], [True, True], [False, True]]

    @pytest.mark.parametrize("dtype", ["int8", "uint64", "bool", "float16", "float64", "Int64", "Float32", "boolean"])
    def test_every_kind_of_number_becomes_float32(self, dtype):
        X = pd.DataFrame({"rna__a": pd.array([1, 0, 1], dtype=dtype)})
        values = read_patients(X, describe(X, infer_columns(X))).columns[0].values
        assert values.dtype == torch.float32
        assert values.flatten().tolist() == [1, 0, 1]

    def test_na_of_nullable_columns_is_missing(self):
        X = pd.DataFrame({"rna__a": pd.array([1, None], dtype="Int64"), "clinical__b": [1.0, 2.0]})
        assert read_patients(X, describe(X, infer_columns(X))).present.tolist() == [[True, True], [False, True]]


class TestOutcome:
    def test_fields_are_taken_by_position(self):
        y = np.array([(True, 3), (False, 5)], dtype=[("death", bool), ("months", int)])
        event, time = Outcome.of(y)
        assert event.tolist() == [True, False]
        assert time.tolist() == [3.0, 5.0]
        assert time.dtype == float


def test_tile_table_has_coordinates_where_all_bags_have_them():
    with_coords = [Bag(np.ones((2, 3)), coords=[[0, 1], [2, 3]]), Bag(np.ones((1, 3)), coords=[[4, 5]])]
    bags = pd.Series(BagArray(with_coords), index=["P1", "P2"])
    table = tile_table(bags, np.array([0.25, 0.75, 1.0]))
    assert table.index.tolist() == [("P1", 0), ("P1", 1), ("P2", 0)]
    assert table.to_numpy().tolist() == [[0.25, 0, 1], [0.75, 2, 3], [1, 4, 5]]
    assert table.columns.tolist() == ["attention", "x", "y"]
    bags = pd.Series(BagArray([*with_coords, np.ones((1, 3))]), index=["P1", "P2", "P3"])
    assert tile_table(bags, np.ones(4)).columns.tolist() == ["attention"]
