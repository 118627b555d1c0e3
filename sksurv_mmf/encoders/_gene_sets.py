"""Gene sets such as pathways, and which columns of a table belong to them."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Collection
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np

from ..utils._validation import SEPARATOR, shorten


def read_gene_sets(path: str | PathLike) -> dict[str, list[str]]:
    r"""Read gene sets from a GMT file, the format of MSigDB.

    Each line is one gene set: its name, a description and its genes, separated by tabs. Blank lines are skipped, and a
    gene that a set names twice counts once.

    Parameters
    ----------
    path : str or path-like
        The file, UTF-8 text that may be compressed by gzip.

    Returns
    -------
    gene_sets : dict of str to list of str
        Genes of each set, in the order of the file.

    Raises
    ------
    TypeError
        If path is no path.
    ValueError
        If the file is no text, if a line is no gene set or repeats a name, or if there is none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sksurv_mmf.encoders import read_gene_sets
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "pathways.gmt")
    ...     _ = path.write_text("APOPTOSIS\thallmark\tTP53\tBAX\nHYPOXIA\t\tVEGFA\tCA9\n")
    ...     read_gene_sets(path)
    {'APOPTOSIS': ['TP53', 'BAX'], 'HYPOXIA': ['VEGFA', 'CA9']}
    """
    gene_sets, found_in = {}, {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, genes = parse_line(line, where := f"{path}, line {number}")
        if name in found_in:
            raise ValueError(
                f"{where}: gene set {name!r} is in line {found_in[name]} already. Rename or remove one of the two."
            )
        gene_sets[name], found_in[name] = genes, number
    if not gene_sets:
        raise ValueError(f"{path} has no gene sets.")
    return gene_sets


def read_lines(path: str | PathLike) -> list[str]:
    """Lines of a text file in UTF-8, decompressed if it is a gzip file."""
    if not isinstance(path, str | PathLike):
        raise TypeError(f"path must be a str or path-like that names a GMT file, got {path!r}.")
    if Path(path).is_dir():
        raise ValueError(f"path={str(path)!r} is a directory; a GMT file is expected.")
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    try:
        # Editors of tables like to put a byte order mark in front, which is no part of the first name.
        with (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8-sig") as lines:
            return list(lines)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error}). If it is text in another encoding, save it as UTF-8, for example "
            "with path.write_text(path.read_text('latin-1'), 'utf-8')."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}") from None


def parse_line(line: str, where: str) -> tuple[str, list[str]]:
    """Name and genes of one line of a GMT file; `where` it is goes into the errors."""
    name, *rest = (field.strip() for field in line.split("\t"))
    got = repr(line.rstrip("\r\n")[:40])
    if not rest:
        raise ValueError(
            f"{where}: expected the name of a gene set, a description and genes, separated by tabs, got {got}."
        )
    if not name:
        raise ValueError(f"{where}: the name of the gene set, which is the first field, is empty: {got}.")
    genes = unique(gene for gene in rest[1:] if gene)
    if not genes:
        raise ValueError(f"{where}: gene set {name!r} has no genes. The first two fields are name and description.")
    return name, genes


def unique(names) -> list[str]:
    """Each name once, in the order of its first occurrence."""
    return list(dict.fromkeys(names))


def check_gene_sets(gene_sets: dict[str, Collection[str]]) -> dict[str, list[str]]:
    """Refuse gene sets that are empty or no collections of names; each gene once."""
    for name, genes in gene_sets.items():
        if not isinstance(genes, Collection) or isinstance(genes, str):
            raise ValueError(
                f"Gene set {name!r} must be a list of gene names, got the {type(genes).__name__} {genes!r:.60}."
            )
        if not len(genes):
            raise ValueError(f"Gene set {name!r} has no genes. Leave it out.")
        for gene in genes:
            if not isinstance(gene, str):
                raise ValueError(f"Gene set {name!r}: names must be strings, got {gene!r}. Write str(gene).")
    if not gene_sets:
        raise ValueError("gene_sets has no gene sets.")
    return {name: unique(genes) for name, genes in gene_sets.items()}


def find_columns(gene_sets: dict[str, list[str]], feature_names: list[str]) -> dict[str, list[int]]:
    """Positions of the columns of each set, in the order in which the set names its genes."""
    position = {name: i for i, name in enumerate(feature_names)}
    if len(position) < len(feature_names):
        repeated = [name for name, count in Counter(feature_names).items() if count > 1]
        raise ValueError(
            f"Genes are matched to columns by name, but {shorten(repeated)} occur more than once. Merge or rename "
            "these columns."
        )
    return {name: [position[gene] for gene in genes if gene in position] for name, genes in gene_sets.items()}


def describe_mismatch(gene_sets: dict[str, list[str]], feature_names: list[str]) -> str:
    """What to say where genes of sets and names of columns do not meet."""
    genes = unique(gene for names in gene_sets.values() for gene in names)
    n_common = len(set(genes) & set(feature_names))
    sentences = [
        f"{n_common} of their {len(genes)} genes are among the {len(feature_names)} columns. The sets name "
        f"{shorten(genes, 3)}; the columns are {shorten(feature_names, 3)}."
    ]
    matches = {
        hint: len({simplify(gene) for gene in genes} & {simplify(name) for name in feature_names})
        for hint, simplify in SIMPLIFICATIONS.items()
    }
    hint = max(matches, key=matches.get)
    if matches[hint] > n_common:
        sentences.append(hint.format(matches[hint]))
    elif are_positions(feature_names) and not n_common:
        sentences.append("The columns are numbered, as those of an array: pass X as a DataFrame that names the genes.")
    elif not n_common:
        sentences.append("Are both gene symbols, or both Ensembl or Entrez identifiers?")
    return " ".join(sentences)


SIMPLIFICATIONS = {
    "With upper and lower case alike, {} would match: rename one side.": str.casefold,
    f"Without what stands before {SEPARATOR!r}, {{}} would match. Sets name genes without it, and columns lose it only "
    "if it is the name of the modality: name the modality so, or rename one side.": (
        lambda name: name.partition(SEPARATOR)[2] or name
    ),
    "Without the version of Ensembl identifiers, the '.1' of 'ENSG00000141510.1', {} would match: remove it on both "
    "sides.": partial(re.compile(r"^(ENS\w+)\.\d+$").sub, r"\1"),
}
"""What names may differ in although they mean the same genes: what to say about it, and how to take it away."""


def are_positions(names: list[str]) -> bool:
    """Whether names count up, as 0, 1, 2 and so on."""
    return all(name.isdecimal() for name in names) and bool((np.diff([int(name) for name in names]) == 1).all())
