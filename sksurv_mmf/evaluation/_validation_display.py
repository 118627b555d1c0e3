"""One figure of a validation: risk groups, scores, and at each horizon calibration and decisions."""

import numpy as np

from ..inspection._risk_groups import RiskGroupDisplay
from ..plotting._plotting import GREY, PALETTE, despine, import_pyplot
from ._decision_curve import ALL, NONE, DecisionCurveDisplay

SHOWN = {"harrell": "Harrell's C", "uno": "Uno's C", "auc": "AUC"}


def draw_validation(validation):
    """Draw all panels; returns the figure."""
    plt = import_pyplot()
    n_rows = 1 + len(validation.horizons)
    figure, axes = plt.subplots(n_rows, 2, figsize=(8, 3.4 * n_rows), layout="constrained")
    models = list(validation.calibration["model"].unique())
    colors = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(models)}
    _draw_groups(axes[0, 0], validation)
    _draw_scores(axes[0, 1], validation, colors)
    for row, horizon in zip(axes[1:], validation.horizons):
        _draw_calibration(row[0], validation, horizon, colors)
        _draw_decisions(row[1], validation, horizon)
    return figure


def _draw_groups(ax, validation):
    if not validation.group_curves:
        _say(ax, f"No risk groups:\n{validation.cutoffs_source}")
        return
    display = RiskGroupDisplay(
        validation.group_curves,
        validation.p_value,
        time_unit=validation.time_unit,
        risks_from="new patients",
        confidence_level=validation.confidence_level,
    )
    display.plot(ax=ax)


def _draw_scores(ax, validation, colors):
    scores = validation.scores[validation.scores["score"].isin(SHOWN) & validation.scores["model"].isin(colors)]
    rows = list(dict.fromkeys(zip(scores["score"], scores["horizon"].fillna(-1))))
    for i, (name, color) in enumerate(colors.items()):
        one = scores[scores["model"] == name]
        at = np.array([rows.index(key) for key in zip(one["score"], one["horizon"].fillna(-1))])
        at = at + 0.5 * ((i + 0.5) / len(colors) - 0.5)
        ax.hlines(at, one["lower"], one["upper"], color=color, linewidth=1.3)
        ax.plot(one["value"], at, "D", color=color, markersize=4.5, markeredgecolor="white", label=name)
    labels = [SHOWN[score] if at < 0 else f"{SHOWN[score]} at {validation.at(at)}" for score, at in rows]
    ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(rows)), labels, fontsize="small")
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="Concordance")
    ax.tick_params(axis="y", length=0)
    if len(colors) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small", ncols=2)
    despine(ax)


def _draw_calibration(ax, validation, horizon, colors):
    curves = validation.calibration_curves
    curves = curves[curves["horizon"] == horizon]
    if curves.empty:
        _say(ax, "No calibration: no model predicts\nsurvival functions that reach this horizon")
        return
    slopes = validation.calibration.set_index(["horizon", "measure", "model"])["value"][horizon]
    ax.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
    for name, one in curves.groupby("model", sort=False):
        label = f"{name}: O/E {slopes['observed/expected'][name]:.2f}, slope {slopes['slope'][name]:.2f}"
        # A model that says the same of all has a single point.
        marker = "o" if len(one) == 1 else ""
        ax.plot(one["predicted"], one["observed"], marker=marker, color=colors[name], linewidth=1.5, label=label)
        ax.fill_between(one["predicted"], one["lower"], one["upper"], color=colors[name], alpha=0.08, linewidth=0)
    at = validation.at(horizon)
    top = min(1.0, 1.05 * np.nanmax(curves[["predicted", "upper"]].to_numpy()))
    ax.set(xlim=(0, top), ylim=(0, top), xlabel=f"Predicted probability by {at}", ylabel="Observed probability")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small")
    despine(ax)


def _draw_decisions(ax, validation, horizon):
    table = validation.decisions[validation.decisions["horizon"] == horizon]
    if set(table["model"]) == {ALL, NONE}:
        _say(ax, "No decision curves: no model predicts\nsurvival functions that reach this horizon")
        return
    DecisionCurveDisplay(table, horizon, time_unit=validation.time_unit).plot(ax=ax)


def _say(ax, text):
    ax.text(0.5, 0.5, text, ha="center", va="center", color=GREY, fontsize="small", wrap=True, transform=ax.transAxes)
    ax.set_axis_off()
