"""A comparison as sections of a page."""

import numpy as np
from sksurv.util import check_y_survival

from ..pages._cells import write_cell, write_interval
from ..pages._page import render, write_page
from ..pages._parts import Figure, Section, Table, Text

HOW_TO_READ = (
    "Means and standard deviations (SD) are over the folds. Intervals and p-values of the resampled t-test take into "
    "account that folds share training patients (Nadeau and Bengio 2003); the test asks whether a difference would be "
    "there with other training and test patients. The bootstrap over test patients asks whether the models, as they "
    "were fitted, differ. Differences are the first model minus the other. p (Holm) is corrected for the number of "
    "rows. Where an interval contains zero, the models cannot be told apart on these patients."
)
GOOD = {
    "higher": "higher is better",
    "lower": "lower is better",
    "zero": "best at zero; differences are of absolute values, fold by fold",
}


def write_report(comparison, path, title, time_unit):
    """Make the report, and write it to `path` unless that is None."""
    parts = [Text(_describe(comparison, time_unit)), *make_sections(comparison, time_unit)]
    if path is None:
        return render(title, parts)
    return write_page(path, title, parts, overwrite=True).read_text(encoding="utf-8")


def make_sections(comparison, time_unit):
    """Sections of all scores, of the fits that failed, and of the scores that do not exist."""
    titles = {score: comparison._title(score, time_unit) for score in comparison._definitions}
    sections = [
        Section(
            f"{titles[score]} ({GOOD[definition.better]})", _score_parts(comparison, score, titles[score], time_unit)
        )
        for score, definition in comparison._definitions.items()
    ]
    sections[0] = Section(sections[0].title, [Text(HOW_TO_READ, "note"), *sections[0].parts])
    return [*_failures(comparison), *sections, *_missing_scores(comparison)]


def _describe(comparison, time_unit):
    event, time = check_y_survival(comparison.y)
    n_train, n_test = np.mean([(len(train), len(test)) for train, test in comparison.folds], axis=0)
    unit = "" if time_unit is None else f" {time_unit}"
    reference = "" if comparison.reference is None else f" Reference: {comparison.reference}."
    return (
        f"{len(event)} patients, {event.sum()} events, median observed time {np.median(time):g}{unit}. "
        f"{len(comparison.models)} models on the same {len(comparison.folds)} folds, on average of {n_train:.0f} "
        f"training and {n_test:.0f} test patients.{reference}"
    )


def _failures(comparison):
    failed = comparison.fits[comparison.fits["error"] != ""]
    if len(failed):
        table = failed.set_index("model")[["fold", "error"]]
        yield Section("Fits that failed", [Table(table, "Fits that raised an error; the other models went on.")])


def _missing_scores(comparison):
    """Scores that do not exist although the model was fitted, those with the same reason in one row."""
    missing = comparison._missing()
    if len(missing):
        rows = missing.groupby("reason", sort=False)[["model", "score", "fold"]].agg(_list_values).reset_index()
        table = rows.set_index("model")[["score", "fold", "reason"]]
        yield Section("Scores that do not exist", [Table(table, "Scores without a value, and why.")])


def _list_values(values):
    return ", ".join(str(value) for value in values.unique())


def _score_parts(comparison, score, title, time_unit):
    if comparison._table(score).isna().all(axis=None):
        return [Text("No model has a value in any fold; the reasons are at the end.")]
    pictures = _pictures(comparison, score, title, time_unit)
    summary = Table(_summary_table(comparison, score), f"{title}, by model.")
    return [*pictures, summary, *_pairwise_table(comparison, score, title)]


def _summary_table(comparison, score):
    table = comparison.summary().loc[score]
    rows = table[["mean", "sd"]].rename(columns={"sd": "SD"})
    rows["95% interval"] = _interval(table, "lower", "upper")
    return rows.assign(folds=table["n_folds"], **{"does not exist": table["n_missing"], "failed": table["n_failed"]})


def _pairwise_table(comparison, score, title):
    table = comparison.pairwise(score)
    if not table["n_folds"].any():
        return
    rows = table[["difference", "better"]].rename(columns={"better": "better on average"})
    for test, name in (("t", "resampled t-test"), ("boot", "bootstrap")):
        if table[f"{test}_p"].notna().any():
            rows[f"95% interval, {name}"] = _interval(table, f"{test}_lower", f"{test}_upper")
            rows[f"p, {name}"] = table[f"{test}_p"].map(_p_value)
            rows[f"p (Holm), {name}"] = table[f"{test}_p_holm"].map(_p_value)
    yield Table(rows.rename_axis(["model", "against"]), f"Differences in {title}.")


def _pictures(comparison, score, title, time_unit):
    """Figures of a score; none without matplotlib."""
    try:
        from matplotlib.figure import Figure as Picture
    except ImportError:
        return
    kinds = {"scores of all folds": False}
    if comparison.reference is not None:
        table = comparison._table(score)
        others = table[table[comparison.reference].notna()].drop(columns=comparison.reference)
        kinds |= {"differences to the reference": True} if others.notna().any(axis=None) else {}
    for kind, differences in kinds.items():
        picture = Picture(figsize=(5.2, 1.2 + 0.32 * len(comparison.models)), layout="constrained")
        comparison.plot(score, differences=differences, time_unit=time_unit, ax=picture.subplots())
        yield Figure(picture, f"{title}: {kind}, with means and 95% intervals.", f"{score}: {kind}")


def _interval(table, lower, upper):
    return [write_interval(*ends) for ends in zip(table[lower], table[upper])]


def _p_value(value):
    return "< 0.001" if value < 0.001 else write_cell(value, 3)
