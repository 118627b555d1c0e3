"""Groups of patients, and what a model adds in each of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..predictions._checks import as_real_numbers
from ..statistics._cox import fit_cox, likelihood_ratio_test
from ..statistics._pair_sums import event_rank, stratified_concordance
from ..statistics._paired_tests import paired_bootstrap, percentile_interval
from ..statistics._repetitions import combined_p_value, level_of_each
from ..utils._frames import as_frame
from ..utils._identifiers import better_match
from ..utils._validation import shorten, subject

FEWEST_EVENTS = 10
"""Events below which a hazard ratio is not estimated: five for each of two coefficients."""

MOST_CATEGORIES = 5
"""Different numbers up to which a variable is one of categories, such as stage 1 to 4."""

MOST_LEVELS = 40

COLUMNS = [
    *("subgroup", "level", "n_patients", "n_events", "hazard_ratio", "lower", "upper"),
    *("c_difference", "c_lower", "c_upper", "p_interaction", "reason"),
]
UNKNOWN = "unknown"


def read_subgroups(subgroups, cutoffs, patients):
    """Level of each patient in each variable.

    Parameters
    ----------
    subgroups : DataFrame, dict of Series or None
        Variables by patient.
    cutoffs : dict or None
        Cut-offs of numbers by variable.
    patients : Index of shape (n_patients,)
        The patients of the comparison.

    Returns
    -------
    dict of Categorical
        By variable, in the order of `patients`; missing where the value is.
    """
    cutoffs = {} if cutoffs is None else dict(cutoffs)
    if subgroups is None:
        variables = {}
    elif isinstance(subgroups, Mapping):
        variables = dict(subgroups)
    else:
        subgroups = as_frame(subgroups)
        if not isinstance(subgroups, pd.DataFrame):
            raise TypeError(
                "subgroups must be a DataFrame whose index is the patient, or a dictionary of Series, got "
                f"{type(subgroups).__name__}."
            )
        variables = {name: subgroups[name] for name in subgroups}
    unknown = [name for name in cutoffs if name not in variables]
    if unknown:
        raise ValueError(f"cutoffs names {shorten(unknown)}, but subgroups has {shorten(variables, 10) or 'nothing'}.")
    return {str(name): _levels(name, one, cutoffs.get(name), patients) for name, one in variables.items()}


def _levels(name, values, cuts, patients):
    if not isinstance(values, pd.Series):
        raise TypeError(
            f"subgroups[{name!r}] must be a Series whose index is the patient, got {type(values).__name__}. Make one: "
            "pd.Series(values, index=comparison.patients)."
        )
    values = _of_patients(name, values, patients)
    if values.isna().all():
        raise ValueError(f"subgroups[{name!r}] has no value for any of the {len(patients)} patients. Leave it out.")
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if cuts is not None or (is_number and values.nunique() > MOST_CATEGORIES):
        return _cut(name, as_real_numbers(values, f"subgroups[{name!r}] is"), cuts)
    if is_number:
        values = values.map(lambda number: f"{number:g}", na_action="ignore").astype(
            pd.CategoricalDtype([f"{number:g}" for number in np.sort(values.dropna().unique())])
        )
    levels = values.astype("category").array.remove_unused_categories().rename_categories(str)
    if len(levels.categories) > MOST_LEVELS:
        raise ValueError(
            f"subgroups[{name!r}] has {len(levels.categories)} different values, such as "
            f"{shorten(levels.categories, 2)}; at most {MOST_LEVELS} make groups. Put them together."
        )
    return levels


def _of_patients(name, values, patients):
    if values.index.has_duplicates:
        twice = values.index[values.index.duplicated()].unique()
        raise ValueError(
            f"{subject(twice, 'Patient', 'has', 'have')} several values in subgroups[{name!r}]. Keep one per patient."
        )
    lacking = patients.difference(values.index, sort=False)
    if len(lacking):
        match = better_match(patients, values.index)
        way_out = "Add them, as NaN where the value is unknown." if match is None else f"Compared {match}."
        raise ValueError(f"{subject(lacking, 'Patient', 'is', 'are')} not in subgroups[{name!r}]. {way_out}")
    return values.loc[patients]


def _cut(name, values, cuts):
    """Numbers as intervals, by default up to their median and above it."""
    cuts = [np.nanmedian(values)] if cuts is None else np.unique(as_real_numbers(cuts, f"cutoffs[{name!r}] is"))
    below = ["", *(f"> {cut:g}" for cut in cuts)]
    above = [*(f"\N{LESS-THAN OR EQUAL TO} {cut:g}" for cut in cuts), ""]
    labels = [" and ".join(filter(None, pair)) for pair in zip(below, above)]
    codes = np.where(np.isnan(values), -1, np.searchsorted(cuts, values))
    return pd.Categorical.from_codes(codes, labels).remove_unused_categories()


def subgroup_table(repeated, subgroups, *, confidence_level, n_bootstrap, seed):
    """What the model adds in each subgroup, as `COLUMNS`; the first row is that of all patients.

    Parameters
    ----------
    repeated : list of OutOfFold
        Risks of each repetition.
    subgroups : dict of Categorical
        As of `read_subgroups`.
    confidence_level : float
        Level of the intervals.
    n_bootstrap : int
        Resamples for the difference in C.
    seed : int
        Seed of the resamples, the same for each group.

    Returns
    -------
    DataFrame
    """
    settings = (confidence_level, n_bootstrap, seed)
    everybody = np.ones(1 + max(one.rows.max() for one in repeated), dtype=bool)
    rows = [{"subgroup": "all patients", "level": ""} | _in_group(repeated, everybody, *settings)]
    for name, levels in subgroups.items():
        p_value = _interaction(repeated, levels)
        for code, level in enumerate(levels.categories):
            found = _in_group(repeated, levels.codes == code, *settings)
            rows.append({"subgroup": name, "level": level, "p_interaction": p_value} | found)
        if (levels.codes < 0).any():
            found = _in_group(repeated, levels.codes < 0, *settings, reason="the value is not known")
            rows.append({"subgroup": name, "level": UNKNOWN, "p_interaction": p_value} | found)
    return pd.DataFrame(rows, columns=COLUMNS)


def _in_group(repeated, is_in, confidence_level, n_bootstrap, seed, reason=""):
    """Hazard ratio of the model beside the reference, and the difference in C, of some patients."""
    parts = [one.take(is_in[one.rows]) for one in repeated]
    # A patient counts once, however often the folds were repeated.
    events = {row: event for one in parts for row, event in zip(one.rows, one.outcome.event)}
    found = {"n_patients": len(events), "n_events": int(sum(events.values())), "reason": reason}
    fewest = min(one.outcome.n_events for one in parts)  # the same in all, unless folds are random splits
    if not reason and fewest < FEWEST_EVENTS:
        found["reason"] = f"{fewest} events, of at least {FEWEST_EVENTS}"
    if found["reason"]:
        return found
    level = level_of_each(confidence_level, len(parts))
    fits = [fit_cox(one.risks, *one.outcome, one.fold) for one in parts]
    estimates = np.median([[fit.coef[1], *fit.interval(1, level)] for fit in fits], axis=0)
    if np.isnan(estimates).any():
        found["reason"] = "the model orders these patients as the reference does, or perfectly"
    found |= dict(zip(["hazard_ratio", "lower", "upper"], np.exp(estimates)))
    rows, fold, event, time, (reference, model) = _one_after_the_other(parts)
    risks = [(1, model), (-1, reference)]
    difference = stratified_concordance(fold, event_rank(event, time), event.astype(float), risks)
    draws = paired_bootstrap([rows], [difference], n_bootstrap, np.random.RandomState(seed))
    limits = percentile_interval(draws, confidence_level)
    values = [difference(np.ones((1, len(rows))))[0], *limits]
    return found | dict(zip(["c_difference", "c_lower", "c_upper"], values))


def _one_after_the_other(parts):
    """Positions, folds, events, times and risks of all repetitions, no two of which share a fold."""
    return (
        np.concatenate([one.rows for one in parts]),
        np.concatenate([one.fold for one in parts]),
        *(np.concatenate(values) for values in zip(*(one.outcome for one in parts))),
        np.concatenate([one.risks for one in parts]).T,
    )


def _interaction(repeated, levels):
    """p-value of a hazard ratio of the model that differs between those levels of which it is estimated.

    All else differs between levels, too: baseline hazards and what the reference's risk means. So the larger model is
    that of the rows of the table.
    """
    codes = levels.codes
    n_events = [
        np.bincount(codes[one.rows][one.outcome.event & (codes[one.rows] >= 0)], minlength=len(levels.categories))
        for one in repeated
    ]
    known = np.flatnonzero(np.min(n_events, axis=0) >= FEWEST_EVENTS)
    if len(known) < 2:
        return np.nan
    return combined_p_value([_test_interaction(one.take(np.isin(codes[one.rows], known)), codes) for one in repeated])


def _test_interaction(one, codes):
    code = codes[one.rows]
    is_in = (code[:, np.newaxis] == np.unique(code)).astype(float)
    reference, model = one.risks.T[:, :, np.newaxis]
    stratum = one.fold * (codes.max() + 1) + code
    full = fit_cox(np.hstack([is_in * reference, is_in * model]), *one.outcome, stratum)
    reduced = fit_cox(np.hstack([is_in * reference, model]), *one.outcome, stratum)
    return likelihood_ratio_test(full, reduced)[2]
