"""Kaplan-Meier curves of predicted risk groups."""

import textwrap
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..pages._cells import DASH, write_estimate
from ..plotting._labels import points
from ..plotting._plotting import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    check_colors,
    despine,
    format_p,
    import_pyplot,
    legend_above,
    make_axes,
    make_room,
)
from ..predictions._ask import check_model, predict_risk
from ..predictions._checks import as_real_numbers
from ..statistics._cox import fit_cox
from ..utils._old_names import renamed_parameters, warn_of_old_name
from ..utils._time_units import UNITS
from ..utils._validation import format_time

RATIOS = ["hazard_ratio", "lower", "upper"]
GROUP_NAMES = {2: ["Low risk", "High risk"], 3: ["Low risk", "Medium risk", "High risk"]}
# In sizes of the font: what a letter is wide on average, what a line is high, what stands beside and below the axes.
LETTER, LINE, BESIDE, BELOW = 0.5, 1.32, 5.8, 3.6
ROUNDING = 1 - 1e-9  # of times in another unit, so that a whole year is not less than one


def assign_groups(risk, thresholds):
    """Group of each patient, 0 for the lowest risk; a risk equal to a threshold belongs to the group above it."""
    return np.searchsorted(np.sort(thresholds), risk, side="right")


def log_rank_p_value(y, group):
    """p-value of the log-rank test; NaN where it is not defined because no event comes while two groups are at risk."""
    try:
        return float(compare_survival(y, group)[1])
    except np.linalg.LinAlgError:
        return np.nan


def hazard_ratios(groups, confidence_level=0.95):
    """Hazard ratio of each group to the first, of a Cox model of the groups alone (Efron's ties, Wald's limits).

    Parameters
    ----------
    groups : list of RiskGroup
        The groups.
    confidence_level : float, default=0.95
        Level of the limits.

    Returns
    -------
    DataFrame
        One row per group with columns "hazard_ratio", "lower" and "upper": 1 for the first group; NaN where there is no
        estimate, because a group or the first one has no events, or all of one group come before all of another.
    """
    logs = pd.DataFrame(np.nan, pd.Index([group.name for group in groups], name="group"), RATIOS)
    logs.iloc[0] = 0.0
    if groups[0].event.any():
        # A group without events has no ratio and says nothing of those of others.
        known = [g for g, group in enumerate(groups) if group.event.any()]
        member = np.repeat(known, [len(groups[g].time) for g in known])
        event, time = (np.concatenate([getattr(groups[g], what) for g in known]) for what in ("event", "time"))
        fit = fit_cox((member[:, None] == known[1:]).astype(float), event, time, np.zeros(len(time), dtype=int))
        for k, g in enumerate(known[1:]):
            logs.iloc[g] = [fit.coef[k], *fit.interval(k, confidence_level)]
    return np.exp(logs)


@dataclass(frozen=True)
class RiskGroup:
    """Patients of similar predicted risk and the Kaplan-Meier estimate of their survival.

    Attributes
    ----------
    name : str
        Label of the group.
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.
    time : ndarray of shape (n_patients,)
        Time of event or censoring.
    step_times : ndarray of shape (n_unique_times,)
        Times at which the curve is estimated.
    survival : ndarray of shape (n_unique_times,)
        Probability of no event up to and including each of `step_times`.
    lower, upper : ndarray of shape (n_unique_times,)
        Pointwise confidence limits.
    """

    name: str
    event: np.ndarray
    time: np.ndarray
    step_times: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def estimate(cls, name, event, time, confidence_level):
        """Make the group of these patients with its Kaplan-Meier curve."""
        # Limits of this type stay within 0 and 1, which those of the plain one leave.
        *curve, limits = kaplan_meier_estimator(event, time, conf_level=confidence_level, conf_type="log-log")
        return cls(name, event, time, *curve, *limits)

    @property
    def confidence(self):
        """Old name of `lower` and `upper`, one below the other."""
        warn_of_old_name("RiskGroup.confidence", "lower and upper, two attributes")
        return np.array([self.lower, self.upper])

    def at_risk(self, times):
        """Count the patients whose event or censoring has not come before each of `times`."""
        return np.array([np.count_nonzero(self.time >= t) for t in np.atleast_1d(times)])


