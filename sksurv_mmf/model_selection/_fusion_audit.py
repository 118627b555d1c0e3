"""What a fused model adds to its best single modality, and for whom."""

import textwrap
from numbers import Real

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..plotting._intervals import draw_interval
from ..plotting._labels import n_small_letters, shorten_middle
from ..plotting._modality_colors import modality_colors
from ..plotting._plotting import GREY, check_colors, despine, format_p, legend_above, make_axes, make_room
from ..statistics._pair_sums import event_rank, sums_of_each, weighted_concordance
from ..statistics._paired_tests import (
    bootstrap_p_value,
    corrected_resampled_t_test,
    mean_interval,
    paired_bootstrap,
    percentile_interval,
)
from ..utils._old_names import renamed_attribute, renamed_parameters
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import RESAMPLES, shorten

STRIP = 22  # letters that are as long as the strip of gains with all that is written around it is high


@renamed_parameters(confidence="confidence_level")
@validate_params(
    {
        "fused": [str],
        "singles": ["array-like", None],
        "n_bootstrap": [RESAMPLES],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def fusion_audit(
    comparison,
    fused: str,
    singles: list[str] | None = None,
    *,
    confidence_level: float = 0.95,
    n_bootstrap: int = 2000,
    random_state=None,
) -> "FusionAudit":
    """Ask whether a fused model is worth its trouble: against the best single modality, on the same folds.

    Parameters
    ----------
    comparison : ModelComparison
        Out-of-fold risks, from :func:`~sksurv_mmf.model_selection.compare_models`, of the fused model and of models of
        one modality each. Of the comparison its `risks`, `y`, `patients` and `folds` are used.
    fused : str
        Name of the fused model.
    singles : list of str, default=None
        Names of the models of one modality. None takes all the others.
    confidence_level : float, default=0.95
        Level of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples of the patients.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap.

    Returns
    -------
    audit : FusionAudit
        The gain, what of it survives the tests, and who is re-ranked; its method `plot` draws it.

    Raises
    ------
    TypeError
        If `comparison` is none.
    ValueError
        If a model is unknown or has no risks for a fold, or if the patients of a fold cannot be compared.

    See Also
    --------
    modality_importance : What a fitted model owes to each modality.

    Notes
    -----
    The best single model is the one with the highest mean C-index on these very folds. Its C-index is therefore
    optimistic, the more so the more singles there are, and the gain of the fused model pessimistic. The reverse holds
    if `fused` was picked as the best of several fused models: then the gain is optimistic, and no test mends that.

    The corrected resampled t-test [1]_ asks whether another training and test set would show a gain; the bootstrap,
    which takes the fitted models as given, whether other test patients would. Only risks of one fold are compared,
    because risks of different models have different scales.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.utils import Bunch
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import fusion_audit
    >>> cohort = make_multimodal_survival(n_patients=100, n_genes=20, n_tiles=5, random_state=0)
    >>> folds = [(np.delete(np.arange(100), test), test) for test in np.arange(100).reshape(4, 25)]
    >>> known = {"fused": cohort.risk, "wsi": cohort.image_risk, "rna": cohort.rna_risk}
    >>> risks = pd.concat(
    ...     pd.DataFrame({"model": m, "fold": k, "patient": cohort.X.index[test], "risk_score": risk.iloc[test]})
    ...     for m, risk in known.items()
    ...     for k, (_, test) in enumerate(folds)
    ... )
    >>> comparison = Bunch(risks=risks, y=cohort.y, patients=cohort.X.index, folds=folds)
    >>> audit = fusion_audit(comparison, "fused", random_state=0)
    >>> audit.single
    'rna'
    >>> audit.tests[["gain", "p_value", "surviving_gain"]].round(2)
                      gain  p_value  surviving_gain
    corrected t-test  0.06     0.37       0.0
    bootstrap         0.06     0.05       0.0
    """
    lacking = [name for name in ("risks", "y", "patients", "folds") if not hasattr(comparison, name)]
    if lacking:
        raise TypeError(
            f"comparison must be what compare_models returns, got an object of type {type(comparison).__name__}, which "
            f"lacks {shorten(lacking)}."
        )
    risks, folds, patients = comparison.risks, comparison.folds, comparison.patients
    names = list(risks["model"].unique())
    singles = [name for name in names if name != fused] if singles is None else list(singles)
    _check_models(names, fused, singles)
    event, time = Outcome.of(align_outcome(comparison.y, patients))
    ranks = [_event_rank(event[test], time[test], k) for k, (_, test) in enumerate(folds)]
    risk, c_index = {}, pd.DataFrame(index=pd.RangeIndex(len(folds), name="fold"))
    for name in [fused, *singles]:
        risk[name] = [_risk_of(risks, name, k, patients[test]) for k, (_, test) in enumerate(folds)]
        c_index[name] = [
            weighted_concordance(rank, event[test].astype(float), [(1, one)])(np.ones((1, len(test))))[0]
            for (_, test), rank, one in zip(folds, ranks, risk[name])
        ]
    best = c_index[singles].mean().idxmax()
    gains = [[(1, a), (-1, b)] for a, b in zip(risk[fused], risk[best])]
    draws = paired_bootstrap(
        [test for _, test in folds],
        [
            weighted_concordance(rank, event[test].astype(float), gain)
            for (_, test), rank, gain in zip(folds, ranks, gains)
        ],
        n_bootstrap,
        check_random_state(random_state),
    )
    ratio = np.mean([len(test) / len(train) for train, test in folds])
    tests = _tests(c_index[fused] - c_index[best], ratio, draws, confidence_level)
    reranked = _reranked(patients, event, time, folds, ranks, gains)
    return FusionAudit(fused, best, c_index, tests, reranked, confidence_level=confidence_level)


def _check_models(names, fused, singles):
    unknown = [name for name in [fused, *singles] if name not in names]
    if unknown:
        raise ValueError(f"The comparison has no risks of {shorten(unknown)}; its models are {shorten(names, 10)}.")
    if not singles:
        raise ValueError(f"The comparison has no model beside {fused!r}; add models of one modality each.")
    if fused in singles:
        raise ValueError(f"singles names {fused!r}, which is the fused model.")


def _event_rank(event, time, fold):
    rank = event_rank(event, time)
    if not (rank[event] < rank.max(initial=0)).any():
        raise ValueError(
            f"In fold {fold}, of {len(event)} test patients with {event.sum()} events, no two can be compared: nobody "
            "is followed beyond the first event. Take fewer folds."
        )
    return rank


def _risk_of(risks, model, fold, patients):
    chosen = risks[(risks["model"] == model) & (risks["fold"] == fold)].set_index("patient")["risk_score"]
    lacking = patients.difference(chosen.index)
    if len(lacking):
        raise ValueError(
            f"Model {model!r} has no risk for {len(lacking)} test patients of fold {fold}, for example {lacking[0]!r}. "
            "Did its fit fail? See the `fits` of the comparison."
        )
    return chosen.loc[patients].to_numpy(dtype=float)


def _tests(gains, ratio, draws, confidence_level):
    """One row per test: gain, interval, p-value, and what is left of the gain at the lower limit."""
    rows = {
        "corrected t-test": (
            *mean_interval(gains, ratio, confidence_level, (-1, 1)),
            corrected_resampled_t_test(gains, ratio)[1],
        ),
        "bootstrap": (*percentile_interval(draws, confidence_level), bootstrap_p_value(draws)),
    }
    tests = pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "upper", "p_value"])
    tests.insert(0, "gain", gains.mean())
    return tests.assign(surviving_gain=tests["lower"].clip(lower=0))


