"""How much each modality weighs in the predictions of a cohort."""

from numbers import Integral

import numpy as np
import pandas as pd

from ..plotting._labels import label_below, label_legend, n_small_letters, shorten_apart
from ..plotting._modality_colors import modality_colors
from ..plotting._plotting import import_pyplot, legend_above, make_axes, make_room
from ..predictions._ask import check_model, predict_risk, unwrap
from ..predictions._checks import as_real_numbers
from ..utils._old_names import renamed_parameters
from ..utils._sklearn import Interval, validate_params

# Above the bars, in units of weights: free space, and the height of the row of a modality that some patients lack.
GAP, ROW = 0.05, 0.09
MISSING_LABEL = 5  # letters by which the label of these rows is wider than the numbers of the axis


class ModalityAttentionDisplay:
    """Weight of each modality from the patient with the lowest risk to the one with the highest.

    Each bar is divided by the weights of the modalities: one bar per patient, or the mean of neighbouring patients if
    there are many; the label of the axis tells of how many. Shows which modality predictions rest on and whether that
    changes with risk. Where a patient lacks a modality, which then weighs nothing and leaves its weight to the others,
    a mark in its colour stands above the bars, as high as the share of the bar's patients who lack it. A weight that is
    exactly 0 counts as a missing modality. The legend gives mean weights over the patients who have all modalities.
    Create it with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    attention : DataFrame of shape (n_patients, n_modalities)
        Weights in the order in which patients are drawn; rows sum to one.
    risk : Series of shape (n_patients,), default=None
        Risk by which the patients are ordered.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    bars_ : list of matplotlib StepPatch
        The bars of each modality.

    See Also
    --------
    sksurv_mmf.FusionSurvivalAnalysis.modality_attention : Computes the weights.

    Notes
    -----
    A weight tells how much of a modality's vector enters the fused vector. It does not tell whether the modality
    improves the predictions; for that, compare models with and without it.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sksurv_mmf.inspection import ModalityAttentionDisplay
    >>> weights = pd.DataFrame({"wsi": [0.2, 0.7, 0.0], "rna": [0.8, 0.3, 1.0]}, index=["P1", "P2", "P3"])
    >>> display = ModalityAttentionDisplay.from_predictions(weights, risk=[0.5, 0.1, 0.9])
    >>> display.attention.index.tolist()
    ['P2', 'P1', 'P3']
    >>> plt.close(display.figure_)
    """

    def __init__(self, attention, risk=None):
        self.attention = attention
        self.risk = risk

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None):
        """Compute weights and risks, and draw them.

        Parameters
        ----------
        estimator : FusionSurvivalAnalysis, Pipeline or search
            Fitted estimator whose fusion weighs modalities, or a Pipeline or search of one.
        X : DataFrame
            Patients.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : ModalityAttentionDisplay
            The display, drawn.
        """
        check_model(estimator)
        model, X = unwrap(estimator, X, "modality_attention")
        return cls.from_predictions(model.modality_attention(X), predict_risk(model, X), ax=ax)

    @classmethod
    def from_predictions(cls, attention, risk=None, *, ax=None):
        """Draw given weights.

        Parameters
        ----------
        attention : DataFrame of shape (n_patients, n_modalities)
            Weights as `modality_attention` returns them.
        risk : array-like of shape (n_patients,), default=None
            Risk to order the patients by. None orders them by the weight of the first modality.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        display : ModalityAttentionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are no weights, if they are negative or do not sum to one per patient, or if risk has another
            length.
        """
        import_pyplot()
        _check_weights(attention)
        key = attention.iloc[:, 0] if risk is None else as_real_numbers(risk, "risk is")
        if key.shape != (len(attention),):
            size = f"{len(key)} values" if key.ndim == 1 else f"shape {key.shape}"
            raise ValueError(f"risk has {size}, but attention has {len(attention)} patients.")
        if np.isnan(key).any():
            raise ValueError(f"risk of {np.count_nonzero(np.isnan(key))} patients is NaN. Leave them out.")
        order = np.argsort(key, kind="stable")
        ordered = attention.iloc[order]
        return cls(ordered, None if risk is None else pd.Series(key[order], index=ordered.index)).plot(ax=ax)

    @renamed_parameters(colors="color")
    @validate_params({"max_bars": [Interval(Integral, 1, None, closed="left")]}, prefer_skip_nested_validation=True)
    def plot(self, ax=None, *, max_bars=60, color=None):
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        max_bars : int, default=60
            Most bars to draw; thinner ones cannot be told apart in a journal column. With more patients, each bar is
            the mean of as many neighbours as needed.
        color : list or dict of matplotlib colors, default=None
            Colour of each modality, or of some by name. None takes those of
            :func:`~sksurv_mmf.plotting.modality_colors`, which are the same in every figure.

        Returns
        -------
        display : ModalityAttentionDisplay
            This display.
        """
        names, n_patients = list(self.attention.columns), len(self.attention)
        colors = modality_colors(names, color)
        lacks = self.attention == 0
        rows = [name for name in names if lacks[name].any()]
        self.ax_ = ax = make_axes(ax, (3.5, 2.5 + 0.15 * (len(rows) + len(names) // 2)))
        self.figure_ = ax.figure
        top = max(_shared_top(ax), 1 + (GAP + ROW * len(rows) if rows else 0))
        n_letters = n_small_letters(ax) - (MISSING_LABEL if rows else 0)
        labels, title = self._labels(lacks.any(axis=1), max(int(0.45 * n_letters), 8))
        edges = np.linspace(0, n_patients, min(n_patients, max_bars) + 1).round().astype(int)
        self.bars_ = self._draw_bars(ax, edges, colors.values(), labels)
        for row, name in enumerate(rows):
            _mark(ax, lacks[name].to_numpy(), edges, 1 + GAP + ROW * row, colors[name])
        by = f"by weight of {names[0]}" if self.risk is None else "from low to high risk"
        ax.set(xlim=(0, n_patients), ylim=(0, top), ylabel="Weight of modality")
        ax.locator_params(axis="x", integer=True)
        label_below(ax, f"Patient, {by}{_said_of_means(np.diff(edges))}", n_letters)
        if top > 1:
            ax.set_yticks([0, 0.5, 1, (1 + GAP + top) / 2], ["0.0", "0.5", "1.0", "missing"])
        legend_above(ax, **label_legend(n_letters, labels, title))
        make_room(ax)
        return self

    def _draw_bars(self, ax, edges, colors, labels):
        """One stack of steps per modality, each the mean of the patients between two edges."""
        totals = np.add.reduceat(self.attention.to_numpy(dtype=float), edges[:-1])
        tops = np.cumsum(totals / np.diff(edges)[:, None], axis=1)
        bottoms = np.column_stack([np.zeros(len(tops)), tops[:, :-1]])
        return [
            ax.stairs(tops[:, m], edges, baseline=bottoms[:, m], fill=True, color=color, label=label, linewidth=0)
            for m, (label, color) in enumerate(zip(labels, colors))
        ]

    def _labels(self, lacks_any, n_letters):
        """Name of each modality and its mean weight in the patients who have all; a lone modality always weighs 1."""
        names, complete = shorten_apart(self.attention.columns, n_letters), self.attention[~lacks_any]
        if complete.empty:
            return names, None
        whose = f" ({len(complete)} patients with all)" if lacks_any.any() else ""
        return [f"{name} {mean:.2f}" for name, mean in zip(names, complete.mean())], f"Mean weight{whose}"


def _shared_top(ax):
    """Upper end of an axis that is shared with axes which have marks already; otherwise that of the weights."""
    is_shared = len(ax.get_shared_y_axes().get_siblings(ax)) > 1
    return ax.get_ylim()[1] if is_shared else 1


def _mark(ax, lacks, edges, bottom, color):
    """Mark who lacks a modality in a row above the bars, by the share of each bar; an edge would widen patients."""
    share = np.add.reduceat(lacks.astype(float), edges[:-1]) / np.diff(edges)
    ax.stairs(bottom + 0.8 * ROW * share, edges, baseline=bottom, fill=True, color=color, linewidth=0)


def _said_of_means(sizes):
    """What the label of the axis adds where a bar stands for several patients."""
    if sizes.max() == 1:
        return ""
    return f" (each bar: mean of {' or '.join(map(str, np.unique(sizes)))} patients)"


def _check_weights(attention):
    if not isinstance(attention, pd.DataFrame):
        raise TypeError(
            f"attention must be a DataFrame of patients x modalities, got {type(attention).__name__}. "
            "FusionSurvivalAnalysis.modality_attention returns one."
        )
    if attention.empty:
        raise ValueError(
            f"attention has shape {attention.shape}, but a row per patient and a column per modality are expected, at "
            "least one of each. A selection of patients may have left nobody."
        )
    values = attention.to_numpy(dtype=float)
    wrong = ~((values >= 0).all(axis=1) & np.isclose(values.sum(axis=1), 1, atol=1e-3))
    if wrong.any():
        row = wrong.argmax()
        raise ValueError(
            f"The weights of patient {attention.index[row]!r} are {values[row].round(3).tolist()}, but parts of one "
            "are expected. Use a fusion that normalises its weights, such as CrossModalAttention(normalize=True)."
        )
