"""What each modality is worth to a model."""

from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..cohort._columns import columns_of
from ..cohort._join import make_nullable
from ..model_selection._folds import CV_OR_PREFIT, look_at_folds, split
from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..plotting._intervals import draw_interval
from ..plotting._labels import name_rows
from ..plotting._modality_colors import modality_colors
from ..plotting._plotting import GREY, despine, make_axes, make_room
from ..predictions._ask import check_frame, predict_risk
from ..statistics._pair_sums import event_rank, weighted_concordance
from ..statistics._paired_tests import mean_interval, paired_bootstrap, percentile_interval
from ..utils._frames import who_has
from ..utils._modality_names import prefixes
from ..utils._old_names import renamed_attribute, renamed_parameters
from ..utils._sklearn import Interval, StrOptions, validate_params
from ..utils._validation import RESAMPLES, shorten


@renamed_parameters(confidence="confidence_level")
@validate_params(
    {
        "cv": CV_OR_PREFIT,
        "groups": ["array-like", callable, None],
        "method": [StrOptions({"permute", "remove"})],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_bootstrap": [RESAMPLES],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def modality_importance(
    estimator,
    X,
    y,
    *,
    cv,
    groups=None,
    method: str = "permute",
    n_repeats: int = 10,
    confidence_level: float = 0.95,
    n_bootstrap: int = 2000,
    random_state=None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> "ModalityImportance":
    """Measure how far the C-index on test patients drops without each modality.

    Tells what a fitted model owes to a modality: an attention weight does not, because a network may look at what is of
    no use. It does not tell what a model trained without the modality would do, which may make up for it from others;
    compare models for that.

    Parameters
    ----------
    estimator : estimator
        Survival estimator that reads X, or a Pipeline or search of one. It is cloned and fitted in each fold.
    X : DataFrame of shape (n_patients, n_columns)
        The cohort, with columns named ``<modality>__<feature>``.
    y : structured array of shape (n_patients,) or DataFrame
        Outcome, as made by `sksurv.util.Surv`.
    cv : splitter, iterable of (train, test), int or "prefit"
        The folds; an int is the number of folds of :class:`~sksurv_mmf.model_selection.SurvivalKFold`. With "prefit"
        the estimator is fitted already, and X and y are patients that it was not trained on.
    groups : Series or array-like of shape (n_patients,), or callable, default=None
        Who stays on one side of each fold, as in :func:`~sksurv_mmf.model_selection.compare_models`. Not
        with "prefit".
    method : {"permute", "remove"}, default="permute"
        How test patients lose a modality. "permute" deals the blocks of those who have it anew among them, so that
        features of a modality stay together; works for any estimator. "remove" makes it missing; works for models that
        can do without a modality, such as :class:`~sksurv_mmf.FusionSurvivalAnalysis`.
    n_repeats : int, default=10
        Number of permutations, over which the drop is averaged. Removal is not random and happens once.
    confidence_level : float, default=0.95
        Level of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples for the interval with ``cv="prefit"``.
    random_state : int, RandomState instance or None, default=None
        Decides the permutations and resamples; a `random_state` of the estimator remains its own.
    n_jobs : int, default=None
        Number of folds at a time.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    importance : ModalityImportance
        Drop of the C-index with its interval; its method `plot` draws it.

    Raises
    ------
    ValueError
        If columns belong to no modality, if test patients cannot be compared, or if the estimator cannot do without
        a modality that is to be removed.

    See Also
    --------
    fusion_audit : What a fused model gains over the best single modality.
    sklearn.inspection.permutation_importance : The same for single columns.

    Notes
    -----
    Over folds, the interval is that of the mean with the standard error of [1]_, which allows for the overlap of
    training patients, and Student's t. Five folds give wide intervals; that is what they know. With "prefit" it comes
    from a bootstrap over patients and says nothing about what other training patients would have led to.

    A test patient who has no other modality cannot be predicted once it is removed. Such patients take no part in
    either C-index of that modality; `n_patients` tells how many do. A patient who lacks the modality anyway stays,
    and is predicted as before.

    Permutation breaks the bond between modalities and may make patients that do not exist; removal does not, but a
    modality whose absence was never seen in training (``modality_dropout=0`` and nobody lacks it) is then missed in a
    way that has little to do with its worth.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import modality_importance
    >>> cohort = make_multimodal_survival(n_patients=90, n_genes=10, n_tiles=5, image_effect=0, random_state=0)
    >>> X, y = cohort.X, cohort.y
    >>> model = FusionSurvivalAnalysis(max_epochs=5, random_state=0).fit(X[:60], y[:60])
    >>> importance = modality_importance(model, X[60:], y[60:], cv="prefit", random_state=0)
    >>> importance.table["drop"].idxmax()
    'rna'
    """
    X = check_frame(X)
    names = prefixes(X.columns)
    if not names:
        raise ValueError(
            f"X has no modalities: no column is named '<modality>__<feature>', but {shorten(X.columns, 3)}."
        )
    random_state = check_random_state(random_state)
    y = align_outcome(y, X)
    folds = split(cv, X, y, groups)
    blocks = {name: columns_of(X, name) for name in names}
    look = partial(_look, blocks=blocks, lose=LOSSES[method], n_repeats=n_repeats if method == "permute" else 1)
    # One for each fold, drawn beforehand, so that the number of jobs does not change results.
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(folds))
    results = look_at_folds(look, estimator, X, y, folds, seeds=seeds, n_jobs=n_jobs, verbose=verbose)
    table = _fold_table(results)
    if len(folds) > 1:
        ratio = np.mean([len(test) / len(train) for train, test in folds])
        drops = table.groupby("modality")["drop"]
        intervals = {name: mean_interval(values, ratio, confidence_level, (-1, 1)) for name, values in drops}
    else:
        # A single fold has no spread over folds, but its patients have.
        draws = {
            name: paired_bootstrap([loss.rows], [loss.drop], n_bootstrap, random_state)
            for name, loss in results[0].items()
        }
        intervals = {name: percentile_interval(one, confidence_level) for name, one in draws.items()}
    return ModalityImportance(table, intervals, method=method, confidence_level=confidence_level)


@dataclass(frozen=True)
class Loss:
    """What the loss of a modality does to the test patients of a fold.

    Attributes
    ----------
    rows : ndarray of int, shape (n_patients,)
        Positions of the patients who can be predicted without it.
    rank, event : ndarray of shape (n_patients,)
        Who can be compared with whom; see :func:`~sksurv_mmf.statistics._pair_sums.event_rank`.
    intact : ndarray of shape (n_patients,)
        Risks of the patients with the modality.
    without : list of ndarray of shape (n_patients,)
        Their risks without it, after each permutation.
    """

    rows: np.ndarray
    rank: np.ndarray
    event: np.ndarray
    intact: np.ndarray
    without: list

    def c_index(self, risks):
        """C-indices of risks, added up by their signs, as a function of how often each patient was drawn."""
        return weighted_concordance(self.rank, self.event.astype(float), risks)

    @property
    def drop(self):
        """Mean drop of the C-index; wanted is that of the mean C-index, not that of the mean risk."""
        # Signs are whole and divided by at the end, so that no drop is exactly 0.
        n = len(self.without)
        drops = self.c_index([(n, self.intact), *((-1, risk) for risk in self.without)])
        return lambda drawn: drops(drawn) / n


def _look(fold, seed, blocks, lose, n_repeats):
    """The `Loss` of each modality."""
    X = fold.X
    event, time = Outcome.of(fold.y)
    rng, risk = np.random.default_rng(seed), predict_risk(fold.model, X)
    losses = {}
    for name, columns in blocks.items():
        without = []
        for _ in range(n_repeats):
            rows, changed = lose(X, columns, rng)
            without.append(_predict_without(fold.model, changed, name))
        rank = event_rank(event[rows], time[rows])
        if not (rank[event[rows]] < rank.max()).any():
            raise ValueError(
                f"Of {len(rows)} test patients with {event[rows].sum()} events, no two can be compared: nobody is "
                "followed beyond the first event. Take fewer folds."
            )
        losses[name] = Loss(rows, rank, event[rows], risk[rows], without)
    return losses


def _predict_without(model, X, name):
    if len(X) == 0:
        raise ValueError(
            f"No test patient has another modality than {name!r}, so without it nothing is left to predict from. Use "
            "method='permute'."
        )
    try:
        return predict_risk(model, X)
    except ValueError as error:
        raise ValueError(f"The estimator cannot predict without modality {name!r}: {error}") from error


def permute(X, columns, rng):
    """Positions of all patients, and X with the columns of those who have them dealt anew among these."""
    has_it = np.flatnonzero(who_has(X, columns))
    order = np.arange(len(X))
    order[has_it] = rng.permutation(has_it)
    return np.arange(len(X)), _exchange(X, columns, X.iloc[order, columns].set_axis(X.index))


def remove(X, columns, rng=None):
    """Positions of the patients who have something else, and their X with the columns missing."""
    others = [i for i in range(X.shape[1]) if i not in set(columns)]
    rows = np.flatnonzero(who_has(X, others))
    X = X.iloc[rows]
    block = make_nullable(X.iloc[:, columns])
    # `where` gives each dtype its own missing value, NA to a bag.
    return rows, _exchange(X, columns, block.where(np.zeros(block.shape, dtype=bool)))


LOSSES = {"permute": permute, "remove": remove}


def _exchange(X, columns, block):
    """X with other values in some columns."""
    others = [i for i in range(X.shape[1]) if i not in set(columns)]
    # The inverse of the order in which the columns are put together.
    back = np.argsort([*others, *columns], kind="stable")
    return pd.concat([X.iloc[:, others], block], axis=1).iloc[:, back]


def _fold_table(results):
    rows = []
    for fold, losses in enumerate(results):
        for name, loss in losses.items():
            once = np.ones((1, len(loss.rows)))
            c_index, drop = loss.c_index([(1, loss.intact)])(once)[0], loss.drop(once)[0]
            rows.append((name, fold, len(loss.rows), c_index, c_index - drop, drop))
    return pd.DataFrame(rows, columns=["modality", "fold", "n_patients", "c_index", "c_index_without", "drop"])


class ModalityImportance:
    """Drop of the C-index without each modality; made by :func:`modality_importance`.

    Parameters
    ----------
    folds : DataFrame
        One row per modality and fold: columns "modality", "fold", "n_patients", "c_index", "c_index_without", "drop".
    intervals : dict of str to (float, float)
        Confidence interval of the mean drop of each modality.
    method : {"permute", "remove"}, default="permute"
        How patients lost the modality.
    confidence_level : float, default=0.95
        Level of the intervals.

    Attributes
    ----------
    table : DataFrame of shape (n_modalities, 6)
        The modality with the largest drop first: mean "drop" over folds, its interval "lower" and "upper", mean
        "c_index" and "c_index_without", and "n_patients", how many test patients of all folds took part.
    ax_ : matplotlib Axes
        Axes with the picture, after `plot`.
    figure_ : matplotlib Figure
        Figure that holds the axes, after `plot`.

    Examples
    --------
    >>> import pandas as pd
    >>> from sksurv_mmf.inspection import ModalityImportance
    >>> folds = pd.DataFrame({"modality": ["wsi", "rna"], "fold": 0, "n_patients": 90, "c_index": 0.7})
    >>> folds = folds.assign(c_index_without=[0.68, 0.55], drop=[0.02, 0.15])
    >>> ModalityImportance(folds, {"wsi": (-0.01, 0.05), "rna": (0.08, 0.22)}).table[["drop", "lower", "upper"]]
              drop  lower  upper
    modality
    rna       0.15   0.08   0.22
    wsi       0.02  -0.01   0.05
    """

    @renamed_parameters(confidence="confidence_level")
    def __init__(self, folds, intervals, *, method="permute", confidence_level=0.95):
        self.folds = folds
        self.intervals = intervals
        self.method = method
        self.confidence_level = confidence_level
        means = folds.groupby("modality", sort=False)[["drop", "c_index", "c_index_without"]].mean()
        limits = pd.DataFrame.from_dict(intervals, orient="index", columns=["lower", "upper"])
        table = means.join(limits).join(folds.groupby("modality")["n_patients"].sum())
        table = table[["drop", "lower", "upper", "c_index", "c_index_without", "n_patients"]]
        self.table = table.sort_values("drop", ascending=False, kind="stable")

    confidence = renamed_attribute("confidence", "confidence_level")

    def plot(self, ax=None, *, color=None):
        """Draw the mean drop with its interval, and each fold as a dot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        color : matplotlib color, list or dict of matplotlib colors, default=None
            One colour for all modalities, one for each in the order of `table`, or a dict by name. None takes those of
            :func:`~sksurv_mmf.plotting.modality_colors`, which are the same in every figure.

        Returns
        -------
        importance : ModalityImportance
            Itself.
        """
        names, n_folds = list(self.table.index), self.folds["fold"].nunique()
        colors = modality_colors(names, color)
        self.ax_ = ax = make_axes(ax, (3.5, 1.1 + 0.35 * len(names)))
        self.figure_ = ax.figure
        ax.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        for row, (name, drop, lower, upper) in enumerate(self.table[["drop", "lower", "upper"]].itertuples()):
            drops = self.folds.loc[self.folds["modality"] == name, "drop"]
            draw_interval(ax, row, drop, (lower, upper), drops, colors[name])
        done = {"permute": "shuffled", "remove": "removed"}[self.method]
        ci = f"{100 * self.confidence_level:g}% CI"
        explained = f"mean, {ci}; dots: folds" if n_folds > 1 else f"{ci} over patients"
        name_rows(ax, names, f"Drop in C-index, modality {done} ({explained})")
        ax.set_ylim(len(names) - 0.5, -0.5)
        despine(ax)
        make_room(ax)
        return self