class RiskGroupDisplay:
    """Kaplan-Meier curves of groups of patients by predicted risk.

    Shows at a glance whether a model separates patients who fare well from those who do not. Create it with
    :meth:`from_estimator` or :meth:`from_predictions`. Use risks of patients that the model was not trained on; on the
    training patients nearly every network separates the curves.

    Parameters
    ----------
    groups : list of RiskGroup
        The groups from low to high risk, each with `name`, `event`, `time`, `step_times`, `survival`, `lower`,
        `upper`.
    p_value : float
        p-value of the log-rank test; NaN if no event comes while patients of two groups are at risk.
    time_unit : str, default=None
        Unit of time for the axis label.
    risks_from : str, default=None
        Whose risks they are, in words that are written below the curves, such as "out of fold" or "test patients".
        None writes that this is not stated.
    confidence_level : float, default=0.95
        Level of the bands and of the intervals of hazard ratios.
    axis_unit : {"days", "weeks", "months", "years"}, default=None
        Unit in which the time axis is drawn. None draws times in `time_unit`.
    max_time : float, default=None
        Where the axis ends, in `time_unit`. None shows all times.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    hazard_ratios_ : DataFrame of shape (n_groups, 3)
        "hazard_ratio" of each group to that of the lowest risk, with its limits "lower" and "upper", from a Cox model
        of the groups; NaN where there is no estimate, because a group or the first one has no events, or all of one
        group's come before all of another's.
    lines_ : list of matplotlib Line2D
        The curve of each group.
    at_risk_ : ndarray of shape (n_groups, n_ticks)
        The numbers at risk below the axis.

    See Also
    --------
    sksurv.nonparametric.kaplan_meier_estimator : Computes the curves.
    sksurv.compare.compare_survival : Computes the log-rank test.

    Notes
    -----
    Cutting at quantiles of the very risks that are shown is fair for risks of unseen patients: the outcome takes no
    part in it. Searching for the cut with the smallest p-value is not, and is not offered.

    Hazard ratio and log-rank test take the groups of out-of-fold risks for independent of the outcome. They are nearly
    so: the models of different folds share training patients. A hazard ratio is that of an average over the follow-up
    where curves come together or cross.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import RiskGroupDisplay
    >>> cohort = make_multimodal_survival(n_patients=80, n_genes=20, n_tiles=5, random_state=0)
    >>> display = RiskGroupDisplay.from_predictions(
    ...     cohort.y, cohort.risk, time_unit="months", axis_unit="years", risks_from="the simulation"
    ... )
    >>> display.p_value < 0.001
    True
    >>> display.hazard_ratios_.round(1)
               hazard_ratio  lower  upper
    group
    Low risk            1.0    1.0    1.0
    High risk           3.4    1.9    6.3
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        groups,
        p_value,
        *,
        time_unit=None,
        risks_from=None,
        confidence_level=0.95,
        axis_unit=None,
        max_time=None,
    ):
        self.groups = groups
        self.p_value = p_value
        self.time_unit = time_unit
        self.risks_from = risks_from
        self.confidence_level = confidence_level
        self.axis_unit = axis_unit
        self.max_time = max_time

    @classmethod
    @renamed_parameters(conf_level="confidence_level")
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        n_groups=2,
        thresholds=None,
        confidence_level=0.95,
        time_unit=None,
        axis_unit=None,
        max_time=None,
        risks_from=None,
        ax=None,
    ):
        """Predict risks and draw the curves.

        Parameters
        ----------
        estimator : estimator
            Fitted survival estimator, or a Pipeline or search of one. If it predicts times, as
            :class:`~sksurv.linear_model.IPCRidge` does, the risk is minus the time.
        X : DataFrame or array-like
            Patients that the estimator was not trained on.
        y : structured array of shape (n_patients,) or DataFrame
            Their outcome, as made by `sksurv.util.Surv`.
        n_groups : int, default=2
            Number of groups, at least 2, of equal size as far as equal risks, which stay together, allow.
        thresholds : array-like of float, default=None
            Risks that separate the groups, for example quantiles of the training patients' risks. Replaces `n_groups`.
        confidence_level : float, default=0.95
            Level of the pointwise confidence bands (log-log transformed).
        time_unit : str, default=None
            Unit of the times of y, such as "days".
        axis_unit : {"days", "weeks", "months", "years"}, default=None
            Unit in which the time axis is drawn. Times are converted from `time_unit`, which then has to be one of
            these, too; a year has 365.25 days. None draws them as they are.
        max_time : float, default=None
            Where the axis ends, in the unit of y, to leave out the times at which hardly anyone is at risk. Test and
            hazard ratios use all times.
        risks_from : str, default=None
            Whose risks they are, in words that are written below the curves, such as "out of fold", "test patients" or
            "external validation". None writes that this is not stated.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : RiskGroupDisplay
            The display, drawn.
        """
        check_model(estimator)
        return cls.from_predictions(
            align_outcome(y, X),
            predict_risk(estimator, X),
            n_groups=n_groups,
            thresholds=thresholds,
            confidence_level=confidence_level,
            time_unit=time_unit,
            axis_unit=axis_unit,
            max_time=max_time,
            risks_from=risks_from,
            ax=ax,
        )

    @classmethod
    @renamed_parameters(conf_level="confidence_level")
    def from_predictions(
        cls,
        y,
        risk,
        *,
        n_groups=2,
        thresholds=None,
        confidence_level=0.95,
        time_unit=None,
        axis_unit=None,
        max_time=None,
        risks_from=None,
        ax=None,
    ):
        """Draw the curves of given risks.

        Parameters
        ----------
        y : structured array of shape (n_patients,) or DataFrame
            Outcome, as made by `sksurv.util.Surv`.
        risk : array-like of shape (n_patients,)
            Predicted risk, higher for an earlier event. A Series is matched by patient if y is a DataFrame; a
            structured array has no names, so that both have to be in one order.
        n_groups : int, default=2
            Number of groups, at least 2, of equal size as far as equal risks, which stay together, allow.
        thresholds : array-like of float, default=None
            Risks that separate the groups, for example quantiles of the training patients' risks. Replaces `n_groups`.
        confidence_level : float, default=0.95
            Level of the pointwise confidence bands (log-log transformed).
        time_unit : str, default=None
            Unit of the times of y, such as "days".
        axis_unit : {"days", "weeks", "months", "years"}, default=None
            Unit in which the time axis is drawn. Times are converted from `time_unit`, which then has to be one of
            these, too; a year has 365.25 days. None draws them as they are.
        max_time : float, default=None
            Where the axis ends, in the unit of y, to leave out the times at which hardly anyone is at risk. Test and
            hazard ratios use all times.
        risks_from : str, default=None
            Whose risks they are, in words that are written below the curves, such as "out of fold", "test patients" or
            "external validation". None writes that this is not stated.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : RiskGroupDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If risk does not fit y, is not finite, or leaves a group without patients; if nobody has an event; or as
            :meth:`plot` does.
        """
        import_pyplot()
        y = align_outcome(y, risk if isinstance(risk, pd.Series) else None)
        event, time = Outcome.of(y)
        if not event.any():
            raise ValueError(f"None of the {len(y)} patients of y has an event, so that groups cannot be compared.")
        risk = _check_risk(risk, len(time))
        thresholds = _check_thresholds(risk, n_groups, thresholds)
        group = assign_groups(risk, thresholds)
        groups = [
            RiskGroup.estimate(name, event[group == g], time[group == g], confidence_level)
            for g, name in enumerate(_check_sizes(group, group_names(len(thresholds) + 1)))
        ]
        display = cls(
            groups,
            log_rank_p_value(y, group),
            time_unit=time_unit,
            risks_from=risks_from,
            confidence_level=confidence_level,
            axis_unit=axis_unit,
            max_time=max_time,
        )
        return display.plot(ax=ax)

    @renamed_parameters(colors="color")
    def plot(self, ax=None, *, axis_unit=None, max_time=None, show_censored=True, color=None):
        """Draw the curves, their bands, the numbers at risk, the p-value and the hazard ratios.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, of their own x axis. None makes a new figure, 3.5 inches wide as a journal column.
        axis_unit : {"days", "weeks", "months", "years"}, default=None
            Unit in which the time axis is drawn. None takes that of the display.
        max_time : float, default=None
            Where the axis ends, in the display's `time_unit`. None takes that of the display.
        show_censored : bool, default=True
            Whether to mark censored patients with ticks on the curve.
        color : list of matplotlib colors, default=None
            Colour of each group. None goes from blue for the lowest risk to red for the highest, or with more than
            three groups from dark blue to yellow.

        Returns
        -------
        display : RiskGroupDisplay
            This display.

        Raises
        ------
        ValueError
            If `max_time` is not positive or before the first event, `axis_unit` is none of the units, `time_unit`
            cannot be converted to it, or `ax` shares its x axis.
        """
        axis_unit, max_time = axis_unit or self.axis_unit, self.max_time if max_time is None else max_time
        self._check_max_time(max_time)
        scale = _axis_scale(self.time_unit, axis_unit)
        self.ax_ = ax = make_axes(ax, (3.5, 3.0 + (0.3 if len(self.groups) < 4 else 0.5) * len(self.groups)))
        self.figure_ = ax.figure
        _check_own_axis(ax)
        colors = check_colors(_risk_colors(len(self.groups)) if color is None else color, len(self.groups))
        self.lines_ = [_draw_curve(ax, group, color, scale, show_censored) for group, color in zip(self.groups, colors)]
        end = max(group.time.max() for group in self.groups) if max_time is None else max_time
        unit = axis_unit or self.time_unit
        ax.set(
            xlim=(0, 1.02 * end * scale),
            ylim=(0, 1.02),
            yticks=np.linspace(0, 1, 5),
            xlabel="Time" if unit is None else f"Time ({unit})",
            ylabel="Probability\nof no event",  # in one line it would reach the legend of low axes
        )
        despine(ax)
        self.hazard_ratios_ = hazard_ratios(self.groups, self.confidence_level)
        self._write_legend(ax)
        self.at_risk_ = self._write_numbers_at_risk(ax, colors, end * scale, scale)
        self._write_note(ax, show_censored)
        make_room(ax)
        return self

    def _check_max_time(self, max_time):
        if max_time is None:
            return
        if not (isinstance(max_time, Real) and 0 < max_time < np.inf):
            raise ValueError(f"max_time must be a positive time or None, got {max_time!r}.")
        first = min((group.time[group.event].min() for group in self.groups if group.event.any()), default=0)
        if max_time < first:
            raise ValueError(
                f"max_time={format_time(max_time)} is before the first event, at {format_time(first, self.time_unit)}: "
                "no curve would fall. It is in the unit of y, whatever axis_unit is."
            )

    def _left(self):
        """How far to the left of the axis texts begin, in points: where the names of the groups do."""
        longest = max(len(group.name) for group in self.groups)
        return max(BESIDE * points("medium"), 18 + LETTER * points("small") * longest)

    def _write_legend(self, ax):
        labels = [f"{group.name} ({np.count_nonzero(group.event)}/{len(group.time)} events)" for group in self.groups]
        title = None
        if len(self.groups) > 1:
            ratios = [
                "HR not defined" if np.isnan(ratio).any() else f"HR {write_estimate(*ratio, 2).replace(' to ', DASH)}"
                for ratio in self.hazard_ratios_.iloc[1:].to_numpy()
            ]
            what = f"HR: hazard ratio, {100 * self.confidence_level:g}% interval"
            pairs = [(f"Log-rank {format_p(self.p_value)}; ", what), *zip([f"{one}, " for one in labels[1:]], ratios)]
            longest = max(len(one) + len(other) for one, other in pairs)
            breaks = LETTER * points("small") * longest + 24 > _room(ax)
            title, *labels[1:] = [one.rstrip() + "\n" + other if breaks else one + other for one, other in pairs]
        for line, label in zip(self.lines_, labels):
            line.set_label(label)
        style = {"alignment": "left", "title_fontsize": "small", "handlelength": 1.4, "labelspacing": 0.3}
        legend_above(ax, reach=self._left(), title=title, **style)

    def _write_numbers_at_risk(self, ax, colors, end, scale):
        """Write the table below the axis and return its numbers."""
        ticks = np.array([t for t in ax.get_xticks() if 0 <= ROUNDING * t <= end])
        ax.set_xticks(ticks)  # axes of another size would choose others, without numbers below them
        numbers = np.array([group.at_risk(ROUNDING * ticks / scale) for group in self.groups])
        _write_below(ax, 0, 0, "Number at risk", shift=-self._left())
        for row, (group, counts, color) in enumerate(zip(self.groups, numbers, colors), start=1):
            _write_below(ax, row, 0, group.name, shift=-self._left(), color=color)
            for tick, count in zip(ticks, counts):
                # Those of ticks beyond the axis are left out when somebody zooms.
                _write_below(ax, row, tick, str(count), ha="center", annotation_clip=True)
        return numbers

    def _write_note(self, ax, show_censored):
        """Say below the numbers at risk what is drawn, and whose risks made the groups."""
        note = f"{100 * self.confidence_level:g}% bands, pointwise."
        note += " Ticks: censored." if show_censored else ""
        note += f" Risks: {self.risks_from or 'source not stated'}." if len(self.groups) > 1 else ""
        lines = textwrap.wrap(note, max(24, int(_room(ax) / (1.07 * LETTER * points("x-small")))))
        place = {"shift": -self._left(), "fontsize": "x-small", "color": GREY}
        _write_below(ax, len(self.groups) + 1.3, 0, "\n".join(lines), **place)


def _room(ax):
    """About how wide the part of the figure is that belongs to axes and what is written around them, in points."""
    spec, inch = ax.get_subplotspec(), ax.figure.dpi
    if spec is None or spec.get_topmost_subplotspec() is not spec:  # by hand or nested, perhaps with little around them
        return 1.27 * ax.get_window_extent().width * 72 / inch
    shares = np.asarray(spec.get_gridspec().get_width_ratios(), dtype=float)
    return ax.figure.bbox.width * 72 / inch * shares[spec.colspan].sum() / shares.sum() - 12


def _check_own_axis(ax):
    if len(ax.get_shared_x_axes().get_siblings(ax)) > 1:
        raise ValueError(
            "ax shares its x axis with other axes, whose ticks would no longer be those of their numbers at risk. Draw "
            "on axes without sharex, and pass the same max_time for panels of one range."
        )


def _axis_scale(time_unit, axis_unit):
    """How many of the axis' units a unit of the times is."""
    if axis_unit is None:
        return 1.0
    if not isinstance(axis_unit, str) or axis_unit not in UNITS:
        raise ValueError(f"axis_unit must be one of {', '.join(map(repr, UNITS))} or None, got {axis_unit!r}.")
    if time_unit not in UNITS:
        raise ValueError(
            f"axis_unit={axis_unit!r} needs to know the unit of the times, but time_unit is {time_unit!r}. "
            f"Pass the one that y is in as time_unit: {', '.join(map(repr, UNITS))}."
        )
    return UNITS[time_unit] / UNITS[axis_unit]


