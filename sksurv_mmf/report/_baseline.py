"""Table 1: what patients were like, in all and by group, and what is not known of them."""

import numpy as np
import pandas as pd

from ..utils._frames import as_frame
from ..utils._validation import shorten
from ._study import percent, quartiles

MOST_LEVELS = 12


def baseline_table(variables, by=None):
    """Describe patients as the first table of a paper does: all of them, and those of each group.

    Numbers have median and quartiles. Texts, categories and truths, and numbers with no more than two values, have
    counts with the percentage of those patients of whom they are known. What is missing has a row of its own.

    Parameters
    ----------
    variables : DataFrame of shape (n_patients, n_variables)
        Clinical variables by patient. Make grades and stages that are numbers categories, with
        ``variables.astype({"grade": "category"})``, to have them counted.
    by : Series of shape (n_patients,) or callable, default=None
        Group of each patient, such as the hospital, with the index of `variables`; or a function that makes it of that
        index, such as `tissue_source_site`. Those without one are in "All" only.

    Returns
    -------
    DataFrame
        Texts. The index has the levels "variable" and "value"; the columns are "All" and the groups, with their sizes.

    Raises
    ------
    ValueError
        If `by` does not name the group of exactly these patients.

    Notes
    -----
    Of a variable with more than twelve values the eleven most frequent are shown, and the others together. There are no
    p-values: whether groups differ by more than chance is rarely the question of such a table.

    Examples
    --------
    >>> import pandas as pd
    >>> from sksurv_mmf.report import baseline_table
    >>> patients = pd.DataFrame({"age": [51, 60, 70, None], "stage": ["I", "II", "I", "I"]}, list("ABCD"))
    >>> hospital = pd.Series(["north", "north", "south", "south"], list("ABCD"))
    >>> baseline_table(patients, hospital)
                             All (n = 4) north (n = 2) south (n = 2)
    variable value
    age      median [IQR]  60 [55.5, 65]  55.5 [53.2, 57.8]  70 [70, 70]
             missing           1 (25.0%)      0 (0.0%)     1 (50.0%)
    stage    I                 3 (75.0%)     1 (50.0%)    2 (100.0%)
             II                1 (25.0%)     1 (50.0%)      0 (0.0%)
    """
    variables = as_frame(variables)
    groups = [("All", np.ones(len(variables), dtype=bool))]
    if by is not None:
        by = _check_groups(by, variables.index)
        names = sorted(by.dropna().unique(), key=str)
        groups += [(str(name), (by == name).fillna(False).to_numpy(dtype=bool)) for name in names]
    labels, rows = [], []
    for name, values in variables.items():
        for label, describe in _rows(values):
            labels.append((str(name), label))
            rows.append([describe(values[inside]) for _, inside in groups])
    columns = [f"{name} (n = {inside.sum()})" for name, inside in groups]
    return pd.DataFrame(rows, pd.MultiIndex.from_tuples(labels, names=["variable", "value"]), columns)


def _check_groups(by, patients):
    if callable(by):
        made = by(patients)
        by = made if isinstance(made, pd.Series) else pd.Series(made, patients)
    if not isinstance(by, pd.Series):
        raise ValueError(
            f"by must be a Series with the index of the patients, or a function of it, got {type(by).__name__}."
        )
    lacking = patients.difference(by.index)
    if len(lacking) or by.index.has_duplicates:
        said = f"lacks {shorten(lacking)}" if len(lacking) else "names patients twice"
        raise ValueError(f"by must have one group for each patient, but it {said}. Missing groups are NA.")
    return by.loc[patients]


def _rows(values):
    """Yield (label, function of some values) of each row that a variable has."""
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if is_number and values.nunique() > 2:
        yield "median [IQR]", lambda own: quartiles(own.astype(float))
    else:
        counts = values.value_counts(sort=not isinstance(values.dtype, pd.CategoricalDtype))
        levels = list(counts.index)
        if len(levels) > MOST_LEVELS:
            levels = list(values.value_counts().index[: MOST_LEVELS - 1])
        elif not isinstance(values.dtype, pd.CategoricalDtype):
            levels = sorted(levels, key=lambda level: (isinstance(level, str), level))
        for level in levels:
            yield _write(level), lambda own, level=level: percent(int((own == level).sum()), int(own.notna().sum()))
        n_more = len(counts) - len(levels)
        if n_more:
            yield (
                f"{n_more} other values",
                lambda own: percent(int((own.notna() & ~own.isin(levels)).sum()), int(own.notna().sum())),
            )
    if values.isna().any():
        yield "missing", lambda own: percent(int(own.isna().sum()), len(own))


def _write(level):
    return f"{level:g}" if isinstance(level, float) else str(level)
