import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf import LateFusionSurvivalAnalysis
from sksurv_mmf.outcome._align import align_outcome, check_same_rows
from sksurv_mmf.outcome._table import read_outcome

PATIENTS = pd.Index(["Ann", "Bea", "Cleo", "Dora"], name="patient")
EVENT = np.array([True, False, True, True])
TIME = np.array([12.5, 30.0, 7.0, 1.0])


@pytest.fixture
def y():
    return Surv.from_arrays(EVENT, TIME)


@pytest.fixture
def table():
    return pd.DataFrame({"os": EVENT, "os_time": TIME}, PATIENTS)


def refused(message, *args, **kwargs):
    with pytest.raises(ValueError, match=message):
        align_outcome(*args, **kwargs)


class TestTables:
    @pytest.mark.parametrize(
        "dtype", ["bool", "int8", "float64", "boolean", "Int64", "object", "category", "Sparse[int]"]
    )
    def test_any_kind_of_zero_and_one_is_an_event(self, table, y, dtype):
        codes = table.assign(os=table["os"].astype(int)) if dtype == "category" else table
        np.testing.assert_array_equal(align_outcome(codes.astype({"os": dtype}), PATIENTS), y)

    @pytest.mark.parametrize("dtype", ["int64", "float32", "Int32", "Float64", "object"])
    def test_any_kind_of_number_is_a_time(self, table, dtype):
        times = table.assign(os_time=[12, 30, 7, 1]).astype({"os_time": dtype})
        assert align_outcome(times)["time"].tolist() == [12, 30, 7, 1]

    @pytest.mark.parametrize(
        "names",
        [("a", "b"), (0, 1), ("event", "time"), ("status", "days"), ("OS", "OS_MONTHS"), ("death", "survival_days")],
    )
    @pytest.mark.parametrize("reverse", [False, True])
    def test_columns_are_told_apart_by_what_they_hold(self, table, y, names, reverse):
        table.columns = names
        np.testing.assert_array_equal(align_outcome(table.iloc[:, ::-1] if reverse else table), y)

    def test_names_decide_where_times_are_zero_and_one(self):
        few = pd.DataFrame({"os_time": [1, 1], "os": [0, 1]})
        assert align_outcome(few).tolist() == [(False, 1.0), (True, 1.0)]
        refused("Which of the columns 'a' and 'b' of y is the event.*Rename", few.set_axis(["a", "b"], axis=1))

    def test_rows_are_matched_by_patient(self, table, y):
        for order in ([3, 1, 0, 2], [1, 0], [2]):
            np.testing.assert_array_equal(
                align_outcome(table.iloc[[2, 0, 3, 1]].loc[PATIENTS[order]], PATIENTS[order]), y[order]
            )
        np.testing.assert_array_equal(align_outcome(table.iloc[::-1], pd.DataFrame(index=PATIENTS)), y)

    def test_a_patient_who_was_drawn_twice_has_the_outcome_twice(self, table, y):
        rows = [0, 0, 2, 3, 1]
        np.testing.assert_array_equal(align_outcome(table.iloc[::-1], PATIENTS[rows]), y[rows])
        np.testing.assert_array_equal(align_outcome(table.iloc[rows], PATIENTS[rows]), y[rows])

    def test_patients_without_outcome(self, table):
        refused(
            "Patients 'Bea', 'Dora' of X are not in y, whose patients are 'Ann', 'Cleo'", table.iloc[[0, 2]], PATIENTS
        )

    def test_identifiers_that_are_written_otherwise(self, table):
        refused(
            r"of X are not in y.*with upper and lower case alike 4 patients would match",
            table.rename(str.upper),
            PATIENTS,
        )
        numbered = table.set_axis(pd.Index(["1", "2", "3", "4"], name="patient"))
        refused("as text 4 patients would match", numbered, pd.Index([1, 2, 3, 4], name="patient"))

    def test_outcomes_without_patient_are_told(self, table, y):
        with pytest.warns(
            UserWarning, match=r"Patients 'Cleo', 'Dora' are in y but not in X.*2 of 4.*y\.loc\[X\.index\]"
        ):
            np.testing.assert_array_equal(align_outcome(table, PATIENTS[:2]), y[:2])

    def test_row_numbers_name_nobody(self, table):
        numbered = table.reset_index(drop=True)
        refused(r"row numbers.*'Ann', 'Bea'.*set_index\('patient'\)", numbered, PATIENTS)
        refused(r"several rows in y", pd.concat([table, table.iloc[:1]]), PATIENTS)

    def test_rows_of_an_array_have_a_position_only(self, table, y):
        X = np.zeros((4, 2))
        for numbered in (table.reset_index(drop=True), table.set_axis([7, 3, 5, 1])):  # as cross-validation cuts it
            np.testing.assert_array_equal(align_outcome(numbered, X), y)
        with pytest.warns(UserWarning, match=r"y names its patients, but X does not.*set_output\(transform='pandas'\)"):
            np.testing.assert_array_equal(align_outcome(table, X), y)
        refused("X has 3 patients and y has 4", table, X[:3])

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, np.ma.masked])
    @pytest.mark.parametrize("column", ["os", "os_time"])
    def test_missing_values_are_missing(self, table, column, missing):
        table = table.astype(object)
        table[column] = [missing if patient == "Cleo" else value for patient, value in table[column].items()]
        refused(r"Patient 'Cleo' has no event or no time \(NaN\)", table, PATIENTS)

    @pytest.mark.parametrize(("time", "what"), [(-1.0, "negative"), (np.inf, "infinite")])
    def test_impossible_times(self, table, time, what):
        refused(f"Patient 'Dora' has a time that is {what}", table.replace({"os_time": {1.0: time}}), PATIENTS)

    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            (
                [2, 1, 2, 2],
                r"holds 2, 1\. If 2 .* pass y\['os'\]\.map\(\{2: 1, 1: 0\}\), which keeps missing",
            ),
            (
                ["1:DECEASED", "0:LIVING"] * 2,
                r"holds '1:DECEASED', '0:LIVING'\. Pass y\['os'\]\.map\(\{'1:DECEASED': 1, '0:LIVING': 0\}\)",
            ),
            (["Dead", "Alive"] * 2, r"If 'Dead' is the event, pass y\['os'\]\.map\(\{'Dead': 1, 'Alive': 0\}\)"),
            ([0, 1, 2, 3], r"holds 0, 1, 2 and 1 more\..*kinds of events"),
            ([0.5, 3.2, 8.0, 1.0], "event and time are swapped"),
        ],
    )
    def test_other_codes_of_events(self, table, codes, message):
        refused(message, table.assign(os=codes), PATIENTS)

    def test_names_that_contradict_values(self, table):
        refused(
            "'time' of y is called a time but holds 0 and 1 only.*swapped", table.set_axis(["time", "event"], axis=1)
        )

    @pytest.mark.parametrize("name", ["censorship", "censored", "Alive", "overall_survival"])
    def test_a_column_that_may_mark_those_without_event(self, table, name):
        refused(f"Column '{name}' of y may mark .* == 0", table.rename(columns={"os": name}))

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            (pd.to_timedelta(TIME, unit="D"), r"timedelta64.*/ pandas\.Timedelta\(days=1\)"),
            (pd.Timestamp("2020-01-01") + pd.to_timedelta(TIME, unit="D"), r"datetime64.*\(y\['os_time'\] - start\)"),
            (TIME + 1j, r"complex128.*Complex numbers are no times"),
            (TIME.astype(str), r"to_numeric\(y\['os_time'\]\)"),
            (
                np.where(EVENT, TIME.astype(str), "[Not Available]"),
                r"to_numeric\(y\['os_time'\], errors='coerce'\), to which '\[Not Available\]' is missing",
            ),
            (EVENT, "bool.*swapped|Which of the columns"),
        ],
        ids=["spans", "dates", "complex", "texts", "some texts", "booleans"],
    )
    def test_times_that_are_no_numbers(self, table, times, message):
        refused(message, table.assign(os_time=times), PATIENTS)

    def test_more_columns_or_fewer(self, table):
        refused(r"y must have two columns.*'os', 'os_time', 'age'.*y\[\['os', 'os_time'\]\]", table.assign(age=1))
        refused("y must have two columns", table[["os"]])
        refused("y must have two columns", table.set_axis(["a", "a"], axis=1))


