"""Whether it is better to treat by a model than to treat all patients, or none."""

from numbers import Real

import numpy as np
import pandas as pd

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..plotting._plotting import GREY, PALETTE, despine, import_pyplot, make_axes, make_room
from ..predictions._ask import CURVES, check_model, predict_curves
from ..predictions._checks import (
    as_real_numbers,
    check_curves,
    check_in_follow_up,
    check_probability,
    common_domain,
    curve_values,
)
from ..statistics._net_benefit import net_benefits
from ..utils._identifiers import better_match
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import format_time, shorten, subject

THRESHOLDS = np.arange(1, 100) / 100
FEWEST_TREATED = 0.05  # share of patients; net benefits of fewer are noise
ALL, NONE = "Treat all", "Treat none"
HORIZON = {"horizon": [Interval(Real, 0, None, closed="neither")]}


@validate_params(HORIZON, prefer_skip_nested_validation=True)
def net_benefit(y, event_probability, horizon, thresholds=None):
    r"""Compute the net benefit of treating patients whose predicted probability of an event reaches a threshold.

    Use it to learn whether decisions by a model do more good than harm, which neither a C-index nor calibration tells.
    The threshold says how many patients one would treat in vain to treat one in need: with a threshold of 10 %, nine.

    Parameters
    ----------
    y : structured array of shape (n_patients,) or DataFrame
        Outcome, as made by `sksurv.util.Surv`; of patients whom no model has seen.
    event_probability : array-like of shape (n_patients,)
        Predicted probability of an event up to `horizon`: 1 minus the survival function there. Ones are the net benefit
        of treating all. A Series is brought into the order of y if that is a DataFrame.
    horizon : float
        Up to when events count, in the unit of y.
    thresholds : array-like of float, default=None
        Probabilities from which on a patient is treated, from 0 to below 1. None is 0.01, 0.02, ..., 0.99.

    Returns
    -------
    DataFrame of shape (n_thresholds, 3)
        Columns "threshold"; "net_benefit", in true positives per patient, NaN where none of the treated is followed up
        to the horizon; and "treated", the share of patients who are treated.

    Raises
    ------
    ValueError
        If a probability or a threshold is none, if sizes differ, if a Series and y name other patients, or if the
        horizon is before the first event or after the last patient has left.

    See Also
    --------
    DecisionCurveDisplay : Draws it.
    validate : Has it beside other measures, with intervals.

    Notes
    -----
    With threshold :math:`p_t`, net benefit is :math:`TP - FP\,p_t / (1 - p_t)` [1]_, where :math:`TP` and :math:`FP`
    are shares of all patients. Whether those who are censored before the horizon would have had the event is not known:
    of the share :math:`x` who is treated, :math:`TP = x\,(1 - S(t))` with Kaplan-Meier's estimate :math:`S(t)` among
    the treated, and :math:`FP = x\,S(t)` [2]_.

    References
    ----------
    .. [1] Vickers, A. J., Elkin, E. B. "Decision curve analysis: a novel method for evaluating prediction models."
           Medical Decision Making 26(6), 565-574 (2006).
    .. [2] Vickers, A. J., Cronin, A. M., Elkin, E. B., Gonen, M. "Extensions to decision curve analysis, a novel method
           for evaluating diagnostic tests, prediction models and molecular markers." BMC Medical Informatics and
           Decision Making 8, 53 (2008).

    Examples
    --------
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.evaluation import net_benefit
    >>> y = Surv.from_arrays([True, True, False, False], [1, 2, 5, 6])
    >>> net_benefit(y, [0.9, 0.4, 0.3, 0.1], horizon=4, thresholds=[0.2, 0.5])
       threshold  net_benefit  treated
    0        0.2       0.4375     0.75
    1        0.5       0.2500     0.25
    """
    return _net_benefit(y, event_probability, horizon, thresholds, "event_probability")


def _net_benefit(y, event_probability, horizon, thresholds, name):
    """The table of `net_benefit`, whose messages call the probabilities `name`."""
    event_probability = _in_order(event_probability, y, name)
    # A structured array and a Series go together by position; of other tables `align_outcome` knows what to say.
    is_named = isinstance(event_probability, pd.Series) and not isinstance(y, np.ndarray)
    event, time = Outcome.of(align_outcome(y, event_probability if is_named else None))
    probability = check_probability(event_probability, len(time), name, "1 minus survival functions")
    check_in_follow_up("horizon", horizon, event, time)
    thresholds = check_thresholds(thresholds)
    benefit, treated = net_benefits(np.ones((1, len(time))), event, time, probability, horizon, thresholds)
    return pd.DataFrame({"threshold": thresholds, "net_benefit": benefit[0], "treated": treated[0]})


