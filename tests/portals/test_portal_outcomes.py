"""Event and time in the layouts of portals: what they mean, and who is left out."""

import os
from pathlib import Path

import pandas as pd
import pytest

from sksurv_mmf.outcome._align import align_outcome
from sksurv_mmf.portals import read_outcome

REAL = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[3] / "shared" / "data")) / "portals"

A, B, C = "TCGA-05-4244", "TCGA-05-4245", "TCGA-05-4246"


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="clinical.tsv"):
        path = tmp_path / name
        path.write_text(text.replace(" ", "," if ".csv" in name else "\t").replace("_SPACE_", " "))
        return path

    return write_text


LAYOUTS = {
    "xena": f"sample OS _PATIENT OS.time\n{A}-01A 1 {A} 30\n{A}-11A 1 {A} 30\n{B}-01A 0 {B} 60\n",
    "newer xena": f"sample OS.time OS _PATIENT\n{A}-01A 30 1 {A}\n{B}-01A 60 0 {B}\n",
    "cbioportal": f"#a\n#b\nPATIENT_ID OS_STATUS OS_MONTHS\n{A} 1:DECEASED 30\n{B} 0:LIVING 60\n",
    "older cbioportal": f"PATIENT_ID OS_MONTHS OS_STATUS\n{A} 30 DECEASED\n{B} 60 LIVING\n",
    "gdc": (
        "case_id case_submitter_id vital_status days_to_death days_to_last_follow_up\n"
        f"uuid1 {A} Dead 30 '--\nuuid1 {A} Dead 30 '--\nuuid2 {B} Alive '-- 60\n"
    ),
    "newer gdc": (
        "cases.submitter_id demographic.days_to_death demographic.vital_status diagnoses.days_to_last_follow_up\n"
        f"{A} 30 Dead 25\n{B} '-- Alive 60\n{B} '-- Alive '--\n"
    ),
    "phenotypes of xena": (
        "submitter_id.samples submitter_id vital_status.demographic days_to_death.demographic "
        f"days_to_last_follow_up.diagnoses\n{A}-01A {A} Dead 30 \n{B}-01A {B} Alive  60\n"
    ),
    "survpath.csv": (
        f" case_id slide_id survival_months censorship\n0 {A} {A}-01Z-00-DX1.svs 30 0\n1 {B} {B}-01Z-00-DX1.svs 60 1\n"
    ),
    "mmp.csv": f"case_id slide_id os_survival_days os_censorship\n{A} a 30.0 0.0\n{B} b 60.0 1.0\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_says_the_same(write, name):
    outcome, report = read_outcome(write(LAYOUTS[name], name))
    expected = pd.DataFrame({"event": [True, False], "time": [30.0, 60.0]}, index=pd.Index([A, B], name="patient"))
    pd.testing.assert_frame_equal(outcome, expected, check_index_type=False)
    months = "months" if name in ("cbioportal", "older cbioportal", "survpath.csv") else "days"
    assert f"in {months}, as in the file" in str(report)
    assert ("turned round" in str(report)) == (".csv" in name)
    assert report.numbers["events"] == 1


def test_what_is_read_is_an_outcome_for_estimators(write):
    outcome, _ = read_outcome(write(LAYOUTS["xena"]))
    y = align_outcome(outcome, pd.DataFrame({"x": [1, 2]}, index=[B, A]))
    assert y["time"].tolist() == [60, 30]
    assert y["event"].tolist() == [False, True]


def test_endpoints_go_by_their_name(write):
    path = write(f"sample OS OS.time PFI PFI.time\n{A}-01 0 9 1 4\n")
    assert read_outcome(path, "PFI")[0].loc[A].tolist() == [True, 4]
    assert read_outcome(path, "os")[0].loc[A].tolist() == [False, 9]
    with pytest.raises(ValueError, match=r"no endpoint 'PFS'\. It has 'OS', 'PFI'\."):
        read_outcome(path, "PFS")
    path = write(f"case_id survival_months_dss censorship_dss survival_months censorship\n{A} 4 0 9 1\n", "s.csv")
    assert read_outcome(path, "DSS")[0].loc[A].tolist() == [True, 4]


def test_an_endpoint_in_two_places_is_not_guessed(write):
    path = write(f"PATIENT_ID OS OS.time OS_STATUS OS_MONTHS\n{A} 1 30 0:LIVING 1\n")
    with pytest.raises(ValueError, match=r"in 2 places \(UCSC Xena: 'OS', 'OS\.time'; cBioPortal: 'OS_STATUS'"):
        read_outcome(path)
    outcome, report = read_outcome(path, event="OS_STATUS", time="OS_MONTHS")
    assert outcome.loc[A].tolist() == [False, 1]
    assert "in months" in str(report)


def test_columns_by_name_keep_their_polarity(write):
    path = write(f"patient dead censored t\n{A} 1 0 5\n")
    one, report = read_outcome(path, event="dead", time="t")
    other, turned = read_outcome(path, event="censored", time="t")
    assert one.loc[A, "event"]
    assert other.loc[A, "event"]
    assert "turned round" in str(turned)
    assert "a unit that the column does not name" in str(report)


def test_who_is_left_out_and_why(write):
    names = [f"TCGA-05-{i:04d}" for i in range(6)]
    values = ["1 5", "0 0", "1 -3", "0 ", "[Not_SPACE_Available] 7", " 3"]
    path = write("sample OS OS.time\n" + "".join(f"{one}-01 {two}\n" for one, two in zip(names, values)) + "pool 1 1\n")
    outcome, report = read_outcome(path)
    assert outcome.index.tolist() == names[:2]
    assert report.samples.set_index("patient")["status"].tolist() == [
        *("read", "read", "negative time", "no time", "unknown status", "unknown status")
    ]
    assert "1 rows are left out, no patient in them: 'pool'" in str(report)
    assert "1 patients have a time of zero and stay in: 'TCGA-05-0001'" in str(report)
    counts = {"patients": 2, "events": 1, "left out": 4, "left out with the event": 1, "zero times": 1, "rows": 7}
    assert report.numbers == counts
    outcome, report = read_outcome(path, zero_times="leave out")
    assert outcome.index.tolist() == names[:1]
    assert "1 patients are left out, time of zero" in str(report)


def test_rows_that_differ_are_not_merged_in_silence(write):
    path = write(
        "case_submitter_id vital_status days_to_death days_to_last_follow_up\n"
        f"{A} Alive '-- 10\n{A} Alive '-- 25\n{A} Alive '-- '--\n{B} Dead 5 '--\n"
    )
    with pytest.raises(
        ValueError, match=rf"1 patients have rows that differ .* '{A}' has \(False, 10.0\), \(False, 25"
    ):
        read_outcome(path)
    outcome, report = read_outcome(path, conflicts="longest")
    assert outcome.loc[A, "time"] == 25
    assert "1 patients have rows that differ (conflicts='longest')" in str(report)
    outcome, report = read_outcome(path, conflicts="leave out")
    assert outcome.index.tolist() == [B]


def test_the_longest_row_keeps_its_event(write):
    path = write(f"sample OS OS.time\n{A}-01 0 25\n{A}-01 1 25\n{B}-01 1 10\n{B}-01 0 25\n{C}-01 0 1\n")
    outcome, _ = read_outcome(path, conflicts="longest")
    assert outcome["event"].to_dict() == {A: True, B: False, C: False}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"sample OS OS.time\n{A} 2 5\n", "column 'OS': whether '2' is the event is not known"),
        (f"sample OS OS.time\n{A} 1 late\n", "line 2, column 'OS.time': the time 'late' is no number"),
        (f"who OS OS.time\n{A} 1 5\n", "no column of patients: expected one of '_PATIENT'"),
        (f"sample age\n{A} 60\n", "None is found among its columns 'sample', 'age'"),
        (f"sample OS OS.time\n{A} 1 \n", "nobody has a known event and time: 1 'no time'"),
        ("sample OS OS.time\n", "a header and no rows"),
    ],
    ids=["code", "time", "patients", "columns", "nobody", "empty"],
)
def test_what_cannot_be_read_says_where_and_why(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_outcome(write(text))


@pytest.mark.skipif(not (REAL / "cbioportal").is_dir(), reason="portals/cbioportal is not in $SKSURV_MMF_DATA")
def test_a_real_file_of_cbioportal():
    path = REAL / "cbioportal" / "data_clinical_patients.txt"
    outcome, report = read_outcome(path, identifiers=None)
    raw = pd.read_csv(path, sep="\t", comment="#", index_col="PATIENT_ID")
    months = pd.to_numeric(raw["OS_MONTHS"], errors="coerce")
    known = raw["OS_STATUS"].isin(["0:LIVING", "1:DECEASED"]) & months.notna()
    assert set(outcome.index) == set(raw.index[known])
    assert outcome["time"].to_dict() == months[known].to_dict()
    assert outcome["event"].to_dict() == (raw["OS_STATUS"][known] == "1:DECEASED").to_dict()
    assert report.numbers["left out"] == (~known).sum()
    of_tcga, report = read_outcome(path)
    assert set(outcome.index) - set(of_tcga.index) == {name for name in outcome.index if name.startswith("TEST")}
    assert "'TEST-A23C'" in str(report)
    with pytest.warns(UserWarning, match="57 who had it are left out"):
        progression, _ = read_outcome(path, "DFS", identifiers=None)
    assert progression["event"].sum() <= (raw["DFS_STATUS"] == "1:Recurred/Progressed").sum()


@pytest.mark.parametrize(
    ("column", "cells", "events"),
    [
        ("censoring", ["Dead", "Censored"], [True, False]),
        ("os_censor", ["1:DECEASED", "0:LIVING"], [True, False]),
        ("uncensored", ["1", "0"], [True, False]),
        ("not_censored", ["1", "0"], [True, False]),
        ("is_censored", ["1", "0"], [False, True]),
        ("license", ["1", "0"], [True, False]),
    ],
)
def test_only_bare_marks_of_censoring_are_turned_round(write, column, cells, events):
    path = write(f"patient {column} t\n{A} {cells[0]} 5\n{B} {cells[1]} 6\n")
    outcome, _ = read_outcome(path, event=column, time="t")
    assert outcome["event"].tolist() == events


def test_of_rows_that_differ_the_longest_that_says_all_counts(write):
    text = f"PATIENT_ID OS_STATUS OS_MONTHS\n{A} NA 100\n{A} 1:DECEASED 50\n{A} 0:LIVING 30\n"
    text += f"{B} NA 60\n{B} NA 70\n{B} 0:LIVING NA\n"
    outcome, report = read_outcome(write(text), conflicts="longest")
    assert outcome.loc[A].tolist() == [True, 50]
    assert outcome.loc[B].tolist() == [False, 70]  # no row says all, so they fill each other
    assert report.numbers["left out"] == 0


def test_an_endpoint_without_events_says_what_became_of_them(write):
    path = write(
        f"PATIENT_ID DFS_STATUS DFS_MONTHS\n{A} 1:Recurred/Progressed NA\n{B} 0:DiseaseFree 60\n{C} 0:DiseaseFree 5\n"
    )
    with pytest.warns(UserWarning, match="none of the 2 patients has the event, and 1 who had it are left out"):
        _, report = read_outcome(path, "DFS")
    assert report.numbers["left out with the event"] == 1


def test_a_label_column_that_is_nearly_right_is_named(write):
    path = write(f"PATIENT_ID death months\n{A} 1 30\n{B} 0 60\n")
    with pytest.raises(ValueError, match=r"no column of the event: expected one of 'deaths'.*Is it one of 'death'"):
        read_outcome(path, event="deaths", time="months")
