"""How patients were divided into those who train and those who test."""

import numpy as np
import pandas as pd

from ..pages._parts import Section, Table, Text
from ._study import count, percent, without_addresses


def n_tests(comparison):
    """Least and largest number of folds in which a patient is tested."""
    counts = np.zeros(len(comparison.patients), dtype=int)
    for _, test in comparison.folds:
        counts[test] += 1
    return counts.min(), counts.max()


def folds_section(study):
    """The folds one by one."""
    comparison, (event, time) = study.comparison, study.outcome
    groups = None if comparison.design is None else comparison.design.groups
    rows = []
    for train, test in comparison.folds:
        row = {
            "training patients": len(train),
            "training events": percent(int(event[train].sum()), len(train)),
            "test patients": len(test),
            "test events": percent(int(event[test].sum()), len(test)),
            "median observed test time": np.median(time[test]),
        }
        if groups is not None:
            row["test groups"] = groups.iloc[test].nunique()
        rows.append(row)
    table = pd.DataFrame(rows, pd.RangeIndex(len(rows), name="fold"))
    return Section("Folds", [Text(describe_folds(study)), Table(table, "Patients and events of each fold.", 1)])


def scores_by_fold(study):
    """How each model does in each fold: a mean does not show that one fold is unlike the others."""
    comparison = study.comparison
    titles = {comparison._title(name, study.time_unit): comparison._table(name) for name in comparison._definitions}
    table = pd.concat(titles, names=["score", "fold"]).rename_axis(columns=None)
    return Table(table, "Scores of each fold, by model.", dash="a score that does not exist, or a fit that failed")


def describe_folds(study):
    """Sentences on how patients were divided."""
    comparison = study.comparison
    n, (least, most) = len(comparison.folds), n_tests(comparison)
    if least == most == 1 and all(
        len(train) + len(test) == len(comparison.patients) for train, test in comparison.folds
    ):
        said = f"Patients were divided into {n} folds; each was tested once, by models trained on the other folds."
    else:
        tested = f"{least} to {most} times" if least != most else "once" if least == 1 else f"{least} times"
        said = f"There were {count(n, 'division')} into training and test patients; each patient was tested {tested}."
    said += " All models had the same folds."
    if comparison.design is None:
        return f"{said} How the folds were made is not known to this report."
    said += f" The folds are those of {without_addresses(comparison.design.folds)}."
    groups = comparison.design.groups
    if groups is not None:
        said += f" The {count(groups.nunique(), 'group')} of patients were on one side of each fold."
    return said
