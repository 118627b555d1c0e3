"""Files of gene sets: GMT, GMX and CSV, told apart by what is in them."""

import csv
import re
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ..files._text_files import read_lines
from ..utils._validation import shorten
from ..utils._warnings import warn

# What stands where nothing is known, or where a column has ended.
_NOTHING = {"", "na", "nan", "n/a", "none", "null", "-", "."}
_MEMBERSHIP = {"0", "1", "0.0", "1.0"}
# Whole numbers may be genes, by Entrez identifiers, but fractions are of a table of something else.
_FRACTION = re.compile(r"-?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
# Fewer digits belong to the names of genes, such as TP53.
_NUMBER = re.compile(r"\d{3,}")
_SYMBOL = re.compile(r"[A-Za-z0-9][^\s:/,;]{0,19}")


@dataclass
class GeneSet:
    """A gene set as it is in the file: its place, its name, the field after the name, and the genes after that."""

    place: str
    name: str
    second: str = ""
    genes: list = field(default_factory=list)


def read_file(path, descriptions):
    """Read gene sets; return their genes and their descriptions, two dicts by the name of the set."""
    lines = read_lines(path)
    first, second = next(lines, ""), next(lines, "")
    is_csv = _suffix(path) == ".csv" or ("\t" not in first and "," in first)
    is_gmx = not is_csv and (_suffix(path) == ".gmx" or _has_only_descriptions(second))
    parse = _parse_csv if is_csv else _parse_gmx if is_gmx else _parse_gmt
    # Genes recur from set to set; each name is kept once.
    known = {}
    sets = list(parse(chain([first, second], lines), path, lambda name: known.setdefault(name, name)))
    if not sets:
        raise ValueError(f"{path} has no gene sets.")
    if not is_csv:
        _settle_descriptions(sets, descriptions, path)
    gene_sets, places = {}, {}
    for one in sets:
        genes = list(dict.fromkeys(one.genes))
        if not genes:
            hint = "" if is_csv else " The first two fields are name and description; if there are no descriptions, "
            hint += "" if is_csv else "pass descriptions=False to read_gene_sets."
            raise ValueError(f"{path}, {one.place}: gene set {one.name!r} has no genes.{hint}")
        if one.name in gene_sets:
            raise ValueError(
                f"{path}, {one.place}: gene set {one.name!r} is in {places[one.name]} already. Rename or remove one of "
                "the two."
            )
        gene_sets[one.name], places[one.name] = genes, one.place
    return gene_sets, {one.name: one.second for one in sets}


def _suffix(path):
    path = Path(path)
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _has_only_descriptions(line):
    """Whether no field of a line can be a gene, as in the second line of a GMX file."""
    fields = [one.strip() for one in line.split("\t")]
    return (
        bool(line.strip())
        and len(fields) > 1
        and all(_is_nothing(one) or "://" in one or one.startswith(">") for one in fields)
    )


def _is_nothing(text):
    return text.casefold() in _NOTHING


def _parse_gmt(lines, path, once):
    """Each line is a set: its name, a description, genes."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = (one.strip() for one in line.split("\t"))
        place, got = f"line {number}", repr(line.rstrip("\r\n")[:40])
        if not rest:
            raise ValueError(
                f"{path}, {place}: expected the name of a gene set, a description and genes, separated by tabs, got "
                f"{got}. Columns of genes are read from files that end in .gmx, with descriptions, or .csv, without."
            )
        if not name:
            raise ValueError(f"{path}, {place}: the name of the gene set, which is the first field, is empty: {got}.")
        yield GeneSet(place, name, rest[0], [once(gene) for gene in rest[1:] if gene])


def _parse_gmx(lines, path, once):
    """Each column is a set: its name, a description, genes."""
    rows = ([one.strip() for one in line.split("\t")] for line in lines)
    sets = _columns(next(rows), path)
    for one, second in zip(sets, next(rows, [])):
        one.second = second
    _fill(sets, enumerate(rows, start=3), path, once)
    return [one for one in sets if one.name]


def _parse_csv(lines, path, once):
    """Each column is a set: its name, genes; SurvPath and its successors publish them so."""
    lines = iter(lines)
    head = next(lines)
    # Spreadsheets of some countries write semicolons, and some files that end in .csv have tabs.
    delimiter = max(",;\t", key=head.count)
    try:
        rows = [[one.strip() for one in row] for row in csv.reader(chain([head], lines), delimiter=delimiter)]
    except csv.Error as error:
        raise ValueError(f"{path} is no table of gene sets: {error}.") from error
    if not rows or not rows[0]:
        return []
    cells = {cell for row in rows[1:] for cell in row[1:] if cell}
    if cells and cells <= _MEMBERSHIP:
        raise ValueError(
            f"{path} says by 0 and 1 which gene, in rows, is in which set. With table = pandas.read_csv(path, "
            "index_col=0), the sets are {name: list(table.index[table[name] == 1]) for name in table}."
        )
    if not rows[0][0]:  # an index
        if not all(row[0].isdecimal() for row in rows[1:] if row):
            raise ValueError(f"{path}, column 1: a column of genes has no name. Name the set in the first line.")
        rows = [row[1:] for row in rows]
    sets = _columns(rows[0], path)
    _fill(sets, enumerate(rows[1:], start=2), path, once)
    return [one for one in sets if one.name]


def _columns(names, path):
    return [GeneSet(f"column {number}", name) for number, name in enumerate(names, start=1)]


def _fill(sets, rows, path, once):
    """Deal the genes of each row to the sets, whose columns end where they have no more."""
    for number, row in rows:
        for i, gene in enumerate(row):
            if _is_nothing(gene):
                continue
            if i >= len(sets) or not sets[i].name:
                raise ValueError(f"{path}, line {number}: {gene!r} is in column {i + 1}, which has no name.")
            if _FRACTION.fullmatch(gene):
                raise ValueError(f"{path}, line {number}: {gene!r}, in column {i + 1}, is a number and no gene.")
            sets[i].genes.append(once(gene))


def _settle_descriptions(sets, descriptions, path):
    """Move second fields that are genes to the genes."""
    if descriptions is True:
        return
    has_second = [one for one in sets if not _is_nothing(one.second)]
    if descriptions == "auto":
        has_second = _find_genes(has_second, path)
    for one in has_second:
        one.genes.insert(0, one.second)
        one.second = ""


def _find_genes(sets, path):
    """The sets whose second field is a gene; warn if there are any, or if it is doubtful."""
    known = {gene for one in sets for gene in one.genes}
    seconds = [one.second for one in sets]
    recurring = [one.second in known and one.second != one.name for one in sets]
    symbols = [again or _looks_like_gene(second, known) for again, second in zip(recurring, seconds)]
    # Half is enough, because a gene of a single set cannot recur.
    are_genes = 2 * sum(recurring) >= len(sets) or (all(symbols) and not _are_identifiers(seconds, known))
    found = symbols if are_genes and known else recurring
    examples = [second for second, is_one in zip(seconds, found) if is_one]
    if not examples:
        return []
    warn(
        f"{path}: {len(examples)} of {len(sets)} second fields, such as {shorten(examples, 2)}, "
        + (
            "look like genes and are read as genes, as if there were no descriptions. Pass descriptions=False to "
            "read_gene_sets if that is right, and True if it is not."
            if are_genes
            else "are genes of other sets, but most are not, so that they are left out as descriptions. Pass "
            "descriptions=True to read_gene_sets if that is right, and False if it is not."
        ),
    )
    return [one for one, is_one in zip(sets, found) if is_one] if are_genes else []


def _looks_like_gene(text, known):
    """Whether a text is written as symbols and identifiers of genes are, in the case that those of the file have."""
    if not known or not _SYMBOL.fullmatch(text):
        return False
    # Genes of mice are in lower case throughout; a few such names do not make a file one of these.
    n_lower = sum(_has_lower_case(gene) for gene in known)
    return not _has_lower_case(text) or 10 * n_lower > len(known)


def _has_lower_case(gene):
    return re.search("[a-z]", gene.replace("orf", "")) is not None  # C1orf61 is in upper case all the same


def _are_identifiers(seconds, known):
    """Whether texts are one word for many sets, or numbered identifiers, such as R-HSA-109581, that no gene has."""
    # Such as a source, KEGG for instance, that many sets share.
    if len(seconds) > 1 and 2 * len(set(seconds)) <= len(seconds):
        return True
    forms = {_NUMBER.sub("#", text) for text in seconds}
    is_numbered = all(_NUMBER.search(text) for text in seconds)
    return is_numbered and len(forms) == 1 and forms.isdisjoint(_NUMBER.sub("#", gene) for gene in known)