def _in_order(probability, y, name):
    """A Series in the order of the patients of y, if y names them; what is no Series as it is."""
    if not isinstance(probability, pd.Series):
        return probability
    if isinstance(probability.index, pd.MultiIndex):
        levels = list(probability.index.names)
        raise ValueError(
            f"{name} has an index of the levels {shorten(levels)}, but a patient has one probability at one time. "
            "Choose the time of the horizon: 1 - table['survival'].xs(time, level=1), or droplevel(1) if there is one "
            "time only."
        )
    if not isinstance(y, pd.DataFrame) or probability.index.equals(y.index):
        return probability
    for what, index in ((name, probability.index), ("y", y.index)):
        twice = index[index.duplicated()].unique()
        if len(twice):
            raise ValueError(
                f"{subject(twice, 'Patient', 'has', 'have')} several rows in {what}. Keep one row per patient."
            )
    for one, other, index, among in ((name, "y", probability.index, y.index), ("y", name, y.index, probability.index)):
        lacking = index.difference(among, sort=False)
        if len(lacking):
            match = better_match(index, among)
            way_out = "Choose the same patients for both." if match is None else f"Compared {match}."
            raise ValueError(
                f"{subject(lacking, 'Patient', 'is', 'are')} in {one} but not in {other}, whose patients are "
                f"{shorten(among, 2)}. {way_out}"
            )
    return probability.loc[y.index]


def check_thresholds(thresholds):
    """Thresholds as an increasing array, once all are probabilities below 1."""
    thresholds = THRESHOLDS if thresholds is None else np.atleast_1d(as_real_numbers(thresholds, "thresholds is"))
    if thresholds.ndim != 1 or not len(thresholds) or not ((thresholds >= 0) & (thresholds < 1)).all():
        raise ValueError(f"thresholds must be a list of probabilities from 0 to below 1, got {thresholds!r:.80}.")
    return np.unique(thresholds)


