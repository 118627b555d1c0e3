"""Gene sets such as pathways, and which columns of a table belong to them."""

import re
from collections import Counter
from collections.abc import Collection
from functools import partial
from os import PathLike

import numpy as np

from ..utils._modality_names import SEPARATOR, without_modality
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._gene_set_files import read_file


def read_gene_sets(path: str | PathLike, descriptions: bool | str = "auto") -> dict[str, list[str]]:
    r"""Read gene sets from a file in the formats GMT, GMX or CSV.

    Which of them it is shows in the file:

    - GMT, of MSigDB and others: each line is one gene set, its name, a description and its genes, separated by tabs,
    - GMX: the same in columns. So is read what ends in ``.gmx``, or has nothing but empty fields, "na" and addresses
      in its second line,
    - CSV, of SurvPath and others (``combine_signatures.csv``): each column has genes under the name of the set. So is
      read what ends in ``.csv``, or has commas and no tab in its first line.

    Blank lines and fields are skipped, in columns also "na" and "NaN", and a gene that a set names twice counts once.

    Parameters
    ----------
    path : str or path-like
        The file, UTF-8 text that may be compressed by gzip.
    descriptions : {"auto", True, False}, default="auto"
        Whether names are followed by descriptions in a GMT or GMX file. Some are written without, and then the first
        gene of each set stands in their place. "auto" takes what is there for genes if at least half are genes of
        other sets, or if all are written like genes, and warns of it.

    Returns
    -------
    gene_sets : dict of str to list of str
        Genes of each set, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If path is no path.
    ValueError
        If the file is no text, or far larger than it looks; if a line is no gene set or repeats a name, or if there is
        none.

    Warns
    -----
    UserWarning
        If "auto" finds genes in the place of descriptions.

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
    if not isinstance(path, str | PathLike):
        raise TypeError(f"path must be a str or path-like that names a file of gene sets, got {path!r}.")
    if descriptions not in ("auto", True, False):
        raise ValueError(f"descriptions must be 'auto', True or False, got {descriptions!r}.")
    gene_sets, _ = read_file(path, descriptions)
    return gene_sets


def unique(names) -> list[str]:
    """Each name once, in the order of its first occurrence."""
    return list(dict.fromkeys(names))


def check_gene_sets(gene_sets: dict[str, Collection[str]]) -> dict[str, list[str]]:
    """Refuse gene sets that are empty or no collections of names; each gene once."""
    for name, genes in gene_sets.items():
        # A text is a collection, too, of its letters.
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
    # Genes that were not measured are passed over, as few panels have all; `min_genes` judges what is left.
    return {name: [position[gene] for gene in genes if gene in position] for name, genes in gene_sets.items()}


def warn_of_genes_as_names(names: Collection[str], descriptions: Collection[str], feature_names: list[str]) -> None:
    """Warn of names and descriptions of gene sets that are columns: they may be genes that no set was given."""
    columns = set(feature_names)
    for what, texts in [("names", names), ("descriptions", descriptions)]:
        if found := [text for text in texts if text in columns]:
            warn(
                f"{len(found)} of {len(texts)} {what} of gene sets are columns too, such as {shorten(found, 2)}, and "
                "are not read as genes. Look whether sets are the lines or the columns of their file, and whether it "
                "has descriptions (see read_gene_sets); if sets are named after genes, rename them.",
            )


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
    "if it is the name of the modality: name the modality so, or rename one side.": without_modality,
    "Without the version of Ensembl identifiers, the '.1' of 'ENSG00000141510.1', {} would match: remove it on both "
    "sides.": partial(re.compile(r"^(ENS\w+)\.\d+$").sub, r"\1"),
}
"""What names may differ in although they mean the same genes: what to say about it, and how to take it away."""


def are_positions(names: list[str]) -> bool:
    """Whether names count up, as 0, 1, 2 and so on."""
    # Entrez identifiers are decimal as well, but do not count up one by one.
    return all(name.isdecimal() for name in names) and bool((np.diff([int(name) for name in names]) == 1).all())
