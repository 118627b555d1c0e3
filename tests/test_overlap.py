"""Patients of modalities and outcome that match, that might match, and that do not."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sksurv.util import Surv

from sksurv_mmf import BagArray, join_modalities

PATIENTS = [f"TCGA-{i % 7:02d}-{4000 + i}" for i in range(60)]


def table(patients, columns=("a", "b")):
    patients = list(patients)
    return pd.DataFrame(np.random.default_rng(0).normal(size=(len(patients), len(columns))), patients, list(columns))


@pytest.fixture
def bags():
    return pd.Series(BagArray([np.ones((2, 3))] * 60), PATIENTS)


class TestWhatWouldMatch:
    @pytest.mark.parametrize("how", ["inner", "outer"])
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda one: one + "-01A", "with the first 12 characters 60 patients would match"),
            (str.lower, "with upper and lower case alike 60 patients would match"),
            (lambda one: one + " ", "without spaces around them 60 patients would match"),
            (lambda one: one.replace("-", "."), "with '.', '_', '-' and spaces alike 60 patients would match"),
        ],
    )
    def test_nobody_matches(self, bags, how, change, what):
        rna = table(map(change, PATIENTS))
        with pytest.raises(ValueError, match=f"No patient .*60 'wsi' only, 60 'rna' only.*'TCGA-00-4000'.*{what}"):
            join_modalities({"wsi": bags, "rna": rna}, how)

    @pytest.mark.parametrize("how", ["inner", "outer"])
    def test_some_do_not_match(self, bags, how):
        rna = table([one + "-01A" if i < 3 else one for i, one in enumerate(PATIENTS)])
        message = (
            "of 63 patients, 57 'wsi' and 'rna', 3 'wsi' only, 3 'rna' only.*'TCGA-00-4000-01A', 'TCGA-01-4001-01A' "
            "and 1 more.*with the first 12 characters 60 patients would match"
        )
        with pytest.warns(UserWarning, match=message) as caught:
            X = join_modalities({"wsi": bags, "rna": rna}, how)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert len(X) == (57 if how == "inner" else 63)

    @pytest.mark.parametrize("how", ["inner", "outer"])
    @pytest.mark.parametrize(("write", "by"), [(str, ""), (lambda one: one.replace("-", "."), ".* alike")])
    def test_genes_in_rows(self, bags, how, write, by):
        genes = table([f"G{i}" for i in range(2000)], [write(one) for one in PATIENTS])
        message = (
            f"No patient.*2000 'rna' only.*'rna' has patients in its columns; of rna.T and 'wsi',{by} 60 would match"
        )
        with pytest.raises(ValueError, match=message):
            join_modalities({"wsi": bags, "rna": genes}, how)
        X = join_modalities({"wsi": bags, "rna": genes.T.rename(index=lambda one: one.replace(".", "-"))}, how)
        assert X.shape == (60, 2001)

    def test_numbers_and_texts(self):
        numbers = table(range(5)).rename_axis("patient")
        with pytest.raises(ValueError, match="as text 5 patients would match"):
            join_modalities({"a": numbers, "b": table(map(str, range(5)))}, "outer")

    def test_each_pair_is_told(self, bags):
        tables = {"wsi": bags, "rna": table(PATIENTS), "clinical": table(map(str.lower, PATIENTS))}
        message = "Of 'wsi' and 'clinical', with upper .* Of 'rna' and 'clinical', with upper"
        with pytest.warns(UserWarning, match=message):
            assert len(join_modalities(tables, "outer")) == 120

    def test_samples_of_one_patient(self, bags):
        rna = table([one + sample for one in PATIENTS for sample in ("-01A", "-11A")])
        with pytest.raises(ValueError, match="would become the same: 'TCGA-00-4000-01A and TCGA-00-4000-11A'"):
            join_modalities({"wsi": bags, "rna": rna})


class TestFewMatch:
    def test_an_inner_join_that_loses_many(self, bags):
        rna = table([*PATIENTS[:39], *(f"X{i}" for i in range(21))])
        with pytest.warns(UserWarning, match=r"share few.*of 81 patients, 39 'wsi' and 'rna', 21 .*how='outer'"):
            join_modalities({"wsi": bags, "rna": rna})
        assert len(join_modalities({"wsi": bags, "rna": rna}, "outer")) == 81

    def test_an_outer_join_with_a_table_of_others(self, bags):
        tables = {
            "wsi": bags,
            "clinical": table(PATIENTS),
            "rna": table([*PATIENTS[:9], *(f"X{i}" for i in range(11))]),
        }
        with pytest.warns(UserWarning, match="share few.*9 'wsi' and 'clinical' and 'rna'"):
            assert len(join_modalities(tables, "outer")) == 71

    @pytest.mark.parametrize("how", ["inner", "outer"])
    @pytest.mark.parametrize("n", [60, 5000])
    def test_ordinary_cohorts_are_quiet(self, bags, how, n):
        """Some lack one, and a table may hold many more than have slides."""
        rna = table([*PATIENTS[15:], *(f"TCGA-A{i % 9}-{i:04d}" for i in range(n))])
        clinical = table([*PATIENTS[:55], *(f"TCGA-B{i % 9}-{i:04d}" for i in range(n))])
        join_modalities({"wsi": bags, "rna": rna, "clinical": clinical}, how)
        join_modalities({"wsi": bags}, how)

    def test_no_patient_has_two_modalities(self):
        tables = {"wsi": table(["A", "B"]), "rna": table(["C", "D"]), "clinical": table(["E"])}
        with pytest.raises(ValueError, match="No patient has two modalities: of 5 patients, 2 'wsi' only"):
            join_modalities(tables, "outer")


class TestIndexes:
    def test_levels(self, bags):
        levels = pd.MultiIndex.from_product([PATIENTS[:2], ["01A", "11A"]], names=["patient", "sample"])
        message = (
            r"index of modality 'rna' has 2 levels, 'patient', 'sample'.*\('TCGA-00-4000', '01A'\).*droplevel\(\[1\]\)"
        )
        with pytest.raises(ValueError, match=message):
            join_modalities({"wsi": bags, "rna": table(range(4)).set_axis(levels)})

    def test_nobody(self, bags):
        with pytest.raises(ValueError, match="no patients in modality 'rna'"):
            join_modalities({"wsi": bags, "rna": table([])}, "outer")


class TestOutcome:
    @pytest.fixture
    def clinical(self):
        rng = np.random.default_rng(1)
        clinical = pd.DataFrame(
            {"age": 60, "os": rng.integers(0, 2, 60), "os_time": rng.exponential(900, 60)}, PATIENTS
        )
        return clinical.sample(frac=1, random_state=0)

    @pytest.fixture
    def tables(self):
        """An outer join has another order than any of its tables."""
        return {"wsi": table(PATIENTS[40:]), "rna": table(PATIENTS[50:0:-1])}

    def test_outcome_goes_with_its_patient(self, tables, clinical):
        X, y = join_modalities(tables, "outer", outcome=clinical, event="os", time="os_time")
        pd.testing.assert_frame_equal(X, join_modalities(tables, "outer"))
        np.testing.assert_array_equal(y, Surv.from_dataframe("os", "os_time", clinical.loc[X.index]).astype(y.dtype))
        _, inferred = join_modalities(tables, "outer", outcome=clinical[["os_time", "os"]])
        np.testing.assert_array_equal(inferred, y)

    def test_patients_without_outcome_are_left_out_and_told(self, tables, clinical):
        clinical.loc[PATIENTS[45], "os_time"] = np.nan
        clinical = clinical.drop(PATIENTS[41])
        message = f"2 of 59 patients have no outcome and are left out: '{PATIENTS[41]}', '{PATIENTS[45]}'"
        with pytest.warns(UserWarning, match=message) as caught:
            X, y = join_modalities(tables, "outer", outcome=clinical, event="os", time="os_time")
        assert caught[0].filename == __file__
        assert y["time"].tolist() == clinical.loc[X.index, "os_time"].tolist()
        assert not X.index.isin(PATIENTS[41:46:4]).any()

    def test_outcomes_that_are_written_otherwise(self, tables, clinical):
        columns = {"event": "os", "time": "os_time"}
        with pytest.raises(
            ValueError, match=r"None of the 59 patients.*with the first 12 characters 59 patients would"
        ):
            join_modalities(tables, "outer", outcome=clinical.rename(lambda one: one + "-01"), **columns)
        some = clinical.rename({PATIENTS[50]: PATIENTS[50] + "-01"})
        with pytest.warns(
            UserWarning, match=f"1 of 59 patients.*'{PATIENTS[50]}'.*12 characters 59 patients would match"
        ):
            join_modalities(tables, "outer", outcome=some, **columns)

    @pytest.mark.parametrize(
        ("change", "columns", "message"),
        [
            (lambda one: one, {}, "outcome must have two columns.*event='os', time='os_time'"),
            (lambda one: one, {"event": "os"}, "Name both columns or none"),
            (
                lambda one: one,
                {"event": "dss", "time": "os_time"},
                "one column 'dss', but it has 'age', 'os', 'os_time'",
            ),
            (lambda one: one, {"event": "os_time", "time": "os"}, "event and time are swapped"),
            (lambda one: one.assign(os=one["os"] + 1), None, r"pass outcome\['os'\]\.map\(\{"),
            (lambda one: one.assign(os_time=-one["os_time"]), None, "have a time that is negative"),
            (lambda one: one.reset_index(drop=True), None, "index of the outcome looks like a row number"),
            (lambda one: pd.concat([one, one.iloc[:1]]), None, "has several rows in the outcome"),
            (lambda one: one.set_index("age", append=True), None, "index of the outcome has 2 levels"),
        ],
    )
    def test_what_is_no_outcome(self, tables, clinical, change, columns, message):
        columns = {"event": "os", "time": "os_time"} if columns is None else columns
        with pytest.raises(ValueError, match=message):
            join_modalities(tables, "outer", outcome=change(clinical), **columns)

    def test_arguments_that_do_not_belong_together(self, tables, clinical):
        with pytest.raises(TypeError, match=r"outcome must be a DataFrame.*got a Series"):
            join_modalities(tables, "outer", outcome=clinical["os"], event="os", time="os_time")
        with pytest.raises(TypeError, match=r"Convert it: table\.to_pandas\(\)\.set_index\('patient'\)"):
            join_modalities(tables, "outer", outcome=pa.table({"os": [1]}), event="os", time="os_time")
        with pytest.raises(ValueError, match="event='os' and time='os_time' are columns of the outcome: pass outcome"):
            join_modalities(tables, "outer", event="os", time="os_time")
