"""Expression, copy numbers and other numbers of genes as a table of patients."""

import os
import re
from itertools import chain, islice, takewhile

import numpy as np
import pandas as pd

from ..utils._validation import shorten
from ._delimited import as_number, open_table
from ._report import ReadReport, note_some
from ._samples import PATIENT_COLUMNS, are_barcodes, check_choice, check_identifiers, choose_samples

_GENE_COLUMNS = [
    *("hugo_symbol", "gene symbol", "gene_symbol", "symbol", "gene_name", "ensembl_id", "gene_id", "gene", "genes"),
    *("composite.element.ref", "attrib_name", "probe", "gene id", "entrez_gene_id"),
]
"""Names of columns of genes, in the order of preference."""
_PATIENT_COLUMNS = [name.casefold() for name in PATIENT_COLUMNS]
_EITHER = ["", "sample", "samples", "id", "name", "unnamed: 0"]
_FURTHER = ["locus id", "cytoband", "gene_type", "description", "chromosome"]
_LABELS = {*_GENE_COLUMNS, *_PATIENT_COLUMNS, *_EITHER, *_FURTHER}

# Genes that hardly any table of human or mouse genes lacks altogether.
_KNOWN = {"TP53", "EGFR", "KRAS", "BRCA1", "BRCA2", "ACTB", "GAPDH", "MYC", "PTEN", "RB1", "ERBB2", "CD8A", "VEGFA"}
_ENSEMBL = re.compile(r"(ENS[A-Z]*[GTP]R?\d+)\.\d+(_PAR_Y)?")
_COUNTERS = re.compile(r"__\w+|N_(unmapped|multimapping|noFeature|ambiguous)")
"""Rows that HTSeq and STAR write beside genes."""

_SEGMENTS = {"seg.mean", "segment_mean", "num.mark", "num_probes", "loc.start"}
"""Columns of tables of segments of chromosomes, of which samples are the first column."""

_DUPLICATES = ("first", "largest", "mean", "error")


