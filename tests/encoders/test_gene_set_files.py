"""Gene sets from GMT, GMX and CSV, with descriptions and without: no gene is lost, and none is made up."""

import gzip
import os
import tracemalloc
import warnings

import pytest
import torch

from sksurv_mmf.encoders import PathwaySNN, read_gene_sets

SETS = {
    "apoptosis": ["TP53", "BAX", "CASP3"],
    "cell cycle": ["CDK1", "TP53"],
    "hypoxia": ["VEGFA", "CA9", "IL6", "CDK1"],
}


@pytest.fixture
def write(tmp_path):
    def write(name, rows, separator="\t"):
        path = tmp_path / name
        path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
        return path

    return write


def columns(heads, fill=""):
    """Rows of a table that has `heads` and then genes in its columns."""
    longest = max(map(len, SETS.values()))
    padded = [[*head, *genes, *[fill] * (longest - len(genes))] for head, genes in zip(heads, SETS.values())]
    return list(zip(*padded))


def gmt(seconds):
    return [[name, second, *genes] for (name, genes), second in zip(SETS.items(), seconds)]


def without_descriptions(sets):
    return [[name, *genes] for name, genes in sets.items()]


@pytest.mark.parametrize(
    "seconds",
    [
        ["", "", ""],
        ["na", "NA", "na"],
        ["http://www.gsea-msigdb.org/1", "https://x.org/2", "http://x.org/3"],
        ["> first", "second of all", "x"],
        ["R-HSA-109581", "R-HSA-1640170", "R-HSA-1234158"],
        ["GO:0006915", "GO:0007049", "GO:0001666"],
        ["WP254", "WP179", "WP1591"],
        ["hallmark", "hallmark", "hallmark"],
        ["HALLMARK", "HALLMARK", "HALLMARK"],
        ["Apoptosis", "Replication", "Hypoxia"],
        ["apoptosis", "cell cycle", "hypoxia"],
        ["M5902", "M5893", "M5891"],
    ],
    ids=str,
)
def test_descriptions_are_no_genes(write, seconds):
    assert read_gene_sets(write("sets.gmt", gmt(seconds))) == SETS


ENSEMBL = {"a": ["ENSG00000141510", "ENSG00000087088"], "b": ["ENSG00000170312", "ENSG00000112715"]}
MOUSE = {"a": ["Trp53", "Bax", "Casp3"], "b": ["Cdk1", "Ccnb1", "Plk1"]}
ENTREZ = {"a": ["7157", "581", "836"], "b": ["983", "891", "5347"]}
ORF = {"a": ["C1orf61", "TP53"], "b": ["BAX", "HLA-A", "NKX2-1"]}


@pytest.mark.parametrize(
    "sets", [SETS, ENSEMBL, MOUSE, ENTREZ, ORF], ids=["symbols", "Ensembl", "mouse", "Entrez", "orf"]
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_without_descriptions_no_gene_is_lost(tmp_path, sets, compress):
    path = tmp_path / "sets.gmt"
    path.write_bytes(compress("\n".join(map("\t".join, without_descriptions(sets))).encode()))
    n = len(sets)
    with pytest.warns(UserWarning, match=rf"{n} of {n} second fields, such as '.*', '.*'.*, look like genes.*descr"):
        assert read_gene_sets(path) == sets
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_gene_sets(path, descriptions=False) == sets
        assert read_gene_sets(path, descriptions=True) == {name: genes[1:] for name, genes in sets.items()}


def test_a_few_descriptions_that_are_genes_of_other_sets_are_told(write):
    path = write("sets.gmt", gmt(["TP53", "about the cell cycle", "about hypoxia"]))
    with pytest.warns(UserWarning, match=r"1 of 3 second fields, such as 'TP53', are genes of other sets"):
        assert read_gene_sets(path) == SETS


def test_of_mixed_second_fields_genes_are_kept(write):
    path = write("sets.gmt", [["a", "TP53", "BAX"], ["b", "BAX", "TP53"], ["c", "na", "CA9"]])
    with pytest.warns(UserWarning, match="2 of 2 second fields"):
        assert read_gene_sets(path) == {"a": ["TP53", "BAX"], "b": ["BAX", "TP53"], "c": ["CA9"]}


@pytest.mark.parametrize("second", ["na", "http://x.org/a", ">x"])
@pytest.mark.parametrize("name", ["sets.gmx", "sets.txt", "sets.gmt"])
def test_gmx_is_read_by_column(write, name, second):
    assert read_gene_sets(write(name, columns([[one, second] for one in SETS]))) == SETS


def test_gmx_with_descriptions_in_words_and_without(write):
    assert read_gene_sets(write("a.gmx", columns([[one, f"about {one}"] for one in SETS]))) == SETS
    assert read_gene_sets(write("b.GMX", columns([[one, ""] for one in SETS]))) == SETS
    path = write("c.gmx", columns([[one] for one in SETS]))
    with pytest.warns(UserWarning, match="3 of 3 second fields"):
        assert read_gene_sets(path) == SETS
    assert read_gene_sets(write("one.gmx", [["only"], ["na"], ["TP53"], ["BAX"]])) == {"only": ["TP53", "BAX"]}


@pytest.mark.parametrize("fill", ["", "NaN", "nan", "NA"])
@pytest.mark.parametrize(("name", "separator"), [("s.csv", ","), ("s", ","), ("s.csv", ";"), ("s.csv", "\t")])
def test_signatures_are_read_by_column(write, name, separator, fill):
    assert read_gene_sets(write(name, columns([[one] for one in SETS], fill), separator)) == SETS


def test_signatures_with_an_index_and_quotes(write):
    rows = columns([[f'"{one}, of all"'] for one in SETS])
    rows = [["" if i == 0 else str(i - 1), *row] for i, row in enumerate(rows)]
    assert read_gene_sets(write("s.csv", rows, ",")) == {f"{one}, of all": genes for one, genes in SETS.items()}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", ",a,b\nTP53,1,0\nBAX,0,1\n", r"says by 0 and 1 which gene.*pandas\.read_csv"),
        ("c.csv", "gene,a,b\nTP53,1,0\nBAX,0,1\n", "says by 0 and 1"),
        ("c.csv", "gene,P1\nTP53,0.25\n", "line 2: '0.25', in column 2, is a number and no gene"),
        ("c.csv", ",a\nTP53,BAX\n", "column 1: a column of genes has no name"),
        ("c.csv", "a,b\nTP53,BAX,CA9\n", "line 2: 'CA9' is in column 3, which has no name"),
        ("c.csv", "a,a\nTP53,BAX\n", "column 2: gene set 'a' is in column 1 already"),
        ("c.csv", "a,b\nTP53,\n", "column 2: gene set 'b' has no genes"),
        ("c.gmx", "a\tb\nna\tna\nTP53\t\n", "column 2: gene set 'b' has no genes"),
        ("c.gmx", "a\t\nna\tna\nTP53\tBAX\n", "line 3: 'BAX' is in column 2, which has no name"),
        ("c.csv", "", "has no gene sets"),
        ("c.gmx", "", "has no gene sets"),
        ("c.gmt", "A\tTP53\n", r"line 1: gene set 'A' has no genes.*descriptions=False"),
        ("c.gmt", '{"a": ["TP53"]}', "separated by tabs"),
        ("c.gmt", "a\0\tna\tTP53", "zero bytes"),
    ],
)
def test_what_is_no_table_of_gene_sets_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        read_gene_sets(path)


