"""A cohort from files: who is in it, whose outcome is whose, and who has what."""

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.plotting import modality_colors
from sksurv_mmf.portals import read_cohort

PATIENTS = [f"TCGA-05-{i:04d}" for i in range(6)]


@pytest.fixture
def files(tmp_path):
    """Expression of patients 0 to 4, mutations of 1 to 4, an outcome of 0 to 3 and 5; everywhere in another order."""

    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
        return path

    rna = [0, 1, 2, 3, 4]
    return {
        "rna": write("rna.tsv", [["sample", *(f"{PATIENTS[i]}-01A" for i in rna)], ["TP53", *rna]]),
        "mutations": write(
            "data.maf",
            [
                ["Hugo_Symbol", "Tumor_Sample_Barcode", "Variant_Classification"],
                *(["TP53" if i % 2 else "EGFR", f"{PATIENTS[i]}-01A-11D", "Missense_Mutation"] for i in (4, 3, 2, 1)),
            ],
        ),
        "clinical": write(
            "survival.tsv",
            [
                ["sample", "OS", "_PATIENT", "OS.time"],
                *([f"{PATIENTS[i]}-01A", i % 2, PATIENTS[i], 10 * i + 1] for i in (5, 3, 0, 2, 1)),
            ],
        ),
    }


SEQUENCED = PATIENTS[1:5]


def modalities(files):
    return {name: files[name] for name in ("rna", "mutations")}


def test_rows_and_outcomes_belong_to_the_same_patient(files):
    with pytest.warns(UserWarning, match="1 of 4 patients have no outcome"):
        X, y, report = read_cohort(modalities(files), files["clinical"], sequenced=SEQUENCED)
    number = X.index.str[-4:].astype(int)
    assert sorted(number) == [1, 2, 3]
    np.testing.assert_array_equal(X["rna__TP53"], number)
    np.testing.assert_array_equal(X["mutations__TP53"], number % 2)
    np.testing.assert_array_equal(y["time"], 10 * number + 1)
    np.testing.assert_array_equal(y["event"], number % 2 == 1)
    assert report.n_patients == 3


def test_who_was_sequenced_and_has_no_mutation_has_zeros(files):
    X, _, _ = read_cohort(modalities(files), files["clinical"], sequenced=PATIENTS[:4])
    assert X.loc[PATIENTS[0], ["mutations__EGFR", "mutations__TP53"]].tolist() == [0, 0]
    with pytest.warns(UserWarning, match="lists mutations"), pytest.warns(UserWarning, match="no outcome"):
        X, _, _ = read_cohort(modalities(files), files["clinical"])
    assert PATIENTS[0] not in X.index
    with pytest.raises(ValueError, match="sequenced is for MAF files, and no modality is one"):
        read_cohort({"rna": files["rna"]}, files["clinical"], sequenced=PATIENTS)


def test_who_has_what(files):
    with pytest.warns(UserWarning, match="no outcome"):
        X, _, report = read_cohort(modalities(files), files["clinical"], how="outer", sequenced=SEQUENCED)
    found = report.combinations
    assert found.index.names == ["rna", "mutations", "outcome"]
    assert found.index[0] == (True, True, True)
    assert found.loc[(True, True, True)].tolist() == [3, 2]
    assert found.loc[(True, True, False)].tolist() == [1, 0]
    assert found.loc[(True, False, True)].tolist() == [1, 0]
    assert found.loc[(False, False, True)].tolist() == [1, 1]
    assert found["patients"].sum() == 6
    assert len(X) == 4
    text = str(report)
    assert "3 patients, 2 events: rna, mutations, outcome" in text
    assert "Genes are in rows" in text
    assert "Layout: UCSC Xena" in text


def test_tables_and_bags_go_with_files(files):
    rows = [f"{PATIENTS[i]}-{kind}" for i in range(4) for kind in ("01A", "11A")]
    table = pd.DataFrame({"age": np.arange(8.0)}, index=rows)
    bags = pd.Series([np.full((2, 3), i) for i in range(4)], index=PATIENTS[:4], dtype="bag", name="tiles")
    y = pd.DataFrame({"os": [1, 0, 1, 0], "os_time": [1.0, 2, 3, 4]}, index=PATIENTS[:4])
    X, outcome, report = read_cohort({"rna": files["rna"], "age": table, "wsi": bags}, y)
    assert X["age__age"].tolist() == [0, 2, 4, 6]
    assert [bag.n_tiles for bag in X["wsi__tiles"]] == [2] * 4
    assert outcome["time"].tolist() == [1, 2, 3, 4]
    assert "4 samples of normal tissue are left out" in str(report.reports["age"])


def test_a_single_modality_and_a_plain_index():
    table = pd.DataFrame({"age": [1.0, 2.0]}, index=["P1", "P2"])
    y = pd.DataFrame({"event": [1, 0], "time": [1.0, 2.0]}, index=["P2", "P1"])
    X, outcome, report = read_cohort({"clinical": table}, y)
    assert outcome["event"].tolist() == [False, True]
    assert report.combinations.to_numpy().tolist() == [[2, 1]]
    assert X.index.tolist() == ["P1", "P2"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ValueError, "modalities must be a dict"),
        ({"outcome": None}, ValueError, "without 'outcome' as a name"),
        ({"rna": 3}, TypeError, "Modality 'rna' must be a path"),
    ],
    ids=["none", "name", "type"],
)
def test_what_is_no_modality_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        read_cohort(given, pd.DataFrame())


def test_the_picture_has_a_bar_per_combination_and_its_dots(files):
    pytest.importorskip("matplotlib").use("Agg")
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    with pytest.warns(UserWarning, match="no outcome"):
        report = read_cohort(modalities(files), files["clinical"], sequenced=SEQUENCED)[2]
    bars, dots = report.plot()
    assert [bar.get_height() for bar in bars.containers[0]] == report.combinations["patients"].tolist()
    assert [bar.get_height() for bar in bars.containers[1]] == report.combinations["events"].tolist()
    assert [label.get_text() for label in dots.get_yticklabels()] == ["rna", "mutations", "outcome"]
    full = dots.lines[1::2]
    assert [len(line.get_ydata()) for line in full] == [sum(has) for has in report.combinations.index]
    for has, marks in zip(report.combinations.index, dots.collections):
        there = [name for name, is_there in zip(["rna", "mutations", "outcome"], has) if is_there]
        own = {**modality_colors(["rna", "mutations"]), "outcome": "0.35"}
        assert [to_hex(color) for color in marks.get_facecolor()] == [to_hex(own[name]) for name in there]
    _, dots = report.plot(most=1)
    assert dots.get_xlabel() == "3 smaller combinations are not drawn"


def test_a_folder_of_slides_is_named_with_what_reads_it(tmp_path):
    with pytest.raises(ValueError, match=r"Modality 'wsi' is the folder .*read_bags\("):
        read_cohort({"wsi": tmp_path}, tmp_path / "clinical.tsv")
