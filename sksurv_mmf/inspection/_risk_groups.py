"""Kaplan-Meier curves of predicted risk groups."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..plotting._plotting import (
    BLUE,
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
from ..utils._old_names import renamed_parameters, warn_of_old_name

GROUP_NAMES = {2: ["Low risk", "High risk"], 3: ["Low risk", "Medium risk", "High risk"]}
LINE_HEIGHT = 11  # points between the rows of the table of numbers at risk


def assign_groups(risk, thresholds):
    """Group of each patient, 0 for the lowest risk; a risk equal to a threshold belongs to the group above it."""
    return np.searchsorted(np.sort(thresholds), risk, side="right")


def log_rank_p_value(y, group):
    """p-value of the log-rank test; NaN where it is not defined because no event comes while two groups are at risk."""
    try:
        return float(compare_survival(y, group)[1])
    except np.linalg.LinAlgError:
        return np.nan


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

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds the axes.
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

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import RiskGroupDisplay
    >>> cohort = make_multimodal_survival(n_patients=80, n_genes=20, n_tiles=5, random_state=0)
    >>> display = RiskGroupDisplay.from_predictions(cohort.y, cohort.risk, time_unit="months")
    >>> display.p_value < 0.001
    True
    >>> plt.close(display.figure_)
    """

    def __init__(self, groups, p_value, *, time_unit=None):
        self.groups = groups
        self.p_value = p_value
        self.time_unit = time_unit

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
        max_time=None,
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
            Number of groups of equal size, at least 2.
        thresholds : array-like of float, default=None
            Risks that separate the groups, for example quantiles of the training patients' risks. Replaces `n_groups`.
        confidence_level : float, default=0.95
            Level of the pointwise confidence bands (log-log transformed).
        time_unit : str, default=None
            Unit of time for the axis label, such as "days".
        max_time : float, default=None
            Where the axis ends, to leave out the times at which hardly anyone is at risk. The test uses all times.
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
            max_time=max_time,
            ax=ax,
        )

    @classmethod
    @renamed_parameters(conf_level="confidence_level")
    def from_predictions(
        cls, y, risk, *, n_groups=2, thresholds=None, confidence_level=0.95, time_unit=None, max_time=None, ax=None
    ):
        """Draw the curves of given risks.

        Parameters
        ----------
        y : structured array of shape (n_patients,) or DataFrame
            Outcome, as made by `sksurv.util.Surv`.
        risk : array-like of shape (n_patients,)
            Predicted risk, higher for an earlier event.
        n_groups : int, default=2
            Number of groups of equal size, at least 2.
        thresholds : array-like of float, default=None
            Risks that separate the groups, for example quantiles of the training patients' risks. Replaces `n_groups`.
        confidence_level : float, default=0.95
            Level of the pointwise confidence bands (log-log transformed).
        time_unit : str, default=None
            Unit of time for the axis label, such as "days".
        max_time : float, default=None
            Where the axis ends, to leave out the times at which hardly anyone is at risk. The test uses all times.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : RiskGroupDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If risk does not fit y, is not finite, or leaves a group without patients.
        """
        import_pyplot()
        if max_time is not None and not (isinstance(max_time, Real) and 0 < max_time < np.inf):
            raise ValueError(f"max_time must be a positive time or None, got {max_time!r}.")
        y = align_outcome(y, risk if isinstance(risk, pd.Series) else None)
        event, time = Outcome.of(y)
        risk = _check_risk(risk, len(time))
        thresholds = _check_thresholds(risk, n_groups, thresholds)
        group = assign_groups(risk, thresholds)
        names = group_names(len(thresholds) + 1)
        sizes = np.bincount(group, minlength=len(names))
        if not sizes.all():
            raise ValueError(
                f"The risks leave a group empty: {len(names)} groups get {sizes.tolist()} patients, because many risks "
                "are equal or all lie on one side of a threshold. Use fewer groups or other thresholds."
            )
        groups = [
            RiskGroup.estimate(name, event[group == g], time[group == g], confidence_level)
            for g, name in enumerate(names)
        ]
        return cls(groups, log_rank_p_value(y, group), time_unit=time_unit).plot(ax=ax, max_time=max_time)

    @renamed_parameters(colors="color")
    def plot(self, ax=None, *, max_time=None, show_censored=True, color=None):
        """Draw the curves, the confidence bands, the numbers at risk and the p-value.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        max_time : float, default=None
            Where the axis ends. None shows all times.
        show_censored : bool, default=True
            Whether to mark censored patients with ticks on the curve.
        color : list of matplotlib colors, default=None
            Colour of each group. None goes from blue for the lowest risk to red for the highest, or with more than
            three groups from dark blue to yellow.

        Returns
        -------
        display : RiskGroupDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 3.0 + 0.15 * len(self.groups)))
        self.figure_ = ax.figure
        colors = check_colors(_risk_colors(len(self.groups)) if color is None else color, len(self.groups))
        self.lines_ = [_draw_curve(ax, group, color, show_censored) for group, color in zip(self.groups, colors)]
        end = max(group.time.max() for group in self.groups) if max_time is None else max_time
        ax.set(
            xlim=(0, 1.02 * end),
            ylim=(0, 1.02),
            yticks=np.linspace(0, 1, 5),
            xlabel="Time" if self.time_unit is None else f"Time ({self.time_unit})",
            ylabel="Probability of no event",
        )
        title = f"Log-rank {format_p(self.p_value)}" if len(self.groups) > 1 else None
        legend_above(ax, title=title, alignment="left", title_fontsize="small")
        despine(ax)
        self.at_risk_ = _write_numbers_at_risk(ax, self.groups, colors, end)
        make_room(ax)
        return self


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
    return [cividis(x) for x in np.linspace(0, 0.9, n_groups)]


def _draw_curve(ax, group, color, show_censored):
    # A curve starts at probability 1 and has no step before the first estimate.
    times = np.concatenate([[0], group.step_times])
    survival = np.concatenate([[1], group.survival])
    lower, upper = (np.concatenate([[1], limit]) for limit in (group.lower, group.upper))
    label = f"{group.name} (n = {len(group.time)}, {np.count_nonzero(group.event)} events)"
    (line,) = ax.step(times, survival, where="post", color=color, linewidth=1.5, label=label)
    ax.fill_between(times, lower, upper, step="post", color=color, alpha=0.18, linewidth=0)
    if show_censored:
        censored = group.time[~group.event]
        at = survival[np.searchsorted(times, censored, side="right") - 1]
        ax.plot(censored, at, "|", color=color, markersize=4, markeredgewidth=0.7)
    return line


def _write_numbers_at_risk(ax, groups, colors, end):
    """Write the table below the axis and return its numbers."""
    ticks = [t for t in ax.get_xticks() if 0 <= t <= end]
    ax.set_xticks(ticks)  # axes of another size would choose others, without numbers below them
    numbers = np.array([group.at_risk(ticks) for group in groups])
    size = "small"
    below = 36  # points below the axis, clear of tick labels and axis label
    ax.annotate(
        "Number at risk",
        (0, 0),
        xycoords="axes fraction",
        xytext=(0, -below),
        textcoords="offset points",
        va="top",
        fontsize=size,
    )
    for row, (counts, color) in enumerate(zip(numbers, colors), start=1):
        for tick, count in zip(ticks, counts):
            ax.annotate(
                str(count),
                (tick, 0),
                xycoords=("data", "axes fraction"),
                xytext=(0, -below - LINE_HEIGHT * row),
                textcoords="offset points",
                ha="center",
                va="top",
                color=color,
                fontsize=size,
            )
    return numbers
