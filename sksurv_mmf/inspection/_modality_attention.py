"""How much each modality weighs in the predictions of a cohort."""

import numpy as np
import pandas as pd

from ..plotting._plotting import PALETTE, check_colors, import_pyplot, legend_above, make_axes, make_room
from ..predictions._ask import check_model, predict_risk, unwrap
from ..predictions._checks import as_real_numbers
from ..utils._old_names import renamed_parameters


class ModalityAttentionDisplay:
    """Weight of each modality from the patient with the lowest risk to the one with the highest.

    Each bar is divided by the weights of the modalities: one bar per patient, or the mean of neighbouring patients if
    there are many. Shows which modality predictions rest on and whether that changes with risk. The bar of a single
    patient lacks the colour of a modality that the patient lacks. The legend gives mean weights over the patients who
    have all modalities. Create it with :meth:`from_estimator` or :meth:`from_predictions`.

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
            If weights are negative or do not sum to one per patient, or if risk has another length.
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
    def plot(self, ax=None, *, max_bars=60, color=None):
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        max_bars : int, default=60
            Most bars to draw; thinner ones cannot be told apart in a journal column. With more patients, each bar is
            the mean of as many neighbours as needed.
        color : list of matplotlib colors, default=None
            Colour of each modality. None uses the palette of Okabe and Ito.

        Returns
        -------
        display : ModalityAttentionDisplay
            This display.
        """
        self.ax_ = ax = make_axes(ax, (3.5, 2.5))
        self.figure_ = ax.figure
        n_patients, n_modalities = self.attention.shape
        colors = check_colors(PALETTE if color is None else color, n_modalities)
        edges = np.linspace(0, n_patients, min(n_patients, max_bars) + 1).round().astype(int)
        totals = np.add.reduceat(self.attention.to_numpy(dtype=float), edges[:-1])
        tops = np.cumsum(totals / np.diff(edges)[:, None], axis=1)
        bottoms = np.column_stack([np.zeros(len(tops)), tops[:, :-1]])
        self.bars_ = [
            ax.stairs(tops[:, m], edges, baseline=bottoms[:, m], fill=True, color=color, label=label, linewidth=0)
            for m, (label, color) in enumerate(zip(self._labels(), colors))
        ]
        by = "by weight of " + str(self.attention.columns[0]) if self.risk is None else "from low to high risk"
        ax.set(xlim=(0, n_patients), ylim=(0, 1), xlabel=f"Patient, {by}", ylabel="Weight of modality")
        legend_above(ax, ncols=2, handlelength=1, columnspacing=1)
        make_room(ax)
        return self

    def _labels(self):
        """Name of each modality and its mean weight in the patients who have all; a lone modality always weighs 1."""
        complete = self.attention[(self.attention > 0).all(axis=1)]
        if complete.empty:
            return list(self.attention.columns)
        return [f"{name} (mean {mean:.2f})" for name, mean in complete.mean().items()]


def _check_weights(attention):
    if not isinstance(attention, pd.DataFrame):
        raise TypeError(
            f"attention must be a DataFrame of patients x modalities, got {type(attention).__name__}. "
            "FusionSurvivalAnalysis.modality_attention returns one."
        )
    values = attention.to_numpy(dtype=float)
    wrong = ~((values >= 0).all(axis=1) & np.isclose(values.sum(axis=1), 1, atol=1e-3))
    if wrong.any():
        row = wrong.argmax()
        raise ValueError(
            f"The weights of patient {attention.index[row]!r} are {values[row].round(3).tolist()}, but parts of one "
            "are expected. Use a fusion that normalises its weights, such as CrossModalAttention(normalize=True)."
        )
