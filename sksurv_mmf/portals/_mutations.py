"""Mutations of genes as a table of patients."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..files._text_files import read_lines
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._delimited import find_column, open_table
from ._report import ReadReport, note_some
from ._samples import check_choice, check_identifiers, choose_samples, whose

PROTEIN = (
    *("Frame_Shift_Del", "Frame_Shift_Ins", "Splice_Site", "Translation_Start_Site", "Nonsense_Mutation"),
    *("Nonstop_Mutation", "In_Frame_Del", "In_Frame_Ins", "Missense_Mutation"),
)
"""Classes of variants that change the protein, as maftools counts them."""

_NO_SOMATIC = {"germline", "wildtype"}


def read_mutations(
    path: str | os.PathLike,
    *,
    identifiers="auto",
    samples="primary",
    classes="protein",
    patients: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, ReadReport]:
    """Read which genes are mutated in whom from a MAF file, as a table of 0 and 1 with a report.

    Parameters
    ----------
    path : path
        A file in the Mutation Annotation Format, tab-separated, perhaps gzipped. Lines before the header that begin
        with "#" are comments.
    identifiers : {"auto", "tcga", "cptac"}, callable or None, default="auto"
        How a patient is made of ``Tumor_Sample_Barcode``, as in `read_expression`.
    samples : {"primary", "first"} or callable, default="primary"
        Which sample of a patient counts, as in `read_expression`; mutations of several samples are not united.
    classes : "protein" or sequence of str, default="protein"
        The values of ``Variant_Classification`` that count. "protein" means the nine that change the protein: silent
        mutations and such outside of genes do not.
    patients : sequence of str or path, default=None
        All who were sequenced. A MAF file lists mutations, so that those who have none are missing from it; named here,
        they have zeros. Patients of the file who are not named are left out. A path is a case list of cBioPortal, such
        as ``case_lists/cases_sequenced.txt``, whose samples become patients by `identifiers`.

    Returns
    -------
    table : DataFrame of float32, shape (n_patients, n_genes)
        1 where a patient has a mutation that counts in a gene, 0 otherwise. Genes in alphabetical order.
    report : ReadReport
        What was counted and left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no MAF file, if no mutation counts, or if `patients` names nobody of the file.

    Warns
    -----
    UserWarning
        If `patients` is None, for those who were sequenced and have no mutation are then missing.

    Notes
    -----
    Rows whose ``Mutation_Status`` is "Germline" or "Wildtype" are left out. Genes are called by ``Hugo_Symbol``.

    References
    ----------
    The default classes are those of `Mayakonda et al., Genome Research 28 (2018), maftools
    <https://doi.org/10.1101/gr.239244.118>`_.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksurv_mmf.portals import read_mutations
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "mutations.maf")
    >>> rows = ["Hugo_Symbol Variant_Classification Tumor_Sample_Barcode"]
    >>> rows += ["TP53 Missense_Mutation TCGA-05-4244-01", "EGFR Silent TCGA-05-4244-01"]
    >>> rows += ["EGFR In_Frame_Del TCGA-05-4245-01"]
    >>> _ = path.write_text("\\n".join(rows).replace(" ", "\\t"))
    >>> read_mutations(path, patients=["TCGA-05-4244", "TCGA-05-4245", "TCGA-05-4246"])[0]
                  EGFR  TP53
    patient
    TCGA-05-4244   0.0   1.0
    TCGA-05-4245   1.0   0.0
    TCGA-05-4246   0.0   0.0
    >>> folder.cleanup()
    """
    check_identifiers(identifiers)
    check_choice(samples)
    if isinstance(classes, str) and classes != "protein":
        raise ValueError(f"classes must be 'protein' or a list such as [{classes!r}], got {classes!r}.")
    classes = PROTEIN if isinstance(classes, str) else list(classes)
    rows = _read_rows(path)
    names = rows["sample"].unique().tolist()
    chosen = choose_samples(names, identifiers, samples)
    owner = dict(zip(np.array(names, dtype=object)[chosen.rows], chosen.patients))
    of_chosen = rows[rows["sample"].isin(owner)]
    is_somatic = ~of_chosen["status"].str.casefold().isin(_NO_SOMATIC)
    is_class = of_chosen["class"].isin(classes)
    counted = of_chosen[is_somatic & is_class]
    if not len(counted):
        found = shorten(rows["class"].unique().tolist())
        raise ValueError(
            f"{os.fspath(path)!r} has no mutation that counts: its classes are {found}. Choose by classes."
        )
    everyone, notes = _everyone(chosen, patients, identifiers, path)
    counted = counted[counted["sample"].map(owner).isin(everyone)]
    table = pd.crosstab(counted["sample"].map(owner), counted["gene"]).clip(upper=1)
    table = table.reindex(everyone, fill_value=0).astype(np.float32).rename_axis(columns=None)
    other = of_chosen["class"][is_somatic & ~is_class].value_counts()
    left_out = [f"Classes that do not count: {', '.join(f'{n} {name}' for name, n in other.items())}."]
    left_out = (left_out if len(other) else []) + note_some(
        of_chosen["gene"][~is_somatic].tolist(), "rows are left out as of the germline or the wild type"
    )
    numbers = {
        "patients": len(table),
        "genes": table.shape[1],
        "rows": len(rows),
        "rows counted": len(counted),
        "patients without a mutation": int((table.sum(axis=1) == 0).sum()),
    }
    return table, ReadReport(f"mutations of {os.fspath(path)}", numbers, left_out + notes + chosen.notes, chosen.table)


def _read_rows(path):
    """Gene, class, sample and status of each row."""
    columns, lines, _ = open_table(path)
    wanted = {
        "gene": find_column(columns, ["Hugo_Symbol"], path, "genes"),
        "class": find_column(columns, ["Variant_Classification"], path, "classes of variants"),
        "sample": find_column(columns, ["Tumor_Sample_Barcode"], path, "samples"),
    }
    status = [i for i, name in enumerate(columns) if name.strip().casefold() == "mutation_status"][:1]
    positions = [*wanted.values(), *status]
    rows = [[row[i].strip() for i in positions] for _, row in lines]
    table = pd.DataFrame(rows, columns=[*wanted, *(["status"] if status else [])], dtype=object)
    return table if status else table.assign(status="")


def _everyone(chosen, patients, identifiers, path):
    """The patients of the table, and sentences on it."""
    own = chosen.patients
    if patients is None:
        warn(
            f"{os.fspath(path)!r} lists mutations, so that patients who were sequenced and have none are not among its "
            f"{len(own)}: they are missing, not zero. Name all who were sequenced, or the case list of cBioPortal, by "
            "patients of read_mutations or sequenced of read_cohort."
        )
        return own, ["Patients are those with a row in the file; who has none is missing. Name all by patients."]
    is_path = isinstance(patients, str | os.PathLike)
    everyone = pd.Index(_of_case_list(patients, identifiers) if is_path else list(patients), dtype=object).rename(
        "patient"
    )
    if everyone.has_duplicates:
        raise ValueError(f"patients has {shorten(everyone[everyone.duplicated()])} several times. Name each once.")
    if not own.isin(everyone).any():
        raise ValueError(
            f"patients names nobody of the file: it has {shorten(own)}, and patients {shorten(everyone)}. Name "
            "patients as identifiers makes them, not samples."
        )
    extra = own.difference(everyone, sort=False)
    return everyone, note_some(extra.tolist(), "patients of the file are not among those named, and left out")


def _of_case_list(path, identifiers):
    """Patients of the samples that a case list of cBioPortal names, each once."""
    found = [line.partition(":")[2] for line in read_lines(path) if line.startswith("case_list_ids:")]
    names = [name for line in found for name in line.split()]
    if len(found) != 1 or not names:
        raise ValueError(
            f"{os.fspath(path)!r} is no case list of cBioPortal: expected one line 'case_list_ids:' with samples "
            f"behind it, got {len(found)}. Or pass the patients as a list."
        )
    return pd.unique(np.array([one.patient for one in whose(names, identifiers)[0] if one.patient], dtype=object))
