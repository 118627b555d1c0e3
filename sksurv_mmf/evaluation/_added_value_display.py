"""The picture of what a model adds."""

import numpy as np

from ..plotting._plotting import BLUE, GREY, VERMILLION, despine, format_p, import_pyplot, make_room

TITLES = {"harrell": "Harrell's C", "uno": "Uno's C", "ibs": "Integrated Brier score"}
PLACES = (8, 62, 170)  # of the columns of numbers, in points from the axes
INTERVALS = {"t": "over folds", "boot": "bootstrap"}


def draw_added_value(value, time_unit):
    """Draw the three panels of an `AddedValue`; returns the figure, 7 inches wide as two journal columns."""
    plt = import_pyplot()
    heights = [1.0 + 0.2 * (_lines_of(value.subgroups)[-1] + 1), 2.8]
    figure = plt.figure(figsize=(7, sum(heights)), layout="constrained")
    # Figures of their own, for the numbers beside the first would take the room of those below.
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    _draw_forest(above.subplots(), value)
    left, right = below.subplots(1, 2)
    _draw_time_effect(left, value, time_unit)
    _draw_gains(right, value, time_unit)
    return figure


def _lines_of(table):
    """Line of each row, where a subgroup has a line of its own for its name."""
    is_new = table["subgroup"].ne(table["subgroup"].shift()) & table["level"].ne("")
    return (np.arange(len(table)) + is_new.cumsum()).to_numpy()


def _draw_forest(ax, value):
    table = value.subgroups
    lines = _lines_of(table)
    low, high = _limits(table)
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    for line, (_, row) in zip(lines, table.iterrows()):
        _write(ax, line, 0, f"{row['n_patients']} / {row['n_events']}")
        if row["reason"]:
            _write(ax, line, 1, "not estimable", GREY)
        if not np.isnan(row["hazard_ratio"]):
            _draw_ratio(ax, line, row, low, high)
            _write(ax, line, 1, "{hazard_ratio:.2f} ({lower:.2f} to {upper:.2f})".format(**row))
        if not np.isnan(row["c_difference"]):
            # What rounds to zero has no sign.
            numbers = [round(row[name], 2) + 0.0 for name in ("c_difference", "c_lower", "c_upper")]
            _write(ax, line, 2, "{:+.2f} ({:+.2f} to {:+.2f})".format(*numbers))
    heads = _heads(table, lines)
    for line, first in heads.items():
        if not np.isnan(table["p_interaction"].iloc[first]):
            _write(ax, line, 1, f"interaction {format_p(table['p_interaction'].iloc[first])}", GREY)
    for column, text in enumerate(("patients /\nevents", "hazard ratio", "difference in C")):
        _write(ax, -1.2, column, text, GREY)
    names = dict(zip(lines, table["level"].where(table["level"] != "", table["subgroup"])))
    names |= {line: table["subgroup"].iloc[first] for line, first in heads.items()}
    ax.set_yticks(list(names), list(names.values()), fontsize="small")
    ax.tick_params(axis="y", length=0)
    for tick, line in zip(ax.get_yticklabels(), names):
        tick.set_fontweight("bold" if line in heads or line == 0 else "normal")
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(lines[-1] + 0.6, -1.6))
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="small")
    ax.minorticks_off()
    ax.set_xlabel(f"Hazard ratio of {value.model} per SD, beside {value.reference}", fontsize="small")
    despine(ax)
    make_room(ax)


def _limits(table):
    """Ends of the axis; an interval of a few events, which would make all others dots, leaves it by an arrow."""
    known = table[["lower", "upper"]].dropna()
    low, high = (known["lower"].min(), known["upper"].max()) if len(known) else (1, 1)
    return min(max(low, 0.1), 0.8) / 1.1, max(min(high, 10), 1.25) * 1.1


def _heads(table, lines):
    """Lines with names of subgroups, and the first row of each."""
    return {lines[row] - 1: row for row in np.flatnonzero(np.diff(lines, prepend=lines[0]) > 1)}


def _draw_ratio(ax, line, row, low, high):
    color = VERMILLION if row["level"] == "" else BLUE
    ax.plot(np.clip([row["lower"], row["upper"]], low, high), [line, line], color=color, linewidth=1.3)
    for end, is_beyond, mark in ((low, row["lower"] < low, "<"), (high, row["upper"] > high, ">")):
        if is_beyond:
            ax.plot(end, line, mark, color=color, markersize=4)
    if low <= row["hazard_ratio"] <= high:
        ax.plot(row["hazard_ratio"], line, "D", color=color, markersize=4.5, markeredgecolor="white")


def _write(ax, line, column, text, color="black"):
    ax.annotate(
        text.replace("-", "\N{MINUS SIGN}"),
        (1, line),
        xycoords=("axes fraction", "data"),
        xytext=(PLACES[column], 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        color=color,
    )


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
            ax.plot(limits, [place] * 2, color=color, linewidth=1.3, label=INTERVALS[ends] if line == 0 else None)
        ax.plot(sign * row["difference"], line - 0.12, "D", color=BLUE, markersize=4.5, markeredgecolor="white")
    ax.set_yticks(range(len(table)), _labels(table, time_unit), fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize="small")
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("Gain (right is better)", fontsize="small")
    if len(table):
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), frameon=False, fontsize="small", ncols=2)
    despine(ax)
    make_room(ax)


def _labels(table, time_unit):
    """Scores, with the number of folds where some lack one."""
    rows = zip(table["score"], table["n_folds"], table["reason"])
    return [title_of(score, time_unit) + (f"\n({n} folds only)" if reason else "") for score, n, reason in rows]


def title_of(score, time_unit):
    """What a score is called in words; a net benefit in two lines."""
    if score in TITLES:
        return TITLES[score]
    horizon, threshold = score.removeprefix("net_benefit@").split(",")
    unit = f" {time_unit}" if time_unit else ""
    return f"Net benefit at {horizon}{unit}\nfrom {100 * float(threshold):.3g} % on"