class TestArrays:
    def test_fields_keep_their_names(self):
        y = np.array([(True, 3), (False, 5)], dtype=[("cens", bool), ("months", int)])
        assert align_outcome(y, np.zeros((2, 1))) is y

    @pytest.mark.parametrize(
        ("shape", "way_out"), [((4, 1), r"y\.ravel\(\)"), ((1, 4), r"y\.ravel\(\)"), ((2, 2), "Surv")]
    )
    def test_other_shapes(self, y, shape, way_out):
        refused(rf"shape \(n_patients,\), but has shape \({shape[0]}, {shape[1]}\).*{way_out}", y.reshape(shape))

    def test_another_length(self, y):
        refused("X has 3 patients and y has 4", y, PATIENTS[:3])

    @pytest.mark.parametrize("field", ["event", "time"])
    def test_masked_entries_are_missing(self, y, field):
        masked = np.ma.array(y)
        masked.mask[field][[0, 2]] = True
        refused(r"Patients 'Ann', 'Cleo' have no event or no time \(masked\)", masked, PATIENTS)
        refused(r"Patients 0, 2 have", masked)

    def test_a_mask_that_hides_nothing_is_none(self, y):
        aligned = align_outcome(np.ma.array(y), PATIENTS)
        assert not isinstance(aligned, np.ma.MaskedArray)
        np.testing.assert_array_equal(aligned, y)

    @pytest.mark.parametrize(
        ("event", "time", "message"),
        [
            (TIME, EVENT, r"first field is the event.*y\['a'\] has dtype float64\. Event and time are swapped"),
            (EVENT + 1, TIME, r"as in R, pass pandas\.Series\(y\['a'\]\)\.map\(\{"),
            (EVENT + 0, TIME, r"If 1 is the event, pass pandas\.Series\(y\['a'\]\)\.map\("),
            (np.where(EVENT, 1, -1), TIME, r"If 1 is the event, pass pandas\.Series\(y\['a'\]\)\.map\("),
            (EVENT.astype(object), TIME, r"If True is the event, pass pandas\.Series\(y\['a'\]\)\.map\("),
            (EVENT + 0j, TIME, "Complex numbers are no events"),
            (np.array(["1:DECEASED", "0:LIVING"] * 2), TIME, r"dtype <U10"),
            (EVENT, TIME + 0j, r"y\['b'\] has dtype complex128"),
            (EVENT, TIME.astype("m8[D]"), r"y\['b'\] has dtype timedelta64\[D\]\. Convert it"),
            (EVENT, TIME.astype(str), r"y\['b'\] has dtype <U32"),
        ],
    )
    def test_fields_of_another_kind(self, event, time, message):
        y = np.empty(4, dtype=[("a", event.dtype), ("b", time.dtype)])
        y["a"], y["b"] = event, time
        refused(message, y)

    def test_more_fields(self):
        y = np.zeros(4, dtype=[("event", bool), ("time", float), ("age", float)])
        refused(r"two fields, event and time, but has 'event', 'time', 'age'", y)

    @pytest.mark.parametrize(
        "y",
        [TIME, np.column_stack([EVENT, TIME]), list(zip(EVENT, TIME)), {"event": EVENT, "time": TIME}, pd.Series(TIME)],
        ids=["times", "two columns", "tuples", "dict", "series"],
    )
    def test_something_else(self, y):
        refused("y must be a structured array of event and time, but is a.*Surv.*DataFrame", y)