def _reranked(patients, event, time, folds, ranks, gains):
    """One row per patient, averaged over the repetitions of the cross-validation."""
    rows = []
    for (_, test), rank, gain in zip(folds, ranks, gains):
        (_, fused), (_, single) = gain
        won, n_pairs = sums_of_each(rank, event[test], gain)
        table = {
            "patient": patients[test],
            "event": event[test],
            "time": time[test],
            "rank_single": rankdata(single) / len(test),
            "rank_fused": rankdata(fused) / len(test),
            "won": won,
            "pairs": n_pairs,
        }
        rows.append(pd.DataFrame(table))
    groups = pd.concat(rows).groupby("patient", sort=False)
    table = groups[["event", "time"]].first().join(groups[["rank_single", "rank_fused"]].mean())
    table["change"] = table["rank_fused"] - table["rank_single"]
    sums = groups[["won", "pairs"]].sum()
    table["pairs_won"] = sums["won"] / sums["pairs"].where(sums["pairs"] > 0)
    return table.loc[table["change"].abs().sort_values(ascending=False, kind="stable").index]


class FusionAudit:
    """A fused model against the best single modality; made by :func:`fusion_audit`.

    Parameters
    ----------
    fused : str
        Name of the fused model.
    single : str
        Name of the best single model.
    c_index : DataFrame of shape (n_folds, n_models)
        C-index of the fused model and of all singles in each fold.
    tests : DataFrame of shape (2, 5)
        Rows "corrected t-test" and "bootstrap"; columns "gain" (mean difference of the C-indices), its interval "lower"
        and "upper", "p_value", and "surviving_gain": the gain that is left at the lower limit, 0 if none.
    reranked : DataFrame of shape (n_patients, 6)
        The patient whose rank changes most first: "event", "time", "rank_single" and "rank_fused" (rank of the risk
        among the test patients of the fold, as a share; 1 is the highest), their difference "change", and "pairs_won":
        of the comparable pairs with this patient the share that the fused model newly orders rightly, less the
        share that it newly orders wrongly.
    confidence_level : float, default=0.95
        Level of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture, after `plot`.
    figure_ : matplotlib Figure
        Figure that holds the axes, after `plot`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sksurv_mmf.inspection import FusionAudit
    >>> c_index = pd.DataFrame({"fused": [0.70, 0.72], "rna": [0.68, 0.70]})
    >>> tests = pd.DataFrame({"gain": 0.02, "lower": -0.03, "upper": 0.07, "p_value": 0.4}, index=["corrected t-test"])
    >>> ranks = {"event": [True, False], "rank_single": [0.5, 1.0], "rank_fused": [1.0, 0.5]}
    >>> audit = FusionAudit("fused", "rna", c_index, tests, pd.DataFrame(ranks)).plot()
    >>> audit.ax_.get_xlabel()
    'Rank of risk, rna (1: highest)'
    >>> plt.close(audit.figure_)
    """

    @renamed_parameters(confidence="confidence_level")
    def __init__(self, fused, single, c_index, tests, reranked, *, confidence_level=0.95):
        self.fused = fused
        self.single = single
        self.c_index = c_index
        self.tests = tests
        self.reranked = reranked
        self.confidence_level = confidence_level

    confidence = renamed_attribute("confidence", "confidence_level")

    @renamed_parameters(colors="color")
    def plot(self, ax=None, *, color=None):
        """Draw the gain with its interval, and below it the rank of each patient under both models.

        The gain has the colour that :func:`~sksurv_mmf.plotting.modality_colors` gives to the best single model, which
        is that of its modality if it is called so; dots are the gains of single folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure, 3.5 inches wide as a journal column.
        color : tuple of two matplotlib colors, default=None
            Colours of patients with an event and of censored ones. None takes the colour of text and a grey, because
            colours are those of modalities.

        Returns
        -------
        audit : FusionAudit
            Itself.
        """
        if color is not None:
            check_colors(color, 2)
        self.ax_ = ax = make_axes(ax, (3.5, 4.7))
        event_color, censored_color = (ax.title.get_color(), "0.6") if color is None else color
        self.figure_ = ax.figure
        n_letters = n_small_letters(ax)
        ax.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
        is_event = self.reranked["event"].astype(bool)
        for chosen, own, marker, label in (
            (is_event, event_color, "o", "event"),
            (~is_event, censored_color, "|", "censored"),
        ):
            shown = self.reranked[chosen]
            ax.plot(shown["rank_single"], shown["rank_fused"], marker, color=own, markersize=4, alpha=0.7, label=label)
        single, fused = (shorten_middle(name, max(n_letters // 2, 10)) for name in (self.single, self.fused))
        ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
        height = max(int(n_small_letters(ax, "height") - STRIP), 16)
        for write, name, room in ((ax.set_xlabel, single, n_letters), (ax.set_ylabel, fused, height)):
            write(textwrap.fill(f"Rank of risk, {name} (1: highest)", room), fontsize="small")
        despine(ax)
        legend_above(ax, ncols=2, handlelength=1)
        self._draw_gain(ax, single, n_letters)
        make_room(ax)
        return self

    def _draw_gain(self, ax, single, n_letters):
        """Draw a strip of gains above the axes and their legend, whose height is in points."""
        from matplotlib.transforms import ScaledTranslation

        up = ScaledTranslation(0, 42 / 72, ax.figure.dpi_scale_trans)
        strip = ax.inset_axes([0, 1, 1, 0.12], transform=ax.transAxes + up)
        singles = [name for name in self.c_index.columns if name != self.fused]
        gains = self.c_index[self.fused] - self.c_index[self.single]
        test = self.tests.loc["corrected t-test" if len(gains) > 1 else "bootstrap"]
        strip.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        draw_interval(strip, 0, test["gain"], test[["lower", "upper"]], gains, modality_colors(singles)[self.single])
        strip.set(ylim=(0.45, -0.3), yticks=[])
        strip.locator_params(axis="x", nbins=max(n_letters // 11, 2))
        strip.tick_params(axis="x", labelsize="small")
        strip.spines[["left", "top", "right"]].set_visible(False)
        strip.set_title(textwrap.fill(self._title(test, single), max(n_letters, 22)), fontsize="small", loc="left")

    def _title(self, test, single):
        gain, lower, upper = (f"{test[key]:.3f}".replace("-", "\N{MINUS SIGN}") for key in ("gain", "lower", "upper"))
        source = "dots: folds" if len(self.c_index) > 1 else "over patients"
        interval = f"{100 * self.confidence_level:g}% CI {lower} to {upper}"
        p_value = format_p(test["p_value"]).replace(" ", "\N{NO-BREAK SPACE}")
        return f"Gain in C-index over {single}: {gain} ({interval}, {p_value}; {source})"