class DecisionCurveDisplay:
    """Net benefit of treating by one or several models, of treating all and of treating none.

    A model is of use at those thresholds at which its curve is above both others. Only a range of thresholds that
    somebody might choose matters; the axis ends where every model treats less than a twentieth of the patients. Create
    it with :meth:`from_estimator` or :meth:`from_predictions`, from patients whom no model has seen.

    Parameters
    ----------
    table : DataFrame
        Columns "model", "threshold", "net_benefit", and "treated", the share of patients; perhaps limits of the net
        benefit "lower" and "upper", which are drawn as a band. "Treat all" and "Treat none" are models, too.
    horizon : float
        Up to when events count, in the unit of y.
    time_unit : str, default=None
        Unit of time for the axis label. It is a word alone; nothing is converted.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    lines_ : dict of str to matplotlib Line2D
        The curve of each model.

    See Also
    --------
    net_benefit : Computes the curves, and says how.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.evaluation import DecisionCurveDisplay
    >>> y = Surv.from_arrays([True, True, False, False], [1, 2, 5, 6])
    >>> display = DecisionCurveDisplay.from_predictions(y, {"Stage": [0.9, 0.4, 0.3, 0.1]}, horizon=4)
    >>> list(display.lines_)
    ['Stage', 'Treat all', 'Treat none']
    >>> plt.close(display.figure_)
    """

    def __init__(self, table, horizon, *, time_unit=None):
        self.table = table
        self.horizon = horizon
        self.time_unit = time_unit

    @classmethod
    @validate_params(HORIZON, prefer_skip_nested_validation=True)
    def from_estimator(cls, estimator, X, y, *, horizon, thresholds=None, time_unit=None, ax=None):
        """Predict probabilities and draw the curves.

        Parameters
        ----------
        estimator : estimator
            Fitted survival estimator with ``predict_survival_function``, or a Pipeline or search of one.
        X : DataFrame or array-like
            Patients that the estimator was not trained on.
        y : structured array of shape (n_patients,) or DataFrame
            Their outcome, as made by `sksurv.util.Surv`.
        horizon : float
            Up to when events count, in the unit of y. Survival curves have to reach that far.
        thresholds : array-like of float, default=None
            Probabilities from which on a patient is treated. None is 0.01, 0.02, ..., 0.99.
        time_unit : str, default=None
            Unit of time for the axis label.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : DecisionCurveDisplay
            The display, drawn.

        Raises
        ------
        AttributeError
            If the estimator predicts no survival functions.
        ValueError
            If a survival function ends before the horizon or is none, or as :func:`net_benefit` raises.
        """
        check_model(estimator, CURVES)
        curves = predict_curves(estimator, X)
        _, end = common_domain(curves)
        if horizon > end:
            raise ValueError(
                f"horizon={format_time(horizon)} is beyond the survival functions, which end at {format_time(end)}. "
                "Choose a time before, in the unit of time that the model was trained in."
            )
        check_curves(curves, [horizon], getattr(X, "index", None))
        probability = 1 - np.clip(curve_values(curves, horizon)[:, 0], 0, 1)
        probabilities = {type(estimator).__name__: probability}
        return cls.from_predictions(
            align_outcome(y, X), probabilities, horizon=horizon, thresholds=thresholds, time_unit=time_unit, ax=ax
        )

    @classmethod
    @validate_params(HORIZON, prefer_skip_nested_validation=True)
    def from_predictions(cls, y, event_probabilities, *, horizon, thresholds=None, time_unit=None, ax=None):
        """Draw the curves of given probabilities.

        Parameters
        ----------
        y : structured array of shape (n_patients,) or DataFrame
            Outcome, as made by `sksurv.util.Surv`.
        event_probabilities : dict of str to array-like of shape (n_patients,)
            Predicted probabilities of an event up to `horizon`, by model. A Series is brought into the order of y if
            that is a DataFrame.
        horizon : float
            Up to when events count, in the unit of y.
        thresholds : array-like of float, default=None
            Probabilities from which on a patient is treated. None is 0.01, 0.02, ..., 0.99.
        time_unit : str, default=None
            Unit of time for the axis label.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : DecisionCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As :func:`net_benefit` raises.
        """
        import_pyplot()
        if not isinstance(event_probabilities, dict) or not event_probabilities:
            raise ValueError("event_probabilities must be a dict of at least one model, such as {'Stage': [0.9, 0.4]}.")
        everybody = {ALL: np.ones(len(y)), NONE: np.zeros(len(y))}
        tables = [
            _net_benefit(y, probability, horizon, thresholds, f"event_probabilities[{name!r}]").assign(model=name)
            for name, probability in (event_probabilities | everybody).items()
        ]
        return cls(pd.concat(tables, ignore_index=True), horizon, time_unit=time_unit).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.

        Returns
        -------
        display : DecisionCurveDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 3.0))
        self.figure_ = ax.figure
        names = [name for name in self.table["model"].unique() if name not in (ALL, NONE)]
        styles = {name: {"color": PALETTE[i % len(PALETTE)], "linewidth": 1.5} for i, name in enumerate(names)}
        styles |= {ALL: {"color": GREY, "linewidth": 1, "linestyle": "--"}, NONE: {"color": "black", "linewidth": 1}}
        self.lines_ = {}
        for name, style in styles.items():
            one = self.table[self.table["model"] == name]
            (self.lines_[name],) = ax.plot(one["threshold"], one["net_benefit"], label=name, **style)
            if "lower" in one and name in names:
                limits = one["threshold"], one["lower"], one["upper"]
                ax.fill_between(*limits, color=style["color"], alpha=0.08, linewidth=0)
        at = format_time(self.horizon, self.time_unit)
        ax.set(ylim=self._limits(), xlim=(0, self._last_threshold()), ylabel="Net benefit")
        ax.set_xlabel(f"Threshold probability by {at}")
        ax.legend(frameon=False, fontsize="small", loc="upper right")
        despine(ax)
        make_room(ax)
        return self

    def _limits(self):
        """Down to the lowest of the models, but not further below zero than the top is above.

        A model that harms is seen to do so; how far treating all falls is of no interest.
        """
        of_models = ~self.table["model"].isin([ALL, NONE]) & (self.table["threshold"] <= self._last_threshold())
        top = 1.15 * max(self.table["net_benefit"].max(), 0)
        bottom = 1.15 * max(-self.table.loc[of_models, "net_benefit"].min(), 0)
        if top <= 0:  # nothing is of use, and nothing would be seen
            top = 0.25 * bottom or 0.01
            return -max(bottom, 0.25 * top), top
        return -min(max(bottom, 0.25 * top), top), top

    def _last_threshold(self):
        """The last threshold at which some model treats a number of patients that tells something."""
        of_models = ~self.table["model"].isin([ALL, NONE])
        acting = self.table.loc[of_models & (self.table["treated"] >= FEWEST_TREATED), "threshold"]
        return min(1.0, 1.05 * acting.max()) if len(acting) and acting.max() > 0 else 1.0
