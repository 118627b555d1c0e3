"""Whose sample it is, and which of a patient's samples is taken."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..bags._tcga import FIRST_OF_NORMAL, SAMPLE_TYPES, read_barcode
from ..utils._validation import shorten
from ._report import note_some

PATIENT_COLUMNS = [
    *("_PATIENT", "bcr_patient_barcode", "PATIENT_ID", "case_submitter_id", "cases.submitter_id", "submitter_id"),
    *("case_id", "patient", "SAMPLE_ID", "sample", "sampleID", "xena_sample"),
]
"""Names of columns of patients, in the order of preference; samples will do, because patients are made of them."""

READ, NORMAL, OTHER = "read", "normal tissue", "other sample of the patient"
NO_PATIENT, NOT_SELECTED, NO_TUMOR = "no patient", "not selected", "no tumor of a patient"

_CPTAC = re.compile(r"(C3[LN])[-.](\d{5})(?!\d)(.*)", re.IGNORECASE)
_WAYS = ("auto", "tcga", "cptac", None)

# Primary tumors, solid or of blood, then other tumors by their number; what has no sample type is the patient's.
_FIRST_TYPES = {None: 0, "01": 0, "03": 1, "09": 2}
_NO_TUMORS = {"20", "50", "60", "61"}


@dataclass(frozen=True)
class _Sample:
    patient: str | None
    sample_type: str | None = None
    is_known: bool = True  # whether the name tells the tissue


@dataclass
class Chosen:
    """The samples that are taken, one per patient.

    Attributes
    ----------
    rows : ndarray of int
        Their positions among all samples.
    patients : Index
        Whose they are.
    table : DataFrame
        All samples: "patient", "sample_type" and "status".
    notes : list of str
        What is to be said about it.
    """

    rows: np.ndarray
    patients: pd.Index
    table: pd.DataFrame
    notes: list = field(default_factory=list)


def check_identifiers(identifiers):
    """Refuse what does not say how identifiers are trimmed."""
    if not isinstance(identifiers, Callable) and identifiers not in _WAYS:
        ways = ", ".join(map(repr, _WAYS))
        raise ValueError(f"identifiers must be one of {ways} or a function of a name, got {identifiers!r}.")


def check_choice(samples):
    """Refuse what does not say which samples are taken."""
    if not isinstance(samples, Callable) and samples not in ("primary", "first"):
        raise ValueError(f"samples must be 'primary', 'first' or a function of a sample's name, got {samples!r}.")


def whose(names, identifiers):
    """Patients of samples, and sentences on what was cut.

    Parameters
    ----------
    names : sequence of str
        Samples.
    identifiers : {"auto", "tcga", "cptac"}, callable or None
        How a patient is made of a sample.

    Returns
    -------
    samples : list of _Sample
        In the order of the names.
    notes : list of str
        What was done.
    """
    check_identifiers(identifiers)
    way = _found(names) if identifiers == "auto" else identifiers
    read = {"tcga": _read_tcga, "cptac": _read_cptac, None: _as_it_is}.get(way) if not callable(way) else _by(way)
    samples = [read(name) for name in names]
    said = "a function" if callable(way) else repr(way)
    cut = [name for name, one in zip(names, samples) if one.patient not in (None, name)]
    example = next((one.patient for name, one in zip(names, samples) if one.patient not in (None, name)), None)
    how = f", such as {cut[0]!r} to {example!r}" if cut else ""
    found = " (found by the names)" if identifiers == "auto" else ""
    return samples, [f"Identifiers by {said}{found}: {len(cut)} of {len(names)} are trimmed{how}."]


def _found(names):
    """How the names say that patients are made of them."""
    of_tcga, of_cptac = ([name for name in names if found(name)] for found in (_tcga_of, _CPTAC.match))
    if of_tcga and of_cptac:
        raise ValueError(
            f"Names are of two projects: {len(of_tcga)} of TCGA, such as {of_tcga[0]!r}, and {len(of_cptac)} of CPTAC, "
            f"such as {of_cptac[0]!r}. Pass identifiers='tcga' or 'cptac' to take one and leave the other out, or a "
            "function of the name that returns the patient of both."
        )
    return "tcga" if of_tcga else "cptac" if of_cptac else None


def are_barcodes(names):
    """Whether at least half of the names begin as samples of TCGA or CPTAC do."""
    return 2 * sum(bool(_tcga_of(name) or _CPTAC.match(name)) for name in names) >= len(names)


def _tcga_of(name):
    return read_barcode(name.replace(".", "-"))


def _read_tcga(name):
    barcode = _tcga_of(name)
    if barcode is None:
        return _Sample(None)
    return _Sample(barcode.patient, barcode.sample_type, is_known=barcode.sample_type is not None)


def _read_cptac(name):
    found = _CPTAC.match(name)
    if found is None:
        return _Sample(None)
    # The package cptac marks normal tissue so; other endings do not tell the tissue.
    is_normal = found[3].upper() == ".N"
    return _Sample(f"{found[1].upper()}-{found[2]}", "11" if is_normal else None, is_known=is_normal or not found[3])


def _as_it_is(name):
    return _Sample(name or None, is_known=False)


def _by(function):
    def read(name):
        patient = function(name)
        if patient is not None and not isinstance(patient, str):
            raise TypeError(f"The function identifiers returned {patient!r} for {name!r}; expected a str or None.")
        return _Sample(patient, is_known=False)

    return read


def choose_samples(names, identifiers, samples):
    """Take one sample per patient, tumors only.

    Parameters
    ----------
    names : sequence of str
        Samples in the order of the file.
    identifiers : {"auto", "tcga", "cptac"}, callable or None
        How a patient is made of a sample.
    samples : {"primary", "first"} or callable
        Which sample is taken; a function keeps those for which it returns True, and there must be one per patient.

    Returns
    -------
    chosen : Chosen
        Which, whose and why.
    """
    check_choice(samples)
    read, notes = whose(names, identifiers)
    table = pd.DataFrame(
        {
            "sample": list(names),
            "patient": pd.Series([one.patient for one in read], dtype=object),
            "sample_type": pd.Series([one.sample_type for one in read], dtype=object),
            "status": READ,
        }
    )
    table.loc[table["patient"].isna(), "status"] = NO_PATIENT
    found = table["status"] == READ
    if callable(samples):
        wanted = table["sample"].map(lambda name: bool(samples(name)))
        table.loc[found & ~wanted, "status"] = NOT_SELECTED
    else:
        types = table["sample_type"].fillna("").astype(str)
        table.loc[found & types.str.startswith(FIRST_OF_NORMAL), "status"] = NORMAL
        table.loc[found & types.isin(_NO_TUMORS), "status"] = NO_TUMOR
    _take_one(table, read, samples)
    rows = np.flatnonzero(table["status"] == READ)
    if not len(rows):
        counts = ", ".join(f"{n} {status!r}" for status, n in table["status"].value_counts().items())
        raise ValueError(
            f"No sample is left of {len(names)}, such as {shorten(names, 2)}: {counts}. Name the patients by "
            "identifiers, such as a function of the sample's name, or choose by samples."
        )
    patients = pd.Index(table["patient"].iloc[rows].astype(str), name="patient")
    return Chosen(rows, patients, table, notes + _say(table))


def _take_one(table, read, samples):
    """Give all samples of a patient but one the status `OTHER`; refuse to choose where nothing tells how."""
    left = table[table["status"] == READ]
    several = left[left["patient"].duplicated(keep=False)]
    if samples == "first":
        table.loc[left.index[left["patient"].duplicated()], "status"] = OTHER
        return
    blind = [i for i in several.index if not read[i].is_known] if samples == "primary" else list(several.index)
    if blind:
        patient = table["patient"][blind[0]]
        own = several["sample"][several["patient"] == patient]
        raise ValueError(
            f"{several['patient'].nunique()} patients have several samples, and their names do not tell which to take; "
            f"{patient!r} has {shorten(own.tolist(), 4)}. To a reader pass samples='first', or a function of the "
            "sample's name that is True for one per patient; of a table keep one row each, such as "
            "table.groupby(level=0).first()."
        )
    order = several.assign(
        rank=[_FIRST_TYPES.get(read[i].sample_type, int(read[i].sample_type or 0) + 10) for i in several.index]
    ).sort_values(["rank", "sample"], kind="stable")
    table.loc[order.index[order["patient"].duplicated()], "status"] = OTHER


def _say(table):
    status, names = table["status"], table["sample"]
    others = table[status == OTHER]
    taken = table[(status == READ) & table["patient"].isin(others["patient"])]["sample"].tolist()
    read_types = table["sample_type"][status == READ].value_counts()
    types = [
        f"{n} {code} ({SAMPLE_TYPES.get(code, 'not in the code table of TCGA')})" for code, n in read_types.items()
    ]
    without = pd.unique(table["patient"][(status != READ) & ~table["patient"].isin(table["patient"][status == READ])])
    return [
        *([f"Sample types taken: {', '.join(types)}."] if types else []),
        *note_some(taken, f"patients have several samples ({len(others)} left out, none averaged); taken are"),
        *note_some(names[status == NORMAL].tolist(), "samples of normal tissue are left out"),
        *note_some(names[status == NO_TUMOR].tolist(), "samples of controls, cell lines or xenografts are left out"),
        *note_some(names[status == NOT_SELECTED].tolist(), "samples are not selected"),
        *note_some(names[status == NO_PATIENT].tolist(), "samples without a patient's identifier are left out"),
        *note_some([one for one in without if isinstance(one, str)], "patients are left without any sample"),
    ]