def read_expression(
    path: str | os.PathLike,
    *,
    identifiers="auto",
    genes: str = "auto",
    samples="primary",
    duplicates: str = "first",
    gene_names: str = "short",
) -> tuple[pd.DataFrame, ReadReport]:
    """Read a table of numbers by gene and sample, such as expression, as a table by patient with a report.

    For files of UCSC Xena, GDC, cBioPortal, and SurvPath and MMP: tab- or comma-separated, perhaps gzipped. Anything
    that has one number per gene and sample will do, such as copy numbers or protein levels. Values are kept as they
    are: whether they are logarithms is for the user to know.

    Parameters
    ----------
    path : path
        The file. Lines before the header that begin with "#" are comments.
    identifiers : {"auto", "tcga", "cptac"}, callable or None, default="auto"
        How a patient is made of a sample's name:

        - "tcga": the first three parts of a barcode; R's ``TCGA.05.4244.01`` counts as ``TCGA-05-4244-01``,
        - "cptac": the first two parts, ``C3L-00004`` of ``C3L-00004-01``; ``.N`` behind them is normal tissue,
        - a function of the name that returns the patient, or None for a sample that is to be left out,
        - None: the name is the patient,
        - "auto": "tcga" if there is a barcode of TCGA among the names, else "cptac" if there is one of its, else None.
    genes : {"auto", "rows", "columns"}, default="auto"
        Where genes are. "auto" goes by barcodes, Ensembl identifiers, well-known symbols and the name of the first
        column, and refuses to guess if these do not tell. The others are refused where these speak against them.
    samples : {"primary", "first"} or callable, default="primary"
        Which sample of a patient is taken; values are never averaged over samples:

        - "primary": the primary tumor (01, or 03 and 09 of blood) before other tumors of TCGA; of equal ones the first
          by name, vial A before B. Normal tissue is left out, and so are controls, cell lines and xenografts. Where
          names do not tell the tissue, several samples of a patient are an error,
        - "first": as before, but the first in the file of what is left,
        - a function of the sample's name that is True for those to take. It decides alone.
    duplicates : {"first", "largest", "mean", "error"}, default="first"
        What is done with a gene that has several rows: the first is taken, the one with the largest mean over the
        samples of the file, or their mean. "largest" looks at all patients, those of later test sets, too.
    gene_names : {"short", "full"}, default="short"
        "short" cuts ``TP53|7157`` to ``TP53`` and ``ENSG00000141510.16`` to ``ENSG00000141510``; a ``_PAR_Y`` stays.

    Returns
    -------
    table : DataFrame of float32, shape (n_patients, n_genes)
        Patients in the order of the file, the index called "patient"; NaN where a value is missing.
    report : ReadReport
        What was found, trimmed, taken and left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, no table, or has cells that are no numbers; if it is not to be told where genes are, or
        which sample of a patient to take; or if a gene has several rows and `duplicates` is "error".

    See Also
    --------
    read_outcome : Event and time from the files of the same portals.

    Notes
    -----
    Genes are called by the column ``Hugo_Symbol`` where there is one, and by ``Entrez_Gene_Id`` in rows that have no
    symbol. The counters of HTSeq and STAR (``__no_feature``, ``N_unmapped``) are no genes and left out.

    Tested on a file of cBioPortal, and on made files in the layouts of UCSC Xena (``Ensembl_ID`` or ``sample`` first),
    SurvPath (patients in rows), Firehose (``gene|id``) and GISTIC. Copy numbers by gene are such tables, those of
    GISTIC in steps from -2 to 2 and linear ones alike; lists of segments (``.seg``) are refused. Files of GDC with one
    sample each are not read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksurv_mmf.portals import read_expression
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "rna.tsv")
    >>> head = ["sample", "TCGA-05-4244-01", "TCGA-05-4244-11", "TCGA-05-4245-01"]
    >>> lines = [head, ["TP53", "1.5", "0", "2"], ["EGFR", "3", "0", ""]]
    >>> _ = path.write_text("".join("\\t".join(line) + "\\n" for line in lines))
    >>> table, report = read_expression(path)
    >>> table
                  TP53  EGFR
    patient
    TCGA-05-4244   1.5   3.0
    TCGA-05-4245   2.0   NaN
    >>> report.numbers["missing values"]
    1
    >>> folder.cleanup()
    """
    _check(genes, duplicates, gene_names, identifiers, samples)
    labels, columns, values, notes = _read_numbers(path)
    where, said = _find_genes(labels, columns, path, genes)
    notes.append(said)
    if where == "rows":
        names, fallback = _gene_labels(labels)
        sample_names = columns
        values = values.T
    else:
        names, fallback, sample_names = columns, None, _sample_labels(labels)
    chosen = choose_samples(sample_names, identifiers, samples)
    names, keep, said = _name_genes(names, fallback, gene_names)
    notes += said
    values = values if len(keep) == values.shape[1] else values[:, keep]
    table, n_duplicates, said = _settle(values, names, duplicates, path)
    table = pd.DataFrame(table[0][chosen.rows], index=chosen.patients, columns=pd.Index(table[1], dtype=object))
    notes += said + chosen.notes
    numbers = {
        "patients": len(table),
        "genes": table.shape[1],
        "samples": len(sample_names),
        "duplicated genes": n_duplicates,
        "missing values": int(np.isnan(table.to_numpy()).sum()),
        "infinite values": int(np.isinf(table.to_numpy()).sum()),
    }
    empty = table.columns[table.isna().all()]
    notes += note_some(empty.tolist(), "genes have no value in any patient")
    return table, ReadReport(f"numbers by gene of {os.fspath(path)}", numbers, notes, chosen.table)


def _check(genes, duplicates, gene_names, identifiers, samples):
    if genes not in ("auto", "rows", "columns"):
        raise ValueError(f"genes must be 'auto', 'rows' or 'columns', got {genes!r}.")
    if duplicates not in _DUPLICATES:
        raise ValueError(f"duplicates must be one of {', '.join(map(repr, _DUPLICATES))}, got {duplicates!r}.")
    if gene_names not in ("short", "full"):
        raise ValueError(f"gene_names must be 'short' or 'full', got {gene_names!r}.")
    check_identifiers(identifiers)
    check_choice(samples)


