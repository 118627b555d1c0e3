"""Who is in which modality, and what keeps patients from being matched."""

from collections import Counter
from itertools import combinations

import pandas as pd

from ..utils._identifiers import better_match
from ..utils._validation import shorten
from ..utils._warnings import warn

INNER, OUTER = 2 / 3, 1 / 2
"""Shares of patients of the smaller table: if fewer are matched, it may be a mistake."""


def check_overlap(tables, how):
    """Refuse modalities that have no patients in common, and warn of those that might have more.

    Parameters
    ----------
    tables : dict of str to DataFrame
        The modalities, indexed by patient.
    how : {"inner", "outer"}
        How they are to be joined.
    """
    if len(tables) < 2:
        return
    present = [pd.Series(True, table.index, name=name) for name, table in tables.items()]
    has = pd.concat(present, axis=1, sort=False).notna()
    found = [text for one, two in combinations(tables, 2) for text in _remedies(one, two, tables)]
    remedies = "".join(f" {text}" for text in found)
    if how == "inner" and not has.all(axis=1).any():
        raise ValueError(
            f"No patient is common to all modalities: {_count(has)}{remedies} Make the identifiers agree. (how='outer' "
            "is for patients who have two modalities at least.)"
        )
    if how == "outer" and not (has.sum(axis=1) > 1).any():
        raise ValueError(f"No patient has two modalities: {_count(has)}{remedies} Make the identifiers agree.")
    if remedies or _is_small(has, how):
        trouble = "More patients might match" if remedies else "The modalities share few patients"
        or_outer = " or use how='outer'" if how == "inner" else ""
        warn(
            f"{trouble}: {_count(has)}{remedies} Make the identifiers agree{or_outer}; if they are right, select the "
            "patients that you mean beforehand."
        )


def _count(has):
    """How many patients have which modalities, and examples of those who have one."""
    groups = []
    for own, n in Counter(map(tuple, has.to_numpy())).most_common():
        names = " and ".join(map(repr, has.columns[list(own)]))
        groups.append(f"{n} {names} only" if sum(own) == 1 else f"{n} {names}")
    more = " and so on" if len(groups) > 6 else ""
    alone = has[has.sum(axis=1) == 1]
    lonely = {name: alone.index[alone[name]] for name in has if alone[name].any()}
    examples = "; ".join(f"{name!r}: {shorten(patients, 2)}" for name, patients in lonely.items())
    found = f" Patients of one modality are {examples}." if examples else ""
    return f"of {len(has)} patients, {', '.join(groups[:6])}{more}.{found}"


def _is_small(has, how):
    """Whether an inner join loses much of the smallest modality, or an outer one hardly joins one of them."""
    if how == "inner":
        return has.all(axis=1).sum() < INNER * has.sum().min()
    best = dict.fromkeys(has, 0.0)  # of the shares in which a modality is joined with another one
    for pair in combinations(has, 2):
        both = has[list(pair)]
        share = both.all(axis=1).sum() / both.sum().min()
        best |= {name: max(best[name], share) for name in pair}
    return min(best.values()) < OUTER


def _remedies(one, two, tables):
    """What would let more patients of two tables match."""
    match = better_match(tables[one].index, tables[two].index)
    if match is not None:
        return [f"Of {one!r} and {two!r}, {match}."]
    n_common = len(tables[one].index.intersection(tables[two].index))
    if 2 * n_common > min(len(tables[one]), len(tables[two])):
        return []
    n_transposed, text = max(_transposed(one, two, tables), _transposed(two, one, tables))
    return [text] if n_transposed > n_common else []


def _transposed(name, other, tables):
    """How many columns of a table are patients of another one, and a sentence about them."""
    columns, patients = tables[name].columns, tables[other].index
    # Column numbers name nobody, and identifiers are compared only if each is there once.
    if isinstance(columns, pd.RangeIndex) or not columns.is_unique:
        return 0, ""
    match = better_match(columns, patients)
    n = len(columns.intersection(patients)) if match is None else match.n_common
    how = "" if match is None else f" {match.how}"
    return n, f"Transposed: {name!r} has patients in its columns; of {name}.T and {other!r},{how} {n} would match."
