"""Tables of numbers by gene in the layouts of portals: who gets which numbers, and what the report says."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.portals import read_expression

REAL = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[3] / "shared" / "data")) / "portals"


@pytest.fixture
def write(tmp_path):
    """Write rows as a table and return its path."""

    def write_rows(rows, name="table.tsv", head=""):
        separator = "," if ".csv" in name else "\t"
        text = head + "".join(separator.join(map(str, row)) + "\n" for row in rows)
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write_rows


A, B = "TCGA-05-4244", "TCGA-05-4245"


def said(report, text):
    return [note for note in report.notes if text in note]


def test_xena_gives_versions_of_genes_and_vials_of_samples(write):
    path = write(
        [
            ["Ensembl_ID", f"{A}-01B", f"{A}-01A", f"{A}-11A", f"{B}-06A"],
            ["ENSG00000141510.16", 9, 1, 7, 2],
            ["ENSG00000002586.20", 9, 3, 7, 4],
            ["ENSG00000002586.20_PAR_Y", 9, 5, 7, 6],
            ["__no_feature", 9, 9, 9, 9],
        ],
        "rna.tsv.gz",
    )
    table, report = read_expression(path)
    expected = pd.DataFrame(
        [[1, 3, 5], [2, 4, 6]],
        index=pd.Index([A, B], name="patient"),
        columns=["ENSG00000141510", "ENSG00000002586", "ENSG00000002586_PAR_Y"],
        dtype=np.float32,
    )
    pd.testing.assert_frame_equal(table, expected, check_column_type=False, check_index_type=False)
    assert report.samples["status"].tolist() == ["other sample of the patient", "read", "normal tissue", "read"]
    assert said(report, "Genes are in rows")
    assert said(report, "1 patients have several samples (1 left out, none averaged)")
    assert said(report, "1 samples of normal tissue are left out")
    assert said(report, "1 rows are counters")
    assert f"4 of 4 are trimmed, such as '{A}-01B' to '{A}'" in str(report)


def test_a_primary_tumor_comes_before_others_whatever_the_order(write):
    for order in (["01A", "02A", "06A"], ["06A", "01A", "02A"], ["06A", "02A", "01A"]):
        path = write([["sample", *(f"{A}-{kind}" for kind in order)], ["TP53", *(int(kind[:2]) for kind in order)]])
        assert read_expression(path)[0].loc[A, "TP53"] == 1
        first = int(order[0][:2])
        assert read_expression(path, samples="first")[0].loc[A, "TP53"] == first
        assert read_expression(path, samples=lambda name: "-06" in name)[0].loc[A, "TP53"] == 6


def test_patients_in_rows_and_in_columns_are_the_same_table(write):
    rows = pd.DataFrame([[1, 2], [3, 4]], index=[f"{A}-01", f"{B}-01"], columns=["TP53", "GENE2"])
    names = ["rows.csv", "columns.csv"]
    for frame, name in zip([rows, rows.T], names):
        write([["", *frame.columns], *([label, *row] for label, row in zip(frame.index, frame.to_numpy()))], name)
    folder = write([["a", "b"]]).parent
    (one, said_one), (two, said_two) = (read_expression(folder / name) for name in names)
    pd.testing.assert_frame_equal(one, two)
    assert one.loc[B, "TP53"] == 3
    assert said(said_one, "Genes are in columns")
    assert said(said_two, "Genes are in rows")


def test_where_genes_are_is_believed_only_if_nothing_speaks_against_it(write):
    path = write([["", "TP53", "GENE2"], [f"{A}-01", 1, 2], [f"{B}-01", 3, 4]], "rows.csv")
    with pytest.raises(ValueError, match="genes='rows', but all speaks for genes in columns: there are genes such as"):
        read_expression(path, genes="rows")
    with pytest.raises(
        ValueError, match="genes='columns', but all speaks for genes in rows: a column is called 'gene'"
    ):
        read_expression(write([["gene", "P1", "P2"], ["X1", 1, 2], ["X2", 3, 4]]), genes="columns")
    unknown = write([["", "P1", "P2"], ["X1", 1, 2], ["X2", 3, 4]])
    assert read_expression(unknown, genes="rows")[0].loc["P2", "X1"] == 2
    assert read_expression(unknown, genes="columns")[0].loc["X2", "P1"] == 3


COPY_NUMBERS = {
    "discrete": [
        ["Hugo_Symbol", "Entrez_Gene_Id", f"{A}-01", f"{B}-01"],
        ["TP53", 7157, -2, "NA"],
        ["MYC", 4609, 0, 2],
    ],
    "discrete without identifiers": [["Hugo_Symbol", f"{A}-01", f"{B}-01"], ["TP53", -2, ""], ["MYC", 0, 2]],
    "thresholded by gene, of GISTIC": [
        ["Gene Symbol", "Locus ID", "Cytoband", f"{A}-01A-11D-0182-01", f"{B}-01A-11D-0182-01"],
        ["TP53", 7157, "17p13.1", -2, "NA"],
        ["MYC", 4609, "8q24.21", 0, 2],
    ],
    "of Xena": [["Gene Symbol", f"{A}-01", f"{B}-01"], ["TP53", -2.0, "NA"], ["MYC", 0.0, 2.0]],
}


@pytest.mark.parametrize("layout", COPY_NUMBERS)
def test_copy_numbers_by_gene_are_tables_as_expression_is(write, layout):
    table, report = read_expression(write(COPY_NUMBERS[layout], "data_cna.txt"))
    expected = pd.DataFrame({"TP53": [-2, np.nan], "MYC": [0, 2]}, index=[A, B], dtype=np.float32)
    pd.testing.assert_frame_equal(table, expected, check_names=False, check_column_type=False, check_index_type=False)
    assert report.numbers["missing values"] == 1


def test_segments_of_chromosomes_are_no_table_by_gene(write):
    header = ["ID", "chrom", "loc.start", "loc.end", "num.mark", "seg.mean"]
    with pytest.raises(ValueError, match="lists segments of chromosomes"):
        read_expression(write([header, [f"{A}-01", 1, 3218610, 95674710, 53225, 0.0055]], "data_cna_hg19.seg"))


def test_columns_in_front_that_differ_in_capitals_alone_are_refused(write):
    with pytest.raises(ValueError, match="several columns called 'gene_id'"):
        read_expression(write([["Gene_ID", "gene_id", A, B], ["TP53", "7157", 1, 2]]))


@pytest.mark.parametrize("cells", [["1_000", 2], [2, "1_0"]])
def test_names_that_python_would_read_as_numbers_are_none(write, cells):
    with pytest.raises(ValueError, match="is no number"):
        read_expression(write([["gene", A, B], ["TP53", *cells]]))


def test_names_of_two_projects_are_not_silently_those_of_one(write):
    path = write([["gene", f"{A}-01", "C3L-00004-01"], ["TP53", 1, 2]])
    with pytest.raises(ValueError, match=r"two projects: 1 of TCGA, such as .* and 1 of CPTAC"):
        read_expression(path)
    assert read_expression(path, identifiers="cptac")[0].index.tolist() == ["C3L-00004"]


def test_a_lone_quote_names_its_line(write):
    path = write([], "rna.csv", head=f'gene,{A},{B}\nTP53,1,2\n"MYC,1,2\n')
    with pytest.raises(ValueError, match="line 3: its quotes do not close"):
        read_expression(path)


def test_row_numbers_in_front_are_no_patients(write):
    path = write([["", "case_id", "TP53"], [0, A, 1], [1, B, 2]], "rna.csv")
    assert read_expression(path)[0]["TP53"].to_dict() == {A: 1, B: 2}


def test_a_header_that_is_one_name_short_begins_at_the_second_column(write):
    path = write([[f"{A}-01", f"{B}-01"], ["TP53", 1, 2]])
    assert read_expression(path)[0]["TP53"].to_dict() == {A: 1, B: 2}


def test_quoted_cells_lose_their_quotes(write):
    path = write([['""', f'"{A}-01"'], ['"TP53"', 1]], "rna.csv")
    assert read_expression(path)[0].loc[A, "TP53"] == 1


def test_a_lone_quote_between_tabs_is_a_character(write):
    path = write([['"gene"', "description", f'"{A}-01"'], ['"TP53"', '"so called', 1]])
    assert read_expression(path)[0].loc[A, "TP53"] == 1


def test_copy_numbers_of_gistic(write):
    path = write([["Gene Symbol", "Locus ID", "Cytoband", f"{A}-01A-11D"], ["TP53", 7157, "17p13.1", -2]])
    assert read_expression(path)[0].loc[A].to_dict() == {"TP53": -2}


def test_genes_without_a_symbol_are_called_by_number(write):
    path = write([["Hugo_Symbol", "Entrez_Gene_Id", f"{A}-01"], ["TP53", 7157, 1], ["", 1956, 2], ["", "", 3]])
    table, report = read_expression(path)
    assert table.loc[A].to_dict() == {"TP53": 1, "1956": 2}
    assert said(report, "1 genes without a symbol are called by their Entrez identifier: '1956'")
    assert said(report, "1 genes without a name are left out")


def test_symbols_are_cut_at_the_bar_where_there_is_one(write):
    path = write([["gene_id", f"{A}-01"], ["TP53|7157", 1], ["?|100130426", 2]])
    assert read_expression(path)[0].columns.tolist() == ["TP53", "?|100130426"]
    assert read_expression(path, gene_names="full")[0].columns.tolist() == ["TP53|7157", "?|100130426"]


@pytest.mark.parametrize(
    ("duplicates", "expected"), [("first", [1, 2]), ("largest", [7, 0]), ("mean", [4, 1])], ids=str
)
def test_several_rows_of_a_gene(write, duplicates, expected):
    path = write([["gene", f"{A}-01", f"{B}-01"], ["TP53", 1, 2], ["EGFR", 5, 5], ["TP53", 7, 0]])
    table, report = read_expression(path, duplicates=duplicates)
    assert table["TP53"].tolist() == expected
    assert table["EGFR"].tolist() == [5, 5]
    assert report.numbers["duplicated genes"] == 1
    assert said(report, "1 genes have several rows (1 with different values)")


def test_several_rows_of_a_gene_may_be_an_error(write):
    path = write([["gene", f"{A}-01"], ["TP53", 1], ["TP53", 1]])
    with pytest.raises(ValueError, match="1 genes have several rows: 'TP53'"):
        read_expression(path, duplicates="error")
    assert said(read_expression(path)[1], "(0 with different values)")


def test_a_mean_over_rows_knows_missing_values(write):
    path = write([["gene", f"{A}-01", f"{B}-01"], ["TP53", 1, "NA"], ["TP53", "", "NA"]])
    table, report = read_expression(path, duplicates="mean")
    assert table.loc[A, "TP53"] == 1
    assert np.isnan(table.loc[B, "TP53"])
    assert report.numbers["missing values"] == 1


def test_comments_stand_before_the_header_only(write):
    path = write([["gene", f"{A}-01"], ["#3", 1], ["TP53", 2]], head="#1.2\n# made today\n")
    table, report = read_expression(path)
    assert table.columns.tolist() == ["#3", "TP53"]
    assert said(report, "2 comment lines")


def test_cptac_names_cases_and_normal_tissue(write):
    path = write([["gene", "C3L-00004-01", "C3N-00314", "C3N-00314.N"], ["TP53", 1, 2, 3]])
    assert read_expression(path)[0]["TP53"].to_dict() == {"C3L-00004": 1, "C3N-00314": 2}


def test_samples_whose_tissue_is_unknown_are_not_chosen_among(write):
    path = write([["gene", "C3L-00004-01", "C3L-00004-06"], ["TP53", 1, 2]])
    with pytest.raises(ValueError, match=r"do not tell which to take; 'C3L-00004' has 'C3L-00004-01', 'C3L-00004-06'"):
        read_expression(path)
    assert read_expression(path, samples=lambda name: name.endswith("06"))[0].loc["C3L-00004", "TP53"] == 2


def test_patients_by_a_function(write):
    path = write([["gene", "P1_t", "P2_t", "pool"], ["TP53", 1, 2, 3]])
    table, report = read_expression(path, identifiers=lambda name: name[:2] if "_" in name else None)
    assert table["TP53"].to_dict() == {"P1": 1, "P2": 2}
    assert said(report, "1 samples without a patient's identifier are left out: 'pool'")


def test_dots_of_r_count_as_dashes(write):
    path = write([["gene", "TCGA.05.4244.01A.11R"], ["TP53", 1]])
    assert read_expression(path)[0].index.tolist() == [A]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["gene", f"{A}-01"], ["TP53", "high"]], "line 2, column 'TCGA-05-4244-01': 'high' is no number"),
        ([["gene", f"{A}-01"], ["TP53"]], "line 2: 1 cells, but the header has 2 columns"),
        ([["gene", f"{A}-01"]], "a header and no rows"),
        ([["id", "s1"], ["x1", 1]], "whether genes are in rows or columns is not clear"),
        ([["gene", f"{A}-11"], ["TP53", 1]], "No sample is left of 1, such as 'TCGA-05-4244-11': 1 'normal tissue'"),
    ],
    ids=["text", "cut", "empty", "unclear", "normal"],
)
def test_what_cannot_be_read_says_where_and_why(write, rows, message):
    with pytest.raises(ValueError, match=message):
        read_expression(write(rows))


def test_an_inflated_file_is_refused(tmp_path):
    path = tmp_path / "bomb.tsv.gz"
    path.write_bytes(gzip.compress(b"gene\tTCGA-05-4244-01\n" + b"TP53\t0\n" * 6_000_000))
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_expression(path)


@pytest.mark.skipif(not (REAL / "cbioportal").is_dir(), reason="portals/cbioportal is not in $SKSURV_MMF_DATA")
def test_a_real_file_of_cbioportal():
    path = REAL / "cbioportal" / "data_expression_median.txt"
    table, report = read_expression(path)
    raw = pd.read_csv(path, sep="\t", index_col=0).drop(columns="Entrez_Gene_Id")
    assert table.shape == (526, 6)
    np.testing.assert_allclose(table.to_numpy(), raw.T.to_numpy(), rtol=1e-6)
    assert table.index.tolist() == [name[:12] for name in raw.columns]
    assert report.numbers["missing values"] == 0
