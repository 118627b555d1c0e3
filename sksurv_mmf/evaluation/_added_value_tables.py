"""The tables of what a model adds, in words for a page."""

import numpy as np
import pandas as pd

from ..pages._cells import write_estimate, write_interval
from ..plotting._plotting import p_digits
from ._added_value_display import title_of


def tests_table(value):
    """Likelihood-ratio tests and tests of effects that change over time."""
    tests = value.tests
    columns = {
        "Test": [one.capitalize() for one in tests["test"]],
        "Risk of": tests["risk"],
        "Beside": tests["beside"].replace("", "nothing"),
        "Chi-squared": tests["chi2"],
        "Degrees of freedom": tests["df"],
        "p": _p_values(tests["p"]),
        "Hazard ratio": _with_interval(tests, "hazard_ratio", "lower", "upper", 2),
    }
    return pd.DataFrame(columns).set_index("Test")


def differences_table(value, time_unit):
    """Scores of both models and their difference, with the intervals over folds and of the bootstrap."""
    table = value.differences
    columns = {
        "Score": [title_of(score, time_unit).replace("\n", " ") for score in table["score"]],
        value.reference: table["of_reference"],
        value.model: table["of_model"],
        "Difference": table["difference"],
        "Folds": table["n_folds"],
        "Interval over folds": _interval(table, "t_lower", "t_upper"),
        "p over folds": _p_values(table["t_p"]),
        "Bootstrap interval": _interval(table, "boot_lower", "boot_upper"),
        "p by bootstrap": _p_values(table["boot_p"]),
        "Remark": _remarks(table["reason"]),
    }
    return _without_empty(pd.DataFrame(columns).set_index("Score"))


def subgroups_table(value):
    """Hazard ratio and difference in C of each subgroup; the test of an interaction once for all of its levels."""
    table = value.subgroups
    is_first = table["subgroup"].ne(table["subgroup"].shift())
    columns = {
        "Subgroup": table["subgroup"],
        "Level": table["level"],
        "Patients": table["n_patients"],
        "Events": table["n_events"],
        "Hazard ratio": _with_interval(table, "hazard_ratio", "lower", "upper", 2),
        "Difference in C": _with_interval(table, "c_difference", "c_lower", "c_upper"),
        "p of interaction": _p_values(table["p_interaction"].where(is_first)),
        "Remark": _remarks(table["reason"]),
    }
    return _without_empty(pd.DataFrame(columns).set_index(["Subgroup", "Level"]))


def _p_values(values):
    """Text, as small ones are no zeros."""
    return [None if np.isnan(p) else p_digits(p) for p in values]


def _interval(table, lower, upper):
    return [write_interval(*row) for row in table[[lower, upper]].to_numpy(dtype=float)]


def _with_interval(table, value, lower, upper, digits=3):
    return [write_estimate(*row, digits) for row in table[[value, lower, upper]].to_numpy(dtype=float)]


def _remarks(reasons):
    return [reason or None for reason in reasons.fillna("")]


def _without_empty(table):
    """Without remarks where there are none."""
    return table.drop(columns="Remark") if table["Remark"].isna().all() else table