def _read_numbers(path):
    """The labels in front of each row (a dict of lists by column), names of the other columns, and a float32 array."""
    header, rows, n_comments = open_table(path)
    n_labels = _count_labels(header)
    columns, names = header[n_labels:], [name.strip().casefold() for name in header[:n_labels]]
    _check_header(names, columns, path)
    cells, blocks = [], []
    for number, row in rows:
        cells.append(row[:n_labels])
        blocks.append(_as_numbers(row, n_labels, header, number, path))
    if not blocks:
        raise ValueError(f"{os.fspath(path)!r} has a header and no rows.")
    labels = {name: [row[i].strip() for row in cells] for i, name in enumerate(names)}
    notes = [f"{n_comments} comment lines before the header are passed over."] if n_comments else []
    values = np.empty((len(blocks), len(columns)), dtype=np.float32)
    for i, block in enumerate(blocks):
        values[i], blocks[i] = block, None
    return labels, columns, values, notes


def _check_header(names, columns, path):
    """Refuse columns in front that would be taken for each other, and tables that have no numbers by gene."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{os.fspath(path)!r} has several columns called {repeated[0]!r}, in capitals or not. Rename all but one."
        )
    if not columns:
        raise ValueError(f"{os.fspath(path)!r} has no columns of numbers: {shorten([*names, *columns], 6)}.")
    if _SEGMENTS.intersection(name.strip().casefold() for name in columns):
        raise ValueError(
            f"{os.fspath(path)!r} lists segments of chromosomes, not numbers by gene. Take the table by gene of the "
            "same study, such as data_cna.txt or data_linear_cna.txt of cBioPortal, or GISTIC's all_data_by_genes.txt."
        )


def _count_labels(header):
    """How many columns in front are no numbers: the first, and those behind it that are called as such."""
    known = (name.strip().casefold() in _LABELS for name in header[1:])
    return 1 + sum(takewhile(bool, known))


def _as_numbers(row, start, header, number, path):
    fields = row[start:]
    try:
        if "_" in "".join(fields):
            raise ValueError  # Python reads 1_000 as a number
        values = np.fromiter(map(float, fields), np.float32, len(fields))
    except ValueError:
        values = np.array([as_number(one) for one in fields], dtype=object)
        bad = [i for i, value in enumerate(values) if value is None]
        if bad:
            raise ValueError(
                f"{os.fspath(path)!r}, line {number}, column {header[start + bad[0]]!r}: {fields[bad[0]]!r:.40} is no "
                "number. If the column is no sample, remove it from the file."
            ) from None
        values = values.astype(np.float32)
    return values


def _find_genes(labels, columns, path, genes):
    """Whether genes are in rows or columns, and a sentence that says why."""
    votes = {"rows": _reason(labels), "columns": _reason({"": columns})}
    # Samples in rows speak for genes in columns, and the other way round.
    for one, other in (("rows", "columns"), ("columns", "rows")):
        own = columns if one == "rows" else list(chain.from_iterable(labels.values()))
        if are_barcodes(own):
            votes[one] = votes[one] or "names of samples are in the other direction"
            votes[other] = None
    found = [where for where, reason in votes.items() if reason]
    if genes != "auto":
        if found and genes not in found:
            raise ValueError(
                f"{os.fspath(path)!r}: genes={genes!r}, but all speaks for genes in {found[0]}: {votes[found[0]]}. "
                f"Pass genes={found[0]!r} or 'auto'."
            )
        return genes, f"Genes are in {genes}, as asked for."
    if len(found) != 1:
        rows = next(iter(labels.values()))
        raise ValueError(
            f"{os.fspath(path)!r}: whether genes are in rows or columns is not clear. Rows are called "
            f"{shorten(rows, 3)}, columns {shorten(columns, 3)}. Pass genes='rows' or genes='columns'."
        )
    return found[0], f"Genes are in {found[0]}: {votes[found[0]]}."


def _reason(labels):
    """What tells that these labels are genes, if anything does."""
    named = [name for name in labels if name in _GENE_COLUMNS]
    if named:
        return f"a column is called {named[0]!r}"
    texts = list(chain.from_iterable(labels.values()))
    if any(_ENSEMBL.fullmatch(text) or re.fullmatch(r"ENS[A-Z]*G\d{11}", text) for text in islice(texts, 1000)):
        return "there are Ensembl identifiers"
    found = sorted(_KNOWN.intersection(text.partition("|")[0].upper() for text in texts))
    return f"there are genes such as {', '.join(found[:3])}" if found else None


def _gene_labels(labels):
    """The names of genes, and what stands in for those that are empty."""
    names = [name for name in _GENE_COLUMNS if name in labels] or [next(iter(labels))]
    fallback = labels.get("entrez_gene_id") if names[0] != "entrez_gene_id" else None
    return labels[names[0]], fallback


def _sample_labels(labels):
    """The column of patients or samples; a first column without a name may hold row numbers."""
    names = [name for name in _PATIENT_COLUMNS if name in labels] or [
        name for name in labels if not all(text.isdecimal() for text in labels[name])
    ]
    return labels[names[0] if names else next(iter(labels))]


def _name_genes(names, fallback, gene_names):
    """The names of the genes that are kept, which these are, and sentences on it."""
    full = [name if name or fallback is None else fallback[i] for i, name in enumerate(names)]
    by_fallback = [one for one, name in zip(full, names) if one and not name]
    short = [_shorten(name) for name in full] if gene_names == "short" else full
    no_gene = [bool(_COUNTERS.fullmatch(name)) for name in full]
    keep = np.array([bool(name) and not out for name, out in zip(full, no_gene)])
    cut = [(old, new) for old, new in zip(full, short) if old != new]
    return (
        [name for name, is_kept in zip(short, keep) if is_kept],
        np.flatnonzero(keep),
        [
            *([f"{len(cut)} names of genes are cut, such as {cut[0][0]!r} to {cut[0][1]!r}."] if cut else []),
            *note_some(by_fallback, "genes without a symbol are called by their Entrez identifier"),
            *note_some([one for one, out in zip(full, no_gene) if out], "rows are counters and no genes, and left out"),
            *([f"{full.count('')} genes without a name are left out."] if "" in full else []),
        ],
    )


def _shorten(name):
    found = _ENSEMBL.fullmatch(name)
    if found:
        return found[1] + (found[2] or "")
    symbol, _, rest = name.partition("|")
    # Firehose writes ?|100130426 where there is no symbol.
    return symbol if rest and symbol not in ("", "?") else name


def _settle(values, names, duplicates, path):
    """One column per gene: (values, names), how many genes had several, and sentences on it."""
    codes, unique = pd.factorize(np.array(names, dtype=object))
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    several = unique[counts > 1].tolist()
    if not several:
        return (values, unique), 0, []
    if duplicates == "error":
        raise ValueError(
            f"{os.fspath(path)!r}: {len(several)} genes have several rows: {shorten(several)}. Choose what is done by "
            "duplicates='first', 'largest' or 'mean'."
        )
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    first = order[starts]
    n_differ, settled = 0, values[:, first]
    for gene in np.flatnonzero(counts > 1):
        own = values[:, order[starts[gene] : starts[gene] + counts[gene]]]
        n_differ += not np.array_equal(own[:, 1:], np.repeat(own[:, :1], own.shape[1] - 1, axis=1), equal_nan=True)
        settled[:, gene] = _one_of(own, duplicates)
    how = {"first": "the first is taken", "largest": "that with the largest mean is taken", "mean": "they are averaged"}
    said = (
        f"{len(several)} genes have several rows ({n_differ} with different values), and {how[duplicates]}: "
        f"{shorten(several, 3)}."
    )
    return (settled, unique), len(several), [said]


def _one_of(own, duplicates):
    """The column that stands for several of a gene."""
    if duplicates == "first":
        return own[:, 0]
    known = ~np.isnan(own)
    zeroed = np.where(known, own, 0).astype(float)
    if duplicates == "largest":
        n = known.sum(axis=0)
        return own[:, np.argmax(np.where(n > 0, zeroed.sum(axis=0) / np.maximum(n, 1), -np.inf))]
    n = known.sum(axis=1)
    return np.where(n > 0, zeroed.sum(axis=1) / np.maximum(n, 1), np.nan)
