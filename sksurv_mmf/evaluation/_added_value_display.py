"""The picture of what a model adds."""

import numpy as np

from ..plotting._plotting import BLUE, GREY, VERMILLION, despine, format_p, import_pyplot, make_room

TITLES = {"harrell": "Harrell's C", "uno": "Uno's C", "ibs": "Integrated Brier score"}


def draw_added_value(value, figure, time_unit):
    """Draw the three panels of an `AddedValue`; returns the figure."""
    plt = import_pyplot()
    table = value.subgroups
    n_lines = _lines_of(table)[-1] + 1
    heights = [0.6 + 0.2 * n_lines, 2.6]
    if figure is None:
        figure = plt.figure(figsize=(7, sum(heights) + 0.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=heights)
    _draw_forest(figure.add_subplot(grid[0, :]), value)
    _draw_time_effect(figure.add_subplot(grid[1, 0]), value, time_unit)
    _draw_gains(figure.add_subplot(grid[1, 1]), value, time_unit)
    return figure


def _lines_of(table):
    """Line of each row, where a subgroup has a line of its own for its name."""
    is_new = table["subgroup"].ne(table["subgroup"].shift()) & table["level"].ne("")
    return (np.arange(len(table)) + is_new.cumsum()).to_numpy()


def _draw_forest(ax, value):
    table = value.subgroups
    lines = _lines_of(table)
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xscale("log")
    limits = table[["lower", "upper"]].to_numpy()
    # An interval of a few events would make all others dots; it ends with an arrow instead.
    finite = limits[np.isfinite(limits).all(axis=1)]
    low, high = (max(finite[:, 0].min(), 0.1), min(finite[:, 1].max(), 10)) if len(finite) else (0.5, 2)
    low, high = min(low, 0.8) / 1.1, max(high, 1.25) * 1.1
    for line, (_, row) in zip(lines, table.iterrows()):
        color = VERMILLION if row["level"] == "" else BLUE
        beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
        ax.annotate(f"{row['n_patients']} / {row['n_events']}", (1.02, line), **beside)
        if np.isnan(row["hazard_ratio"]):
            ax.annotate("not estimable", (0.01, line), color=GREY, **beside)
            continue
        ax.plot([max(row["lower"], low), min(row["upper"], high)], [line, line], color=color, linewidth=1.3)
        for end, is_beyond, mark in ((low, row["lower"] < low, "<"), (high, row["upper"] > high, ">")):
            if is_beyond:
                ax.plot(end, line, mark, color=color, markersize=4)
        if low <= row["hazard_ratio"] <= high:
            ax.plot(row["hazard_ratio"], line, "D", color=color, markersize=4.5, markeredgecolor="white")
        ax.annotate("{hazard_ratio:.2f} ({lower:.2f} to {upper:.2f})".format(**row), (1.16, line), **beside)
    for first in np.flatnonzero(np.diff(lines, prepend=lines[0]) > 1):
        row = table.iloc[first]
        p_value = "" if np.isnan(row["p_interaction"]) else f"interaction {format_p(row['p_interaction'])}"
        ax.annotate(p_value, (1.16, lines[first] - 1), color=GREY, **beside)
    heads = {lines[i] - 1: table["subgroup"].iloc[i] for i in np.flatnonzero(np.diff(lines, prepend=lines[0]) > 1)}
    names = dict(zip(lines, table["level"].where(table["level"] != "", table["subgroup"]))) | heads
    ax.set_yticks(list(names), list(names.values()), fontsize="small")
    ax.tick_params(axis="y", length=0)
    for tick, line in zip(ax.get_yticklabels(), names):
        tick.set_fontweight("bold" if line in heads or line == 0 else "normal")
    ax.set(xlim=(low, high), ylim=(lines[-1] + 0.6, -1.4))
    for x, text in ((1.02, "patients /\nevents"), (1.16, "hazard ratio")):
        ax.annotate(text, (x, -1.2), xycoords=("axes fraction", "data"), va="center", fontsize="small", color=GREY)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="small")
    ax.minorticks_off()
    ax.set_xlabel(f"Hazard ratio of {value.model} per SD, beside {value.reference}", fontsize="small")
    despine(ax)
    make_room(ax)


def _draw_time_effect(ax, value, time_unit):
    curve, tests = value.time_effect, value.tests
    ax.set_xlabel("Time" if time_unit is None else f"Time ({time_unit})", fontsize="small")
    ax.set_ylabel("Log hazard ratio per SD", fontsize="small")
    ax.tick_params(labelsize="small")
    despine(ax)
    if curve.empty:
        ax.annotate("too few events", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize="small")
        return
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    constant = tests.loc[(tests["test"] == "likelihood ratio") & (tests["risk"] == value.model), "coef"].iloc[0]
    ax.axhline(constant, color=VERMILLION, linewidth=1)
    ax.plot(curve["time"], curve["coef"], color=BLUE, linewidth=1.5)
    ax.fill_between(curve["time"], curve["lower"], curve["upper"], color=BLUE, alpha=0.18, linewidth=0)
    changes = tests[(tests["test"] == "proportional hazards") & (tests["risk"] == value.model)].iloc[0]
    ax.set_title(f"Change over time: {format_p(changes['p'])}", fontsize="small", loc="left")
    make_room(ax)


def _draw_gains(ax, value, time_unit):
    table = value.differences.dropna(subset="difference")
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    for line, (_, row) in enumerate(table.iterrows()):
        # To the right is better for all; of a Brier score lower is.
        sign = -1 if row["score"] == "ibs" else 1
        for place, ends, color in ((line - 0.12, "t", BLUE), (line + 0.12, "boot", GREY)):
            limits = sign * row[[f"{ends}_lower", f"{ends}_upper"]].to_numpy(dtype=float)
            ax.plot(limits, [place] * 2, color=color, linewidth=1.3, label=_NAMES[ends] if line == 0 else None)
        ax.plot(sign * row["difference"], line - 0.12, "D", color=BLUE, markersize=4.5, markeredgecolor="white")
    ax.set_yticks(range(len(table)), [_title(score, time_unit) for score in table["score"]], fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize="small")
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("Gain (right is better)", fontsize="small")
    if len(table):
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), frameon=False, fontsize="small", ncols=2)
    despine(ax)
    make_room(ax)


_NAMES = {"t": "over folds", "boot": "bootstrap"}


def _title(score, time_unit):
    if score in TITLES:
        return TITLES[score]
    horizon, threshold = score.removeprefix("net_benefit@").split(",")
    unit = f" {time_unit}" if time_unit else ""
    return f"Net benefit at {horizon}{unit}\nfrom {100 * float(threshold):.3g} % on"