def _check_sizes(group, names):
    sizes = np.bincount(group, minlength=len(names))
    if not sizes.all():
        raise ValueError(
            f"The risks leave a group empty: {len(names)} groups get {sizes.tolist()} patients, because many risks "
            "are equal or all lie on one side of a threshold. Use fewer groups or other thresholds."
        )
    return names


def _check_risk(risk, n_patients):
    risk = as_real_numbers(risk, "risk is")
    if risk.shape != (n_patients,):
        raise ValueError(f"risk has shape {risk.shape}, but y has {n_patients} patients. Pass one risk per patient.")
    if not np.isfinite(risk).all():
        raise ValueError(f"risk of {np.count_nonzero(~np.isfinite(risk))} patients is NaN or infinite. Leave them out.")
    return risk


def _check_thresholds(risk, n_groups, thresholds):
    if thresholds is not None:
        numbers = np.atleast_1d(as_real_numbers(thresholds, "thresholds is"))
        if numbers.ndim != 1 or not len(numbers) or np.isnan(numbers).any():
            raise ValueError(f"thresholds must be a list of risks without NaN, got {thresholds!r}.")
        return numbers
    if not isinstance(n_groups, Integral) or n_groups < 2:
        raise ValueError(f"n_groups must be at least 2 to compare groups, a whole number, got {n_groups!r}.")
    # Of the patients shown, for groups of one size; a rule for others needs thresholds of training patients.
    return np.quantile(risk, np.arange(1, n_groups) / n_groups)