def test_utf16_says_so(tmp_path):
    (tmp_path / "sets.gmt").write_text("A\tna\tTP53\n", "utf-16")
    with pytest.raises(ValueError, match=r"sets\.gmt is text in UTF-16.*'utf-16'"):
        read_gene_sets(tmp_path / "sets.gmt")


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "sets.gmt")
    with pytest.raises(ValueError, match="is a named pipe; a regular file is expected"):
        read_gene_sets(tmp_path / "sets.gmt")
    with pytest.raises(ValueError, match="is a device"):
        read_gene_sets("/dev/zero")
    (tmp_path / "file.gmt").write_text("A\tna\tTP53\n")
    (tmp_path / "link.gmt").symlink_to("file.gmt")
    assert read_gene_sets(tmp_path / "link.gmt") == {"A": ["TP53"]}


def test_descriptions_has_three_values(write):
    with pytest.raises(ValueError, match="descriptions must be 'auto', True or False, got 'no'"):
        read_gene_sets(write("sets.gmt", gmt(["", "", ""])), descriptions="no")


class TestNamesThatAreColumns:
    GENES = ["TP53", "BAX", "CASP3", "CDK1", "VEGFA", "CA9", "IL6"]

    def fit(self, gene_sets):
        return PathwaySNN(gene_sets, min_genes=1).fit(torch.empty(0, len(self.GENES)), self.GENES)

    def test_names_of_sets(self):
        with pytest.warns(UserWarning, match=r"2 of 3 names of gene sets are columns too, such as 'TP53', 'IL6'"):
            self.fit({"TP53": ["BAX"], "IL6": ["CA9"], "x": ["CDK1"]})

    def test_descriptions_of_sets(self, write):
        path = write("sets.gmt", [["a", "IL6", "BAX"], ["b", "about b", "CA9"]])
        with pytest.warns(UserWarning, match=r"1 of 2 descriptions of gene sets are columns too, such as 'IL6'"):
            self.fit(path)

    def test_others_are_quiet(self, write):
        assert list(self.fit(SETS).columns_) == list(SETS)
        assert list(self.fit(write("sets.gmt", gmt(["na", "na", "na"]))).columns_) == list(SETS)


class TestMemory:
    @pytest.fixture
    def peak(self):
        tracemalloc.start()
        yield lambda: tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    def test_a_gzip_file_that_unpacks_to_any_size(self, tmp_path, peak):
        path = tmp_path / "sets.gmt"
        path.write_bytes(gzip.compress((b"A\tna\t" + b"X" * 5_000_000 + b"\n") * 5, 1))
        with pytest.raises(ValueError, match=r"sets\.gmt unpacks to more than 50 times its size"):
            read_gene_sets(path)
        assert peak() < 100 * 2**20

    def test_a_line_without_an_end(self, tmp_path, peak):
        (tmp_path / "sets.gmt").touch()
        os.truncate(tmp_path / "sets.gmt", 2**36)
        with pytest.raises(ValueError, match=r"sets\.gmt has a line of more than 10000000 characters"):
            read_gene_sets(tmp_path / "sets.gmt")
        assert peak() < 100 * 2**20
