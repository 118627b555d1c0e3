"""Scores of several models in the folds of a cross-validation."""

from numbers import Real
from textwrap import fill

import numpy as np
import pandas as pd

from ..pages._cells import MINUS
from ..plotting._labels import label_legend, n_small_letters
from ..plotting._plotting import (
    BLUE,
    GREY,
    VERMILLION,
    check_colors,
    despine,
    import_pyplot,
    legend_above,
    make_axes,
    make_room,
    p_digits,
)
from ..statistics._paired_tests import (
    corrected_resampled_t_test,
    difference_limits,
    holm,
    mean_interval,
    score_interval,
)
from ..utils._old_names import renamed_parameters
from ..utils._sklearn import Interval, StrOptions, validate_params
from ..utils._validation import shorten

LABEL_WIDTH = 30  # characters of a line beside the axis
AXIS_LABEL_WIDTH = 46  # of a line below it
NBSP = "\N{NO-BREAK SPACE}"
TOP = -0.5  # rows above the first model
DOT = {"alpha": 0.65, "markersize": 3.5, "markeredgewidth": 0}
DIAMOND = {"markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.5}
DOTS_BELOW = 0.22  # rows between an interval and the dots of its folds, which it would hide


class ComparisonDisplay:
    """Score of every model in every fold, with mean and confidence interval; or differences to a reference.

    A dot is a fold, a diamond the mean over the folds, a bar its confidence interval, which takes into account that
    folds share training patients. The scores show how good the models are; since folds differ more than models do,
    overlapping bars do not mean that two models are alike. The differences to a reference, fold by fold, answer that;
    their p-values are those of the corrected resampled t-test, after Holm's correction for the number of models, which
    bars do not have: a bar may leave out zero beside a p-value of 0.1. Create it with :meth:`from_predictions` or
    :meth:`sksurv_mmf.model_selection.ModelComparison.plot`.

    Panels of one score that stand side by side are compared by eye only if their axes are alike: draw them on axes of
    ``plt.subplots(..., sharex=True)``. Zero is in the middle of an axis of differences.

    Parameters
    ----------
    values : DataFrame of shape (n_folds, n_models)
        Score, or difference to the reference, of each model in each fold; NaN where there is none.
    intervals : DataFrame
        One row per model with columns mean, lower, upper, and where differences are shown p_value and p_holm.
    label : str
        Label of the axis.
    reference : str, default=None
        Model to draw in another colour; of differences, the model that is subtracted.
    differences : bool, default=False
        Whether the values are differences.
    chance : float, default=None
        Value of a model that knows nothing, drawn as a dotted line.
    confidence_level : float, default=0.95
        Level of the intervals, for the legend.
    better : {"higher", "lower"}, default=None
        Which values of the score are good, for the label of differences.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    sksurv_mmf.model_selection.compare_models : Computes the scores.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sksurv_mmf.inspection import ComparisonDisplay
    >>> values = {"cox": [0.70, 0.64, 0.68], "forest": [0.66, 0.63, 0.61]}
    >>> scores = pd.DataFrame(values).rename_axis("fold").melt(var_name="model", ignore_index=False).reset_index()
    >>> display = ComparisonDisplay.from_predictions(scores, reference="cox", differences=True, test_ratio=0.5)
    >>> display.intervals.round(2)
            mean  lower  upper  p_value  p_holm
    forest -0.04  -0.16   0.08     0.28    0.28
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        values,
        intervals,
        label,
        *,
        reference=None,
        differences=False,
        chance=None,
        confidence_level=0.95,
        better=None,
    ):
        self.values = values
        self.intervals = intervals
        self.label = label
        self.reference = reference
        self.differences = differences
        self.chance = chance
        self.confidence_level = confidence_level
        self.better = better

    @classmethod
    @renamed_parameters(confidence="confidence_level")
    @validate_params(
        {
            "scores": [pd.DataFrame],
            "score": [str, None],
            "reference": [str, None],
            "test_ratio": [Interval(Real, 0, None, closed="left")],
            "confidence_level": [Interval(Real, 0, 1, closed="neither")],
            "limits": [tuple, list, None],
            "better": [StrOptions({"higher", "lower"}), None],
        },
        prefer_skip_nested_validation=True,
    )
    def from_predictions(
        cls,
        scores,
        *,
        score=None,
        reference=None,
        differences=False,
        test_ratio=0.25,
        confidence_level=0.95,
        label=None,
        chance=None,
        limits=None,
        better=None,
        ax=None,
    ):
        """Draw given scores of folds.

        Parameters
        ----------
        scores : DataFrame
            Columns model, fold and value, as in `ModelComparison.scores`; with several scores also the column score.
        score : str, default=None
            Score to draw. None needs a table of a single score.
        reference : str, default=None
            Model to draw in another colour.
        differences : bool, default=False
            Whether to draw differences to the reference, in the folds that both models have.
        test_ratio : float, default=0.25
            Number of test patients per training patient, for the interval: 0.25 with five folds, 1/9 with ten.
        confidence_level : float, default=0.95
            Level of the intervals.
        label : str, default=None
            Name of the score for the axis. None takes the name in the table.
        chance : float, default=None
            Value of a model that knows nothing, for a dotted line.
        limits : tuple of (float, float), default=None
            Between which values the score lies. Where both are finite intervals are on the logit scale, otherwise they
            are cut off; those of differences follow from it. None is (0, 1) if all values lie there, as those of a
            C-index do, and no limits otherwise. A Brier score has (0, inf), as :class:`ModelComparison` knows.
        better : {"higher", "lower"}, default=None
            Which values of the score are good, which the label of an axis of differences then says. None says nothing.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : ComparisonDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the table lacks a column, the score or the reference, if a model has two values in a fold, or if there is
            nothing to draw.
        """
        import_pyplot()
        scores, score = _one_score(scores, score)
        values = scores.pivot(index="fold", columns="model", values="value")[scores["model"].unique()]
        if reference is not None and reference not in values:
            raise ValueError(f"reference={reference!r} is none of the models: {shorten(values.columns, 10)}.")
        if differences and reference is None:
            raise ValueError("Differences need a reference; pass the name of a model.")
        limits = _check_limits(limits, values)
        if differences:
            values, limits = values.drop(columns=reference).sub(values[reference], axis=0), difference_limits(limits)
        if values.isna().all(axis=None):
            both = f" beside one of the reference {reference!r}" if differences else ""
            reasons = [reason for reason in scores.get("reason", []) if reason]
            why = f": {reasons[0].rstrip('.')}" if reasons else ""
            raise ValueError(f"There is nothing to draw: no model has a value{both} in any fold{why}.")
        intervals = pd.DataFrame(
            {name: _interval(one, test_ratio, confidence_level, limits, differences) for name, one in values.items()}
        ).T
        if differences:
            intervals["p_holm"] = holm(intervals["p_value"])
        return cls(
            values,
            intervals,
            label or score,
            reference=reference,
            differences=differences,
            chance=0 if differences else chance,
            confidence_level=confidence_level,
            better=better,
        ).plot(ax=ax)

    @renamed_parameters(colors="color")
    def plot(self, ax=None, *, color=None):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        color : tuple of two matplotlib colors, default=None
            Colour of the models and of the reference. None uses blue and vermillion.

        Returns
        -------
        display : ComparisonDisplay
            This display.
        """
        n_folds, n_models = self.values.shape
        names = [fill(name, LABEL_WIDTH) for name in self.values]
        n_lines = max(2, *(1 + name.count("\n") for name in names))
        self.ax_ = ax = make_axes(ax, (3.5, 1.1 + 0.16 * n_lines * n_models))
        self.figure_ = ax.figure
        plain, marked = check_colors((BLUE, VERMILLION) if color is None else color, 2)
        if self.chance is not None:
            ax.axvline(self.chance, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        labels = []
        for row, (name, values) in enumerate(self.values.items()):
            values = values.dropna()
            _draw_model(ax, row, values, self.intervals.loc[name], marked if name == self.reference else plain)
            some = f"\n({len(values)} of {n_folds} folds)" if 0 < len(values) < n_folds else ""
            labels.append(names[row] + some)
        ax.set_yticks(range(n_models), labels, fontsize="small")
        ax.set_ylim(n_models - 0.4, TOP)
        # Below the names there is room; to the right a layout engine lets a long label run out of the figure.
        ax.set_xlabel(fill(self._axis_label(), AXIS_LABEL_WIDTH), fontsize="small", loc="right")
        ax.tick_params(axis="x", labelsize="small")
        ax.tick_params(axis="y", length=0)
        if self.differences:
            _center_zero(ax)
            _write_p_values(ax, self.intervals["p_holm"])
        low, high = ax.get_xlim()
        ax.locator_params(axis="x", nbins=3 if high - low < 0.05 else 4)  # numbers with three decimals are long
        self._explain(ax, plain, marked)
        despine(ax)
        make_room(ax)
        return self

    def _explain(self, ax, plain, marked):
        """Legend of the signs."""
        mean = f"mean, {100 * self.confidence_level:g}% interval" if self.intervals["lower"].notna().any() else "mean"
        keys = [
            ax.plot([], [], "D-", color=plain, label=mean, **DIAMOND)[0],
            ax.plot([], [], "o", color=plain, label="one fold", **DOT)[0],
        ]
        if self.reference in self.values:
            keys.append(ax.plot([], [], "D-", color=marked, label="the reference", **DIAMOND)[0])
        # The legend begins above the names, which take about a quarter of what the axes have.
        labels = [key.get_label() for key in keys]
        legend_above(ax, handles=keys, right=True, **label_legend(int(1.25 * n_small_letters(ax)), labels))

    def _axis_label(self):
        if not self.differences:
            return self.label
        label = f"Difference in {self.label} to {self.reference}"
        if self.better is None:
            return label
        side = {"higher": "(right is better)", "lower": "(left is better)"}[self.better]
        return f"{label} {side.replace(' ', NBSP)}"  # in one line, whatever is broken


def _one_score(scores, score):
    """Rows of a single score, and its name."""
    lacking = {"model", "fold", "value"} - set(scores.columns)
    if lacking:
        raise ValueError(f"scores lacks the columns {shorten(sorted(lacking))}; it has {shorten(scores.columns, 10)}.")
    if "score" in scores:
        names = scores["score"].unique()
        if score is None and len(names) > 1:
            raise ValueError(f"scores has several scores; pass score=, one of {shorten(names, 20)}.")
        if score is not None and score not in names:
            raise ValueError(f"score={score!r} is not in scores, which has {shorten(names, 20)}.")
        score = names[0] if score is None else score
        scores = scores[scores["score"] == score]
    if not pd.api.types.is_numeric_dtype(scores["value"]):
        raise ValueError(f"The column 'value' of scores must hold numbers, but has dtype {scores['value'].dtype}.")
    twice = scores.duplicated(["model", "fold"])
    if twice.any():
        model, fold = scores.loc[twice, ["model", "fold"]].iloc[0]
        raise ValueError(f"Model {model!r} has more than one value in fold {fold}.")
    return scores, score or "Score"


def _check_limits(limits, values):
    """The limits of a score, after checking that all values lie between them."""
    if limits is None:
        return (0, 1) if values.min(axis=None) >= 0 and values.max(axis=None) <= 1 else (-np.inf, np.inf)
    if len(limits) != 2 or not all(isinstance(one, Real) for one in limits) or not limits[0] < limits[1]:
        raise ValueError(f"limits must be two numbers, the lower one first, got {limits!r}.")
    outside = values.to_numpy()[(values < limits[0]) | (values > limits[1])]
    if len(outside):
        raise ValueError(f"limits={limits!r}, but {len(outside)} values lie beyond, for example {outside[0]:g}.")
    return limits


def _interval(values, test_ratio, confidence_level, limits, differences):
    values = values.dropna()
    interval = mean_interval if differences else score_interval
    lower, upper = interval(values, test_ratio, confidence_level, limits)
    found = {"mean": values.mean(), "lower": lower, "upper": upper}
    return found | {"p_value": corrected_resampled_t_test(values, test_ratio)[1]} if differences else found


def _draw_model(ax, row, values, interval, color):
    if values.empty:
        at = ("axes fraction", "data")
        ax.annotate("no value", (0.02, row), xycoords=at, va="center", color=GREY, fontsize="small")
        return
    ax.plot(values, np.full(len(values), row + DOTS_BELOW), "o", color=color, **DOT)
    ax.plot([interval["lower"], interval["upper"]], [row, row], color=color, linewidth=1.3, solid_capstyle="butt")
    ax.plot(interval["mean"], row, "D", color=color, **DIAMOND)


def _center_zero(ax):
    """As much room for gains as for losses, so that neither looks larger."""
    # Limits of axes that are shared do not follow the data of later panels any more.
    reach = np.abs([*ax.get_xlim(), *(1.05 * ax.dataLim.intervalx)]).max()
    ax.set_xlim(-reach, reach)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", MINUS))  # three long numbers would touch


def _write_p_values(ax, p_values):
    at = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
    known = [(row, p) for row, p in enumerate(p_values) if not np.isnan(p)]
    for row, p in known:
        ax.annotate(p_digits(p), (1.02, row), **at)
    if known:
        ax.annotate("p (Holm)", (1.02, TOP), color=GREY, **at)
