"""Mutations by gene and patient: what counts, whose it is, and who has none."""

import os
from pathlib import Path

import pandas as pd
import pytest

from sksurv_mmf.portals import read_mutations

REAL = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[3] / "shared" / "data")) / "portals"
HEAD = "Hugo_Symbol Entrez_Gene_Id Variant_Classification Tumor_Sample_Barcode Mutation_Status\n"
A, B, C = "TCGA-05-4244", "TCGA-05-4245", "TCGA-05-4246"


@pytest.fixture
def maf(tmp_path):
    rows = [
        f"TP53 7157 Missense_Mutation {A}-01A Somatic",
        f"TP53 7157 Splice_Site {A}-01A Somatic",
        f"EGFR 1956 Silent {A}-01A Somatic",
        f"EGFR 1956 Nonsense_Mutation {A}-02A Somatic",
        f"EGFR 1956 In_Frame_Del {B}-01A Somatic",
        f"BRCA1 672 Missense_Mutation {B}-01A Germline",
        f"MYC 4609 Intron {C}-01A Somatic",
        "MYC 4609 Missense_Mutation pool Somatic",
    ]
    path = tmp_path / "data.maf"
    path.write_text("#version 2.4\n" + HEAD.replace(" ", "\t") + "\n".join(rows).replace(" ", "\t") + "\n")
    return path


def test_what_counts_is_one(maf):
    table, report = read_mutations(maf, patients=[A, B, C])
    expected = pd.DataFrame({"EGFR": [0, 1, 0], "TP53": [1, 0, 0]}, index=[A, B, C], dtype="float32")
    pd.testing.assert_frame_equal(table, expected, check_names=False, check_column_type=False, check_index_type=False)
    assert report.numbers["rows counted"] == 3
    assert "Classes that do not count: 1 Silent, 1 Intron." in report.notes
    assert "1 rows are left out as of the germline or the wild type: 'BRCA1'." in report.notes
    assert "1 samples without a patient's identifier are left out: 'pool'." in report.notes
    assert report.numbers["patients without a mutation"] == 1


def test_other_samples_and_classes_by_choice(maf):
    assert read_mutations(maf, patients=[A], samples=lambda name: "-02" in name)[0].loc[A].to_dict() == {"EGFR": 1}
    assert read_mutations(maf, patients=[A], classes=["Silent"])[0].loc[A].to_dict() == {"EGFR": 1}
    with pytest.raises(ValueError, match=r"such as \['Silent'\]"):
        read_mutations(maf, classes="Silent")
    with pytest.raises(ValueError, match="no mutation that counts: its classes are 'Missense_Mutation'"):
        read_mutations(maf, classes=["Fusion"])


def test_who_was_sequenced_has_zeros(maf):
    table, report = read_mutations(maf, patients=["P9", A])
    assert table.loc["P9"].sum() == 0
    assert table.index.tolist() == ["P9", A]
    assert f"2 patients of the file are not among those named, and left out: '{B}', '{C}'." in report.notes
    with pytest.raises(ValueError, match="patients has 'P9' several times"):
        read_mutations(maf, patients=["P9", "P9"])


def test_another_table_is_no_maf_file(tmp_path):
    path = tmp_path / "rna.tsv"
    path.write_text("Hugo_Symbol\tTCGA-05-4244-01\nTP53\t1\n")
    with pytest.raises(ValueError, match="no column of classes of variants: expected one of 'Variant_Classification'"):
        read_mutations(path)


@pytest.mark.skipif(not (REAL / "cbioportal").is_dir(), reason="portals/cbioportal is not in $SKSURV_MMF_DATA")
def test_a_real_file_of_cbioportal():
    with pytest.warns(UserWarning, match="lists mutations"):
        table, report = read_mutations(REAL / "cbioportal" / "data_mutations_extended.maf")
    assert table.loc["TCGA-A1-A0SB", ["TP53", "BRCA1", "ATM"]].tolist() == [1, 1, 1]
    assert "MSH3" not in table  # in a recurrent tumor, -02, alone
    assert table["BRCA2"].sum() == 12
    assert "samples without a patient's identifier are left out: 'TEST_SAMPLE_SOMATIC_HOMOZYGOUS'" in str(report)


def test_those_who_are_named_must_be_those_of_the_file(maf):
    with pytest.raises(ValueError, match="patients names nobody of the file"):
        read_mutations(maf, patients=[f"{A}-01", f"{B}-01"])
    table, report = read_mutations(maf, patients=[B])
    assert table.columns.tolist() == ["EGFR"]  # TP53 is mutated in others alone
    assert report.numbers["rows counted"] == 1


def test_without_a_list_of_the_sequenced_a_warning_says_who_is_missing(maf):
    with pytest.warns(UserWarning, match="who were sequenced and have none are not among its 3: they are missing"):
        table, _ = read_mutations(maf)
    assert table.index.tolist() == [A, B, C]


def test_a_case_list_of_cbioportal_names_the_sequenced(maf, tmp_path):
    path = tmp_path / "cases_sequenced.txt"
    samples = "\t".join([f"{B}-01", "TCGA-05-9999-01", f"{A}-01", f"{A}-02"])
    path.write_text(f"cancer_study_identifier: study\nstable_id: study_sequenced\ncase_list_ids: {samples}\n")
    table, report = read_mutations(maf, patients=path)
    assert table.index.tolist() == [B, "TCGA-05-9999", A]
    assert table.loc["TCGA-05-9999"].sum() == 0
    assert table.loc[A, "TP53"] == 1
    assert f"1 patients of the file are not among those named, and left out: '{C}'." in report.notes
    path.write_text("stable_id: study_sequenced\n")
    with pytest.raises(ValueError, match="no case list of cBioPortal"):
        read_mutations(maf, patients=str(path))
