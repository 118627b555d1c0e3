"""Predicted survival probabilities against what came to pass."""

from numbers import Real
from textwrap import fill

import numpy as np
import pandas as pd
from sksurv.nonparametric import kaplan_meier_estimator

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..plotting._labels import n_small_letters
from ..plotting._plotting import BLUE, GREY, despine, import_pyplot, legend_above, make_axes, make_room
from ..predictions._ask import CURVES, check_model, predict_curves
from ..predictions._checks import check_curves, check_in_follow_up, check_probability, common_domain, curve_values
from ..statistics._kaplan_meier import limits_of_certainty
from ..utils._old_names import renamed_parameters
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import DEPTH, format_time
from ..utils._warnings import warn
from ._risk_groups import assign_groups

FEWEST = 20
"""Patients below which a group is too small to tell: with ten of twenty alive the interval is 0.27 to 0.69."""

ARGUMENTS = {
    "time": [Interval(Real, 0, None, closed="neither")],
    "n_groups": [DEPTH],
    "confidence_level": [Interval(Real, 0, 1, closed="neither")],
}


def survival_at(event, time, at, confidence_level=0.95):
    """Kaplan-Meier estimate of the survival probability at one time, with its log-log confidence limits.

    Of 0 and 1, which have none, they are exact ones of a proportion. NaN where the last patient leaves before that time
    without an event, which leaves the rest of the curve unknown.
    """
    step_times, survival, limits = kaplan_meier_estimator(event, time, conf_level=confidence_level, conf_type="log-log")
    step = np.searchsorted(step_times, at, side="right") - 1
    if at > step_times[-1] and survival[-1] > 0:
        return np.nan, np.nan, np.nan
    value = survival[step] if step >= 0 else 1.0
    if value not in (0, 1):
        return value, *limits[:, step]
    return value, *limits_of_certainty(value, event, time, at, confidence_level)


