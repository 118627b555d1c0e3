"""Pictures of predictions for patients whom the model that made them had not seen."""

import math

import numpy as np
import pandas as pd

from ..evaluation._decision_curve import DecisionCurveDisplay
from ..inspection._calibration import CalibrationDisplay, survival_at
from ..inspection._risk_groups import RiskGroupDisplay
from ..pages._cells import write_estimate
from ..pages._parts import Figure, Section, Table, Text
from ..plotting._plotting import import_pyplot, make_room
from ..predictions._checks import common_domain, curve_values
from ..utils._validation import say

NO_HORIZON = "Pass horizons=, times of interest, to study_report or compare_models."


def pooled_rank(comparison, model):
    """Rank of each patient's risk among the test patients of the fold, from 0 to 1, on average over repetitions.

    Risks of different folds come from different models and have scales of their own; ranks do not.
    """
    risks = comparison.risks[comparison.risks["model"] == model]
    grouped = risks.groupby("fold")["risk_score"]
    rank = (grouped.rank() - 0.5) / grouped.transform("size")
    return rank.groupby(risks["patient"]).mean()


def pooled_event_probability(comparison, model, horizon):
    """Predicted probability of an event by `horizon`, on average over repetitions; None if a curve ends before it."""
    curves = comparison.survival[model]
    if curves.empty or common_domain(curves)[1] < horizon:
        return None
    values = pd.Series(curve_values(curves, horizon)[:, 0], curves.index)
    return 1 - values.groupby(level="patient").mean().clip(0, 1)


def risk_groups_section(study):
    """Kaplan-Meier curves of groups by predicted risk."""
    n, parts, rows = study.n_groups, [], []
    panels = {model: rank for model in study.show if len(rank := pooled_rank(study.comparison, model))}
    panels = {model: rank for model, rank in panels.items() if _groups(rank, n) is not None}
    if not panels:
        return "No model has risks that part the patients into groups."
    figure, axes = _panels(len(panels), (3.5, 3.3 + 0.3 * n))
    for ax, (model, rank) in zip(axes, panels.items()):
        y = _outcome_of(study, rank.index)
        style = {"time_unit": study.time_unit, "risks_from": "out of fold"}
        display = RiskGroupDisplay.from_predictions(y, rank.to_numpy(), n_groups=n, **style, ax=ax)
        ax.set_title(model, fontsize="medium", loc="left", fontweight="bold")
        rows += [_group_row(study, model, group) for group in display.groups]
    _make_room(axes)
    text = (
        f"Patients were parted into {n} groups of equal size by the rank of their predicted risk among the test "
        "patients of their fold"
        f"{_repeated(study)}. The outcome took no part in that. A log-rank test of groups by cross-validated risks is "
        "approximate, because the models of different folds share training patients. The cut-offs are quantiles of "
        "these very patients and are no rule for others."
    )
    caption = "Kaplan-Meier curves of groups by out-of-fold risk, with 95% intervals and numbers at risk."
    table = pd.DataFrame(rows).set_index(["model", "group"])
    parts = [
        Text(text),
        Figure(figure, caption, "Kaplan-Meier curves of risk groups, a panel for each model."),
        Table(table, "Risk groups, with Kaplan-Meier estimates and 95% intervals."),
    ]
    return Section("Risk groups", parts)


def _groups(rank, n):
    """Sizes of the groups, or None where equal risks leave one empty."""
    cuts = np.quantile(rank, np.arange(1, n) / n)
    sizes = np.bincount(np.searchsorted(cuts, rank, side="right"), minlength=n)
    return sizes if sizes.all() else None


def _group_row(study, model, group):
    row = {"model": model, "group": group.name, "patients": len(group.time), "events": int(group.event.sum())}
    for horizon in study.horizons:
        row[f"no event by {study.at(horizon)}"] = write_estimate(*survival_at(group.event, group.time, horizon), 2)
    return row


