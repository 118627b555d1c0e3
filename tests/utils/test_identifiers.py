import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.utils._identifiers import better_match, is_row_number
from sksurv_mmf.utils._validation import shorten

BARCODES = [f"TCGA-{i % 7:02d}-{4000 + i}" for i in range(20)]


def match(one, two):
    found = better_match(pd.Index(one), pd.Index(two))
    assert found == better_match(pd.Index(two), pd.Index(one)) or (found and found.collisions)
    return found


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda one: one + "-01A", "with the first 12 characters"),
        (lambda one: one + "-01Z-00-DX1.d4ff32cd", "with the first 12 characters"),
        (str.lower, "with upper and lower case alike"),
        (lambda one: f" {one}\t", "without spaces around them"),
        (lambda one: one.replace("-", "."), "with '.', '_', '-' and spaces alike"),
        (lambda one: one.replace("-", " "), "with '.', '_', '-' and spaces alike"),
        (lambda one: one[5:], "with the last 7 characters"),
        (str.encode, "as text"),
        (lambda one: one.lower() + "-01a", "with the first 12 characters and with upper and lower case alike"),
    ],
)
def test_each_way_to_write_a_barcode_is_undone(change, how):
    found = match(BARCODES, [change(one) for one in BARCODES])
    assert (found.how, found.n_common, found.collisions) == (how, 20, [])
    assert str(found) == f"{how} 20 patients would match"


@pytest.mark.parametrize(
    ("one", "two", "how"),
    [
        ([3, 17], ["3", "17"], "as text"),
        ([3.0, 17.0], ["3", "17"], "as text"),
        ([7, 17], ["007", "017"], "without leading zeros"),
        (["P07", "P17"], ["P7", "P17"], "without leading zeros"),
        (["P1", "P10"], ["P1_T", "P10_T"], "without what follows the last '-', '_' or '.'"),
        (["P1.svs", "P10.svs"], ["P1", "P10"], "without what follows the last '-', '_' or '.'"),
        (["rna_P1", "rna_P10"], ["wsi_P1", "wsi_P10"], "without what precedes the first '-', '_' or '.'"),
        (["A017", "A018"], ["A017B", "A018B"], "with the first 4 characters"),
        (["P7", "P17"], [7, 17], "without the letters before the number"),
        (["P07", "P117"], [7, 117], "without the letters before the number and without leading zeros"),
        (["P_001", "P_017"], ["P001", "P017"], "without '.', '_', '-' and spaces"),
        (["TCGA-05-4244", "TCGA-78-7150"], ["tcga054244", "tcga787150"], None),
        (["/slides/P1.svs", "/slides/P10.svs"], ["P1", "P10"], "without folders and file endings"),
        (["D:\\slides\\P1.svs", "D:\\slides\\P10.svs"], ["P1", "P10"], "without folders and file endings"),
    ],
)
def test_other_identifiers(one, two, how):
    found = match(one, two)
    assert found.n_common == 2
    assert found.how == (how or "with upper and lower case alike and without '.', '_', '-' and spaces")


def test_some_patients_that_are_written_otherwise_are_found():
    two = [one + "-01A" if i < 5 else one for i, one in enumerate(BARCODES)]
    assert match(BARCODES, two).n_common == 20
    assert match([*BARCODES, "p1"], [*BARCODES[3:], "P1", "P2"]).n_common == 18


def test_samples_that_would_become_one_patient_are_named():
    samples = [one + sample for one in BARCODES for sample in ("-01A", "-11A")]
    found = match(BARCODES, samples)
    assert found.n_common == 20
    assert found.collisions[0] == ("TCGA-00-4000-01A", "TCGA-00-4000-11A")
    assert "'TCGA-00-4000-01A and TCGA-00-4000-11A'" in str(found)
    assert "and 18 more" in str(found)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (BARCODES, BARCODES[::-1]),
        (BARCODES, BARCODES[:3]),
        (BARCODES[:12], BARCODES[8:]),
        (BARCODES, [f"TCGA-{i % 7:02d}-{5000 + i}" for i in range(20)]),
        ([f"P{i}" for i in range(1, 30)], [f"P{i}" for i in range(20, 300)]),
        ([f"A-{i:03d}" for i in range(60)], [f"{c}-{i:03d}" for c in "AC" for i in range(30, 80)]),
        ([f"A-{i:03d}" for i in range(60)], [f"{'A' if i < 30 else 'C'}-{i:03d}" for i in range(80)]),
        ([f"S{i % 3}-{i:03d}" for i in range(40)], [f"S{i % 3}-{i:03d}" for i in range(40, 80)]),
        (["A1", "A2"], ["C1", "C2"]),
        (["a", "b"], ["c", "d"]),
    ],
    ids=[
        "same",
        "all of one",
        "partial",
        "other patients",
        "other numbers",
        "hospitals",
        "others of a hospital",
        "same hospitals",
        "letters of hospitals",
        "nothing alike",
    ],
)
def test_different_patients_are_not_made_the_same(one, two):
    """The end of TCGA-05-4244 and the beginning of A-001 do not name a patient."""
    assert match(one, two) is None


def test_row_numbers_have_no_name():
    assert is_row_number(pd.RangeIndex(3))
    assert is_row_number(pd.Index([4, 2]))
    assert not is_row_number(pd.RangeIndex(3, name="patient"))
    assert not is_row_number(pd.Index(["4", "2"]))


@pytest.mark.parametrize("n_common", [3000, 300])
def test_large_tables_are_compared_as_well(n_common):
    patients = [f"P{i:06d}" for i in range(30_000)]
    found = match(patients, [f"{one}-T" for one in patients[:: 30_000 // n_common]])
    assert found.n_common == n_common
    assert better_match(pd.Index([f"ENSG{i:011d}" for i in range(30_000)]), pd.Index(BARCODES)) is None


def test_normal_tissue_is_told_where_it_would_match():
    samples = [one + ("-11A" if i < 3 else "-01A") for i, one in enumerate(BARCODES)]
    found = match(BARCODES, samples)
    assert found.normal == samples[:3]
    assert str(found).startswith(
        "with the first 12 characters 20 patients would match, but 3 identifiers are of normal"
    )
    assert match(BARCODES, [one.lower() for one in BARCODES]).normal == []


def test_numbers_of_numpy_are_listed_as_numbers():
    assert shorten(np.array([3, 4])) == "3, 4"
    assert shorten([np.float32(0.5), np.str_("a"), np.bool_(True)]) == "0.5, 'a', True"
