"""Which features of a modality drive the risk, and whether the folds agree."""

from collections.abc import Mapping
from functools import partial
from numbers import Integral

import numpy as np
import pandas as pd

from ..model_selection._folds import CV_OR_PREFIT, look_at_folds, split
from ..outcome._align import align_outcome
from ..plotting._labels import label_legend, name_rows
from ..plotting._modality_colors import modality_colors
from ..plotting._plotting import GREY, despine, legend_above, make_axes, make_room
from ..predictions._ask import check_frame
from ..utils._modality_names import modality_of, without_modality
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import DEPTH
from ._integrated_gradients import attribute


@validate_params(
    {
        "cv": CV_OR_PREFIT,
        "groups": ["array-like", callable, None],
        "modality": [str, None],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "n_steps": [DEPTH],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def feature_importance(
    estimator,
    X,
    y=None,
    *,
    cv,
    groups=None,
    modality: str | None = None,
    top_k: int = 20,
    n_steps: int = 50,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> "FeatureImportance":
    """Rank the features of a numeric modality by integrated gradients on the test patients of each fold.

    Answers which genes a fused model reads. A list of genes from one fit is worth little: with other patients, another
    list comes out. This one tells in what share of the folds each gene was among the most important.

    Parameters
    ----------
    estimator : FusionSurvivalAnalysis, Pipeline or search
        The estimator, or a Pipeline or search of it. It is cloned and fitted in each fold, transformers included.
    X : DataFrame of shape (n_patients, n_columns)
        The cohort.
    y : structured array of shape (n_patients,) or DataFrame, default=None
        Outcome, as made by `sksurv.util.Surv`. Not needed with ``cv="prefit"``.
    cv : splitter, iterable of (train, test), int or "prefit"
        The folds; an int is the number of folds of :class:`~sksurv_mmf.model_selection.SurvivalKFold`. With "prefit"
        the estimator is fitted already, and X holds patients that it was not trained on; then there is no stability to
        speak of.
    groups : Series or array-like of shape (n_patients,), or callable, default=None
        Who stays on one side of each fold, as in :func:`~sksurv_mmf.model_selection.compare_models`. Not
        with "prefit".
    modality : str, default=None
        Name of the modality; not needed if there is one numeric modality only.
    top_k : int, default=20
        How many features of a fold count as its most important ones.
    n_steps : int, default=50
        Steps of the integral, see :func:`integrated_gradients`.
    n_jobs : int, default=None
        Number of folds at a time.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    importance : FeatureImportance
        Importances with their stability; its method `plot` draws them.

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`integrated_gradients`.

    See Also
    --------
    integrated_gradients : Attributions of the patients of one fitted model.
    modality_importance : What a whole modality is worth.

    Notes
    -----
    The importance of a feature in a fold is its mean absolute attribution over the test patients, as a share of that
    of all features, because risk scores of different models have different scales. A feature that the Pipeline did not
    select in a fold has importance 0 there; one that no fold selected is not listed.

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import feature_importance
    >>> from sksurv_mmf.model_selection import SurvivalKFold
    >>> cohort = make_multimodal_survival(n_patients=60, n_genes=20, n_tiles=5, random_state=0)
    >>> model = FusionSurvivalAnalysis(n_estimators=2, max_epochs=2, random_state=0)
    >>> importance = feature_importance(model, cohort.X, cohort.y, cv=SurvivalKFold(2), top_k=5)
    >>> importance.table.columns.tolist()
    ['importance', 'sd', 'direction', 'top_k', 'selected']
    """
    X = check_frame(X)
    y = None if y is None and isinstance(cv, str) else align_outcome(y, X)
    folds = split(cv, X, y, groups)
    look = partial(_attribute_fold, modality=modality, n_steps=n_steps)
    return FeatureImportance(look_at_folds(look, estimator, X, y, folds, n_jobs=n_jobs, verbose=verbose), top_k)


def _attribute_fold(fold, modality, n_steps):
    return attribute(fold.model, fold.X, modality, n_steps=n_steps)


def share(attributions):
    """Mean absolute attribution of each feature, as a share of all; zeros if the model ignores them all."""
    size = attributions.abs().mean()
    return size / size.sum() if size.sum() > 0 else size


def direction(values, attributions):
    """Correlation of each feature with its attribution over patients; 0 where one of them is constant."""
    values, attributions = values - values.mean(), attributions - attributions.mean()
    scale = np.sqrt((values**2).sum() * (attributions**2).sum())
    return (values * attributions).sum().div(scale.where(scale > 0)).fillna(0.0)


class FeatureImportance:
    """Importance of the features of a modality over folds; made by :func:`feature_importance`.

    Parameters
    ----------
    folds : list of (DataFrame, DataFrame)
        Of each fold the features of the test patients as the network saw them, and their attributions.
    top_k : int, default=20
        How many features of a fold count as its most important ones.

    Attributes
    ----------
    table : DataFrame of shape (n_features, 5)
        The most important feature first: mean "importance" over folds; its standard deviation "sd"; "direction", the
        mean correlation of the feature with its attribution, positive where more of it means a higher risk; "top_k",
        the share of folds in which it is among the `top_k` most important ones and not without any importance;
        "selected", the share of folds in which the network saw it.
    per_fold : DataFrame of shape (n_features, n_folds)
        Importance in each fold.
    attributions : DataFrame
        Attributions of all test patients, index levels "fold" and "patient"; 0 for features not selected in the fold.
    ax_ : matplotlib Axes
        Axes with the picture, after `plot`.
    figure_ : matplotlib Figure
        Figure that holds the axes, after `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.inspection import FeatureImportance
    >>> genes = pd.DataFrame({"TP53": [0.0, 1.0], "KRAS": [1.0, 0.0]}, index=["P1", "P2"])
    >>> FeatureImportance([(genes, genes * [3.0, -1.0])], top_k=1).table
          importance  sd  direction  top_k  selected
    TP53        0.75 NaN        1.0    1.0       1.0
    KRAS        0.25 NaN       -1.0    0.0       1.0
    """

    def __init__(self, folds, top_k=20):
        numbers = pd.RangeIndex(len(folds), name="fold")
        shares = [share(attributions) for _, attributions in folds]
        directions = [direction(*fold) for fold in folds]
        self.top_k = top_k
        per_fold = pd.concat(shares, axis=1, keys=numbers, names=["fold"])
        rank = per_fold.rank(ascending=False, method="first")
        table = pd.DataFrame(
            {
                "importance": per_fold.fillna(0).mean(axis=1),
                "sd": per_fold.fillna(0).std(axis=1),
                "direction": pd.concat(directions, axis=1).mean(axis=1),
                "top_k": ((rank <= top_k) & (per_fold > 0)).mean(axis=1),
                "selected": per_fold.notna().mean(axis=1),
            }
        )
        self.table = table.sort_values("importance", ascending=False, kind="stable")
        self.per_fold = per_fold.fillna(0).loc[self.table.index]
        every = pd.concat([attributions for _, attributions in folds], keys=numbers, names=["fold", "patient"])
        self.attributions = every.fillna(0)[self.table.index]

    @validate_params({"n_features": [Interval(Integral, 1, None, closed="left")]}, prefer_skip_nested_validation=True)
    def plot(self, ax=None, *, n_features=15, color=None):
        """Draw the most important features, with each fold as a dot.

        Bars are filled where more of a feature means a higher risk, and open where it means a lower one.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        n_features : int, default=15
            Number of features to draw.
        color : matplotlib color or dict of matplotlib colors, default=None
            Colour of the bars, or a dict by modality. None takes that of the modality, as
            :func:`~sksurv_mmf.plotting.modality_colors` has it, or grey where features are named without one.

        Returns
        -------
        importance : FeatureImportance
            Itself.
        """
        shown, n_folds = self.table.head(n_features), self.per_fold.shape[1]
        self.ax_ = ax = make_axes(ax, (3.5, 1.4 + 0.19 * len(shown)))
        self.figure_ = ax.figure
        rows = np.arange(len(shown))
        modalities = [modality_of(name) for name in shown.index]
        if color is None or isinstance(color, Mapping):
            color = {None: GREY, **(color or {})}
        colors = modality_colors(modalities, color)
        edges = [colors[name] for name in modalities]
        raises = (shown["direction"] >= 0).to_numpy()
        faces = [edge if is_raising else ax.get_facecolor() for edge, is_raising in zip(edges, raises)]
        ax.barh(rows, shown["importance"], color=faces, edgecolor=edges, height=0.65)
        dot = {"color": ax.title.get_color(), "markersize": 2.6, "markeredgewidth": 0}
        for fold in self.per_fold if n_folds > 1 else []:
            ax.plot(self.per_fold.loc[shown.index, fold], rows, "o", **dot)
        names = [without_modality(str(name)) for name in shown.index]
        in_top, dots, title = None, "", None
        if n_folds > 1:
            in_top = [f"  {count}/{n_folds}" for count in (shown["top_k"] * n_folds).round().astype(int)]
            dots, title = "; dots: folds", f"in k/{n_folds} folds among the first {self.top_k}"
        n_letters = name_rows(ax, names, f"Share of total importance (integrated gradients{dots})", in_top)
        ax.set(ylim=(len(shown) - 0.4, -0.6), xlim=(0, None))
        ax.tick_params(axis="y", length=0)
        despine(ax)
        _draw_legend(ax, edges[0], n_letters, title)
        make_room(ax)
        return self


def _draw_legend(ax, color, n_letters, title):
    from matplotlib.patches import Patch

    labels = ["raises risk", "lowers risk"]
    handles = [Patch(facecolor=face, edgecolor=color) for face in (color, ax.get_facecolor())]
    legend_above(ax, handles=handles, labels=labels, **label_legend(n_letters, labels, title))
