"""A report of a comparison, as one HTML file."""

import base64
import io
from html import escape

import numpy as np
from sksurv.util import check_y_survival

from ..files._writing import writing

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin-bottom: 0.3rem; }
table { border-collapse: collapse; font-size: 0.87rem; margin: 0.5rem 0; }
th, td { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
thead th { border-bottom: 1px solid #888; } th:first-child { text-align: left; } tbody th { font-weight: 600; }
td { white-space: nowrap; } td.text { text-align: left; white-space: normal; }
.wide { overflow-x: auto; } p.note { color: #555; max-width: 46rem; }
img { width: 28rem; max-width: 100%; height: auto; margin: 0.5rem 1rem 0.5rem 0; }
"""

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
    parts = [f"<h1>{escape(title)}</h1>", _describe(comparison, time_unit), *_failures(comparison)]
    for score, definition in comparison._definitions.items():
        heading = f"{comparison._title(score, time_unit)} ({GOOD[definition.better]})"
        parts += [f"<h2>{escape(heading)}</h2>", *_score_section(comparison, score, time_unit)]
    body = "\n".join([*parts, *_missing_scores(comparison)])
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    if path is not None:
        with writing(path, overwrite=True) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return text


def _describe(comparison, time_unit):
    event, time = check_y_survival(comparison.y)
    n_train, n_test = np.mean([(len(train), len(test)) for train, test in comparison.folds], axis=0)
    unit = "" if time_unit is None else f" {escape(time_unit)}"
    reference = "" if comparison.reference is None else f" Reference: <strong>{escape(comparison.reference)}</strong>."
    return (
        f"<p>{len(event)} patients, {event.sum()} events, median observed time {np.median(time):g}{unit}. "
        f"{len(comparison.models)} models on the same {len(comparison.folds)} folds, on average of {n_train:.0f} "
        f'training and {n_test:.0f} test patients.{reference}</p>\n<p class="note">{HOW_TO_READ}</p>'
    )


def _failures(comparison):
    failed = comparison.fits[comparison.fits["error"] != ""]
    if len(failed):
        yield "<h2>Fits that failed</h2>"
        yield _table(failed.set_index("model")[["fold", "error"]])


def _missing_scores(comparison):
    """Scores that do not exist although the model was fitted, those with the same reason in one row."""
    missing = comparison._missing()
    if len(missing):
        rows = missing.groupby("reason", sort=False)[["model", "score", "fold"]].agg(_list_values).reset_index()
        yield "<h2>Scores that do not exist</h2>"
        yield _table(rows.set_index("model")[["score", "fold", "reason"]])


def _list_values(values):
    return ", ".join(str(value) for value in values.unique())


def _score_section(comparison, score, time_unit):
    if comparison._table(score).isna().all(axis=None):
        return ["<p>No model has a value in any fold; the reasons are at the end.</p>"]
    pictures = _pictures(comparison, score, time_unit)
    return [*pictures, _summary_table(comparison, score), *_pairwise_table(comparison, score)]


def _summary_table(comparison, score):
    table = comparison.summary().loc[score]
    rows = table[["mean", "sd"]].map(_number).rename(columns={"sd": "SD"})
    rows["95% interval"] = _interval(table, "lower", "upper")
    rows["folds"] = table["n_folds"].astype(str)
    rows["does not exist"] = table["n_missing"].astype(str)
    rows["failed"] = table["n_failed"].astype(str)
    return _table(rows)


def _pairwise_table(comparison, score):
    table = comparison.pairwise(score)
    if not table["n_folds"].any():
        return
    rows = table[["difference"]].map(_number)
    rows["better on average"] = table["better"]
    for test, name in (("t", "resampled t-test"), ("boot", "bootstrap")):
        if table[f"{test}_p"].notna().any():
            rows[f"95% interval, {name}"] = _interval(table, f"{test}_lower", f"{test}_upper")
            rows[f"p, {name}"] = table[f"{test}_p"].map(_p_value)
            rows[f"p (Holm), {name}"] = table[f"{test}_p_holm"].map(_p_value)
    yield "<h3>Differences</h3>"
    yield _table(rows.reset_index().set_index("model").rename(columns={"other": "against"}))


def _pictures(comparison, score, time_unit):
    """Images as text within the page; nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    kinds = [False]
    if comparison.reference is not None:
        table = comparison._table(score)
        others = table[table[comparison.reference].notna()].drop(columns=comparison.reference)
        kinds += [True] if others.notna().any(axis=None) else []
    for differences in kinds:
        figure = Figure(figsize=(4.6, 0.9 + 0.32 * len(comparison.models)), layout="constrained")
        comparison.plot(score, differences=differences, time_unit=time_unit, ax=figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        kind = "differences to the reference" if differences else "scores of all folds"
        yield f'<img alt="{escape(score)}: {kind}" src="data:image/png;base64,{data}">'


def _table(frame):
    """A table whose index is the name of a model; everything in it is escaped."""
    head = "".join(f"<th>{escape(str(column))}</th>" for column in frame.columns)
    lines = []
    for name, row in zip(frame.index, frame.itertuples(index=False)):
        cells = "".join(f"<td{_css(value)}>{escape(str(value))}</td>" for value in row)
        lines.append(f"<tr><th>{escape(str(name))}</th>{cells}</tr>")
    head, body = f"<thead><tr><th>model</th>{head}</tr></thead>", f"<tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide"><table>{head}{body}</table></div>'


def _css(value):
    return ' class="text"' if str(value)[:1].isalpha() else ""


def _number(value):
    return "\N{EN DASH}" if np.isnan(value) else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _interval(table, lower, upper):
    return [_range(*ends) for ends in zip(table[lower], table[upper])]


def _range(lower, upper):
    return "\N{EN DASH}" if np.isnan(upper) else f"{_number(lower)} to {_number(upper)}"


def _p_value(value):
    if np.isnan(value):
        return "\N{EN DASH}"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