class TestSameRows:
    def test_another_order_cannot_be_split(self, table):
        X = pd.DataFrame(index=PATIENTS)
        check_same_rows(table, X)
        with pytest.raises(ValueError, match=r"another order.*y\.loc\[X\.index\]"):
            check_same_rows(table.iloc[::-1], X)


def test_swapped_event_and_time_are_refused_in_fit_and_not_in_score(cohort):
    X = cohort.X.filter(like="rna")
    model = CoxPHSurvivalAnalysis(alpha=1).fit(X, cohort.y)
    late = LateFusionSurvivalAnalysis([("rna", model)], cv=2).fit(X, cohort.y)
    few = Surv.from_arrays([True, True, True], [0, 1, 1])
    assert 0 <= late.score(X[:3], few) <= 1
    swapped = Surv.from_arrays(np.ones(len(X), dtype=bool), cohort.y["event"])
    with pytest.raises(ValueError, match=f"All {len(X)} patients have the event, at times 0 or 1, as if .* swapped"):
        late.fit(X, swapped)


@pytest.mark.parametrize("name", ["censorship", "is_censored", "alive", "vital_status"])
def test_a_doubtful_name_is_told_even_if_it_was_chosen(table, name):
    renamed = table.rename(columns={"os": name})
    with pytest.warns(UserWarning, match=rf"Column '{name}'.*y\['event'\] = 1 - y\['{name}'\].*rename"):
        outcome = read_outcome(renamed, event=name, time="os_time")
    np.testing.assert_array_equal(outcome["event"], table["os"])


def test_tables_of_other_libraries_go_with_rows_without_names(table, y):
    other = pa.table({"os": table["os"].to_list(), "os_time": table["os_time"].to_list()})
    expected = align_outcome(table.reset_index(drop=True), np.zeros((4, 1)))
    np.testing.assert_array_equal(align_outcome(other, np.zeros((4, 1))), expected)
    with pytest.raises(ValueError, match=r"y\.to_pandas\(\)\.set_index\('patient'\).*set_axis\(X\.index\)"):
        align_outcome(other, PATIENTS)


@pytest.mark.parametrize(
    ("codes", "event"),
    [
        (["0", "1"], "1"),
        (["0.0", "1.0"], "1.0"),
        (["no", "yes"], "yes"),
        (["N", "Y"], "Y"),
        (["FALSE", "TRUE"], "TRUE"),
        (["-", "+"], "+"),
        (["NED", "PD"], "PD"),
        (["without event", "with event"], "with event"),
        (["event-free", "event"], "event"),
        (["Alive", "Dead"], "Dead"),
        (["censored", "relapse"], "relapse"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_advice_on_codes_names_the_event_whatever_comes_first(codes, event, turned):
    y = pd.DataFrame({"os": codes[::-1] if turned else codes, "os_time": [3.0, 4.0]}, index=["P1", "P2"])
    with pytest.raises(ValueError, match=rf"If '{re.escape(event)}' is the event, pass .*'{re.escape(event)}': 1"):
        align_outcome(y)