class CalibrationDisplay:
    """Predicted survival probability at one time against the observed one, in groups of patients.

    Whoever uses a survival curve to advise a patient needs more than the right order of patients: of those who were
    given 70 %, 70 % should survive. Patients are grouped by their predicted probability; each group's mean prediction
    is drawn against the Kaplan-Meier estimate in that group. On the diagonal the model is calibrated; points above it
    mean that patients survive more often than predicted. Create it with :meth:`from_estimator` or
    :meth:`from_predictions`, from patients that the model was not trained on.

    Parameters
    ----------
    table : DataFrame of shape (n_groups, 6)
        One row per group from the lowest prediction to the highest: mean "predicted" probability, "observed"
        probability with its limits "lower" and "upper", "n_patients", and "n_events" up to that time.
    time : float
        The time, in the unit of y.
    time_unit : str, default=None
        Unit of time for the axis labels. It is a word alone; nothing is converted.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    points_ : matplotlib ErrorbarContainer
        The groups with their confidence intervals.

    See Also
    --------
    RiskGroupDisplay : Whether groups of patients differ at all.
    sksurv.metrics.brier_score : One number for calibration and discrimination together.

    Notes
    -----
    Groups of fewer than twenty patients are drawn hollow, and a warning names them: their intervals are so wide that
    they can agree with nearly any prediction.

    Unlike risk scores, probabilities of different fold models have one scale, so that predictions for the test
    patients of all folds may be shown together with :meth:`from_predictions`.

    The curves of :class:`~sksurv_mmf.objectives.DiscreteHazard` with ``interpolation="step"`` are constant inside its
    bins, and too high there for it: ask for survival at an edge of a bin then.

    References
    ----------
    Harrell, F. E. "Regression Modeling Strategies", 2nd edition, Springer, 2015, section 20.7.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import CalibrationDisplay
    >>> cohort = make_multimodal_survival(n_patients=200, n_genes=5, n_informative_genes=5, n_tiles=5, random_state=0)
    >>> genes = cohort.X.drop(columns="wsi__tiles")
    >>> model = CoxPHSurvivalAnalysis().fit(genes[:100], cohort.y[:100])
    >>> display = CalibrationDisplay.from_estimator(
    ...     model, genes[100:], cohort.y[100:], time=24, n_groups=3, time_unit="months"
    ... )
    >>> display.table[["predicted", "observed"]].round(2)
           predicted  observed
    group
    1           0.35      0.39
    2           0.67      0.64
    3           0.89      0.88
    >>> plt.close(display.figure_)
    """

    def __init__(self, table, time, *, time_unit=None):
        self.table = table
        self.time = time
        self.time_unit = time_unit

    @classmethod
    @renamed_parameters(conf_level="confidence_level")
    @validate_params(ARGUMENTS, prefer_skip_nested_validation=True)
    def from_estimator(cls, estimator, X, y, *, time, n_groups=5, confidence_level=0.95, time_unit=None, ax=None):
        """Predict survival probabilities and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted survival estimator with ``predict_survival_function``, or a Pipeline or search of one.
        X : DataFrame or array-like
            Patients that the estimator was not trained on.
        y : structured array of shape (n_patients,) or DataFrame
            Their outcome, as made by `sksurv.util.Surv`.
        time : float
            When survival is asked for, in the unit of y. Survival curves have to reach that far.
        n_groups : int, default=5
            Number of groups of equal size; fewer if many predictions are equal.
        confidence_level : float, default=0.95
            Level of the confidence intervals (log-log transformed).
        time_unit : str, default=None
            Unit of time for the axis labels, such as "days". It is a word alone; nothing is converted.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : CalibrationDisplay
            The display, drawn.

        Raises
        ------
        AttributeError
            If the estimator predicts no survival functions.
        ValueError
            If a survival function ends before `time`, is no probability or rises, or if nobody in a group is followed
            up that long.
        """
        check_model(estimator, CURVES)
        curves = predict_curves(estimator, X)
        _, end = common_domain(curves)
        if time > end:
            raise ValueError(
                f"time={format_time(time)} is not within the survival functions, which end at {format_time(end)}. "
                "Choose a time in between."
            )
        # The grid is for curves that do not tell where they step.
        check_curves(curves, np.linspace(0, time, 9), getattr(X, "index", None))
        probability = curve_values(curves, time)[:, 0]
        return cls.from_predictions(
            align_outcome(y, X),
            probability,
            time=time,
            n_groups=n_groups,
            confidence_level=confidence_level,
            time_unit=time_unit,
            ax=ax,
        )

    @classmethod
    @renamed_parameters(conf_level="confidence_level")
    @validate_params(ARGUMENTS, prefer_skip_nested_validation=True)
    def from_predictions(
        cls, y, survival_probability, *, time, n_groups=5, confidence_level=0.95, time_unit=None, ax=None
    ):
        """Draw given probabilities.

        Parameters
        ----------
        y : structured array of shape (n_patients,) or DataFrame
            Outcome, as made by `sksurv.util.Surv`.
        survival_probability : array-like of shape (n_patients,)
            Predicted probability of no event up to `time`. A Series is matched by patient if y is a DataFrame; a
            structured array has no names, so that both have to be in one order.
        time : float
            When survival was asked for, in the unit of y.
        n_groups : int, default=5
            Number of groups of equal size; fewer if many predictions are equal.
        confidence_level : float, default=0.95
            Level of the confidence intervals (log-log transformed).
        time_unit : str, default=None
            Unit of time for the axis labels, such as "days". It is a word alone; nothing is converted.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the probabilities do not fit y or are none, if `time` is before the first event or after the last
            patient has left, or if nobody in a group is followed up that long.
        """
        import_pyplot()
        patients = survival_probability if isinstance(survival_probability, pd.Series) else None
        event, times = Outcome.of(align_outcome(y, patients))
        predicted = check_probability(
            survival_probability, len(times), "survival_probability", "values of survival functions"
        )
        check_in_follow_up("time", time, event, times)
        # Where many predictions are equal, quantiles coincide and groups are fewer than asked for.
        thresholds = np.unique(np.quantile(predicted, np.arange(1, n_groups) / n_groups))
        _, group = np.unique(assign_groups(predicted, thresholds), return_inverse=True)
        rows = []
        for g in range(group.max() + 1):
            inside = group == g
            observed = survival_at(event[inside], times[inside], time, confidence_level)
            n_events = np.count_nonzero(event[inside] & (times[inside] <= time))
            rows.append((predicted[inside].mean(), *observed, np.count_nonzero(inside), n_events))
        columns = ["predicted", "observed", "lower", "upper", "n_patients", "n_events"]
        table = pd.DataFrame(rows, columns=columns, index=pd.RangeIndex(1, len(rows) + 1, name="group"))
        _check_follow_up(table, time, times)
        _warn_of_small_groups(table["n_patients"])
        return cls(table, time, time_unit=time_unit).plot(ax=ax)

    def plot(self, ax=None, *, color=BLUE):
        """Draw the points, their confidence intervals and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        color : matplotlib color, default="#0072B2"
            Colour of the points.

        Returns
        -------
        display : CalibrationDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 3.8))
        self.figure_ = ax.figure
        predicted, observed, lower, upper = self.table[["predicted", "observed", "lower", "upper"]].to_numpy().T
        n_letters = max(16, n_small_letters(ax) - 5)  # the legend's marks take five
        ax.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1, label="Perfectly calibrated")
        self.points_ = ax.errorbar(
            predicted,
            observed,
            yerr=[observed - lower, upper - observed],
            fmt="o-",
            color=color,
            linewidth=1,
            markersize=4.5,
            capsize=2.5,
            label=fill(f"{len(self.table)} groups of {_span(self.table['n_patients'])} patients", n_letters),
        )
        small = self.table["n_patients"] < FEWEST
        if small.any():
            hollow = {"color": color, "markerfacecolor": ax.get_facecolor(), "markersize": 4.5, "zorder": 3}
            ax.plot(
                predicted[small], observed[small], "o", label=fill(f"fewer than {FEWEST} patients", n_letters), **hollow
            )
        at = format_time(self.time, self.time_unit)
        ax.set(
            xlim=(0, 1.02),
            ylim=(0, 1.02),
            xlabel=f"Predicted survival at {at}",
            ylabel=f"Observed survival at {at}",
            aspect="equal",
        )
        legend_above(ax)
        despine(ax)
        make_room(ax)
        return self


def _check_follow_up(table, time, times):
    unknown = table.index[table["observed"].isna()]
    if len(unknown):
        raise ValueError(
            f"Nobody of group {unknown[0]} of {len(table)} is followed up to time={format_time(time)}, so nothing can "
            "be observed there. Choose an earlier time or fewer groups; the last of all patients leaves at "
            f"{format_time(times.max())}."
        )


def _warn_of_small_groups(sizes):
    small = sizes[sizes < FEWEST]
    if len(small):
        enough = sizes.sum() // FEWEST
        way_out = f"Pass n_groups={enough} or less" if enough > 1 else "Judge calibration on more patients"
        warn(
            f"{len(small)} of {len(sizes)} groups have fewer than {FEWEST} patients, group {small.index[0]} has "
            f"{small.iloc[0]}: too few to tell whether their predictions are right. {way_out}."
        )


def _span(sizes):
    low, high = sizes.min(), sizes.max()
    return f"{low}" if low == high else f"{low} to {high}"
