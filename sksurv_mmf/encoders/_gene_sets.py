"""Gene sets such as pathways, and which columns of a table belong to them."""

from collections import Counter
from collections.abc import Collection
from os import PathLike

from ..utils._validation import shorten


def read_gene_sets(path: str | PathLike) -> dict[str, list[str]]:
    r"""Read gene sets from a GMT file, the format of MSigDB.

    Each line is one gene set: its name, a description and its genes, separated by tabs. Blank lines are skipped, and a
    gene that a set names twice counts once.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    gene_sets : dict of str to list of str
        Genes of each set, in the order of the file.

    Raises
    ------
    ValueError
        If a line is no gene set or repeats a name, or if there is none.

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
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
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


def parse_line(line: str, where: str) -> tuple[str, list[str]]:
    """Name and genes of one line of a GMT file; `where` it is goes into the errors."""
    name, *rest = (field.strip() for field in line.split("\t"))
    if not rest or not name:
        raise ValueError(
            f"{where}: expected the name of a gene set, a description and genes, separated by tabs, got "
            f"{line.strip()[:40]!r}."
        )
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
        is_collection = isinstance(genes, Collection) and not isinstance(genes, str)
        if not is_collection or not all(isinstance(gene, str) for gene in genes):
            raise ValueError(f"Gene set {name!r} must be a list of gene names, got {genes!r:.60}.")
        if not len(genes):
            raise ValueError(f"Gene set {name!r} has no genes. Leave it out.")
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
    folded = {gene.casefold() for gene in genes} & {name.casefold() for name in feature_names}
    if len(folded) > n_common:
        sentences.append(f"With upper and lower case alike, {len(folded)} would match: rename one side.")
    elif not n_common:
        sentences.append("Are both gene symbols, or both Ensembl or Entrez identifiers?")
    return " ".join(sentences)