def calibration_section(study):
    """Predicted and observed probabilities at each horizon."""
    if not study.horizons:
        return NO_HORIZON
    parts = [
        Text(
            "Out-of-fold probabilities"
            f"{_repeated(study)} in groups of patients with similar predictions, against Kaplan-Meier estimates in "
            "these groups. Bars are 95% intervals."
        )
    ]
    for horizon in study.horizons:
        found, lacking = _probabilities(study, horizon)
        if found:
            figure, axes = _panels(len(found), (3.3, 3.4))
            for ax, (model, probability) in zip(axes, found.items()):
                ax.set_title(model, fontsize="medium", loc="left", fontweight="bold")
                _draw_calibration(study, probability, horizon, ax)
            caption = f"Predicted and observed probability of no event by {study.at(horizon)}."
            parts.append(Figure(figure, caption, "Calibration curves, a panel for each model."))
        parts += _say_lacking(lacking, horizon, study)
    return Section("Calibration", parts) if len(parts) > 1 else "No model predicts survival functions."


def _draw_calibration(study, probability, horizon, ax):
    y = _outcome_of(study, probability.index)
    n_groups = min(5, max(2, len(y) // 20))
    try:
        display = CalibrationDisplay.from_predictions(
            y, 1 - probability.to_numpy(), time=horizon, n_groups=n_groups, time_unit=study.time_unit, ax=ax
        )
    except ValueError as error:  # a group that nobody follows so far
        ax.text(0.5, 0.5, say(error), transform=ax.transAxes, ha="center", va="center", wrap=True, fontsize="small")
        return
    # Groups differ by chance, which a line from one to the next would hide.
    display.points_[0].set_linestyle("none")


def decisions_section(study):
    """Net benefit of decisions by each model."""
    if not study.horizons:
        return NO_HORIZON
    parts = [
        Text(
            "Net benefit of treating patients whose out-of-fold probability of an event reaches a threshold (Vickers "
            f"and Elkin 2006){', probabilities averaged over repetitions' if _repeated(study) else ''}. A model is of "
            "use at thresholds at which it is above treating all and treating none; only thresholds that one might "
            "choose matter."
        )
    ]
    for horizon in study.horizons:
        found, lacking = _probabilities(study, horizon)
        most = max((one.notna().sum() for one in found.values()), default=0)
        # Of models that failed in folds, the rest would be compared with others on a part of the patients.
        lacking += [name for name, one in found.items() if one.notna().sum() < most]
        found = {name: one for name, one in found.items() if one.notna().sum() == most}
        # Patients whom every model has predicted.
        index = pd.concat(found, axis=1).dropna().index if found else []
        if len(index):
            probabilities = {name: one.loc[index].to_numpy() for name, one in found.items()}
            figure, (ax,) = _panels(1, (6.2, 4.2))
            DecisionCurveDisplay.from_predictions(
                _outcome_of(study, index), probabilities, horizon=horizon, time_unit=study.time_unit, ax=ax
            )
            caption = f"Decision curves at {study.at(horizon)}, of {len(index)} patients."
            parts.append(Figure(figure, caption, "Net benefit by threshold, a line for each model."))
        parts += _say_lacking(lacking, horizon, study)
    return Section("Decisions", parts) if len(parts) > 1 else "No model predicts survival functions."


def _probabilities(study, horizon):
    found = {model: pooled_event_probability(study.comparison, model, horizon) for model in study.show}
    lacking = [model for model, one in found.items() if one is None]
    return {model: one for model, one in found.items() if one is not None}, lacking


def _say_lacking(lacking, horizon, study):
    if not lacking:
        return []
    return [
        Text(
            f"Without survival functions of all patients that reach {study.at(horizon)}: {', '.join(lacking)}.", "note"
        )
    ]


def _repeated(study):
    folds = np.concatenate([test for _, test in study.comparison.folds])
    return ", on average over repetitions" if len(folds) > len(np.unique(folds)) else ""


def _outcome_of(study, patients):
    positions = study.comparison.patients.get_indexer(patients)
    return study.comparison.y[positions]


def _panels(n, size):
    """A figure with axes for `n` panels, three in a row at most."""
    columns = 2 if n == 4 else min(n, 3)
    rows = math.ceil(n / columns)
    figure, axes = import_pyplot().subplots(
        rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return figure, list(axes.flat[:n])


def _make_room(axes):
    for ax in axes:
        make_room(ax)