def group_names(n_groups):
    numbered = [f"Risk group {g} of {n_groups}" for g in range(1, n_groups + 1)]
    return GROUP_NAMES.get(n_groups, numbered)


def _risk_colors(n_groups):
    if n_groups <= 3:
        return [BLUE, ORANGE, VERMILLION] if n_groups == 3 else [BLUE, VERMILLION]
    cividis = import_pyplot().get_cmap("cividis")
    # The yellow at its end is too light for lines on white.
    return [cividis(x) for x in np.linspace(0, 0.85, n_groups)]


def _draw_curve(ax, group, color, scale, show_censored):
    # A curve starts at probability 1 and has no step before the first estimate.
    times = np.concatenate([[0], group.step_times])
    survival = np.concatenate([[1], group.survival])
    lower, upper = (np.concatenate([[1], limit]) for limit in (group.lower, group.upper))
    (line,) = ax.step(scale * times, survival, where="post", color=color, linewidth=1.5)
    ax.fill_between(scale * times, lower, upper, step="post", color=color, alpha=0.18, linewidth=0)
    if show_censored:
        censored = group.time[~group.event]
        at = survival[np.searchsorted(times, censored, side="right") - 1]
        ax.plot(scale * censored, at, "|", color=color, markersize=4, markeredgewidth=0.7)
    return line


def _write_below(ax, row, x, text, *, shift=0, fontsize="small", **kwargs):
    """Write text below the axis, clear of tick labels and axis label; `x` is a time, `shift` is in points."""
    ax.annotate(
        text,
        (x, 0),
        xycoords=("data", "axes fraction"),
        xytext=(shift, -BELOW * points("medium") - LINE * points("small") * row),
        textcoords="offset points",
        va="top",
        fontsize=fontsize,
        **kwargs,
    )
