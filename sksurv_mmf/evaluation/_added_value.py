"""What a model adds to what is known without it."""

from functools import partial
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..model_selection._comparison import ModelComparison
from ..model_selection._survival_scores import Score, choose_scores
from ..outcome._outcome import Outcome
from ..pages._page import write_page
from ..pages._parts import Figure, Section, Table, Text
from ..plotting._plotting import format_p
from ..predictions._checks import as_real_numbers
from ..predictions._fold_outcome import ScoreDoesNotExist
from ..statistics._cox import fit_cox, likelihood_ratio_test
from ..statistics._kaplan_meier import event_probability
from ..statistics._net_benefit import net_benefits
from ..statistics._proportional_hazards import coefficient_over_time, proportional_hazards_tests
from ..statistics._repetitions import combined_p_value, level_of_each
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import RESAMPLES, format_time, shorten
from ._added_value_display import draw_added_value
from ._added_value_tables import differences_table, subgroups_table, tests_table
from ._decision_curve import check_thresholds
from ._out_of_fold import repetitions
from ._subgroups import read_subgroups, subgroup_table

FEWEST_EVENTS_OF_CURVE = 20
"""Events below which no curve over time is drawn: five for each of its four coefficients."""

N_TIMES = 50
ESTIMATES = ["coef", "lower", "upper"]
TESTS = ["test", "risk", "beside", "chi2", "df", "p", "coef", "hazard_ratio", "lower", "upper"]
PAIR = ["difference", "better", "n_folds", "t_lower", "t_upper", "t_p", "boot_lower", "boot_upper", "boot_p"]


@validate_params(
    {
        "comparison": [ModelComparison],
        "reference": [str],
        "model": [str, None],
        "horizons": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "thresholds": ["array-like", Interval(Real, 0, 1, closed="left"), None],
        "cutoffs": [dict, None],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "n_bootstrap": [RESAMPLES],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def added_value(
    comparison,
    reference="Clinical Cox",
    model=None,
    *,
    subgroups=None,
    cutoffs=None,
    horizons=None,
    thresholds=None,
    confidence_level=0.95,
    n_bootstrap=2000,
    random_state=None,
):
    """Ask whether a model adds to what another one knows, such as a fused model to a clinical one.

    Use it after :func:`~sksurv_mmf.model_selection.compare_models`, for a model that was chosen beforehand. All is
    computed from the risks and survival functions of test patients, and no model is fitted again.

    Parameters
    ----------
    comparison : ModelComparison
        Predictions of both models on the same folds.
    reference : str, default="Clinical Cox"
        Model that is there already. One with the same risk for everybody, such as Kaplan-Meier, is allowed: the
        model is then tested by itself.
    model : str, default=None
        Model that may add something. None is the other one of a comparison of two.
    subgroups : DataFrame or dict of Series, default=None
        Variables by patient, such as age, sex, stage and site. Numbers with more than five different values are cut at
        their median, unless `cutoffs` says where; other values are categories. Rows of patients who are not in the
        comparison are not looked at. A patient whose value is missing is counted under "unknown".
    cutoffs : dict of str to list of float, default=None
        Where variables of `subgroups` are cut. A value equal to a cut-off belongs to the group below it.
    horizons : float or list of float, default=None
        Times at which net benefits are compared, in the unit of y. None compares none.
    thresholds : float or list of float, default=None
        Probabilities of an event from which on patients would be treated. None is, at each horizon, the probability of
        all patients by Kaplan-Meier, at which treating all and treating none are worth the same.
    confidence_level : float, default=0.95
        Level of all intervals.
    n_bootstrap : int, default=2000
        Number of resamples of the patients.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    AddedValue
        Tests, differences, subgroups and the effect over time; its `plot` draws them and `to_html` writes them.

    Raises
    ------
    ValueError
        If a name is none of the models, if a fit of one of the two failed or its risk is not finite, if the risk of the
        model is the same for all patients, or if patients lack a row in `subgroups`.
    TypeError
        If `subgroups` is no table and no dictionary of Series.

    See Also
    --------
    sksurv_mmf.model_selection.ModelComparison.pairwise : Differences of all models, with corrections for their number.
    net_benefit : How net benefits are computed.

    Notes
    -----
    *Likelihood ratio.* Cox models of the two risks of test patients, each in standard deviations within its fold, with
    folds as strata, because risks of different folds have different scales. A model without and one with the fused
    risk are compared, and the same the other way round. The test is about the two *risks*: if it is small, the fused
    risk tells something that the risk of the reference, as it was learnt, does not. That is not yet that its data do: a
    risk that uses the same variables in another way may add something, too, as may one that replaces a poorly trained
    one. And as each patient has helped to train the models that judge the others, risks and outcomes are not quite
    independent, and the p-value is too small [1]_ [2]_: in simulations without anything to add, 14 to 16 % were below
    5 %, see :doc:`/added_value`. The
    differences of scores with the corrected resampled t-test are the cautious counterpart.

    *Repetitions.* With repeated folds each repetition is a test of its own. As they share all patients, no mean of
    statistics has a known distribution. The p-value is twice the median over repetitions [3]_; estimates are medians,
    and limits are medians of limits with half the error each [4]_. So p is larger than what most repetitions say;
    `AddedValue.tests_by_repetition` has all of them.

    *Subgroups.* Hazard ratios per standard deviation of all patients of a fold, adjusted for the risk of the reference,
    with baselines of their own. The interaction test compares these hazard ratios. C is Harrell's over the pairs of
    patients of the same fold and subgroup, its interval a bootstrap of patients. With fewer than ten events a group is
    shown without estimates [5]_. Subgroups are many; a single one that stands out means little.

    *Effect over time.* A score test of a coefficient that changes on the scale of 1 minus Kaplan-Meier [6]_, as R's
    `cox.zph`, and a natural spline of four coefficients through scaled Schoenfeld residuals.

    References
    ----------
    .. [1] Tibshirani, R. J., Efron, B. "Pre-validation and inference in microarrays." Statistical Applications in
           Genetics and Molecular Biology 1, 1 (2002).
    .. [2] Höfling, H., Tibshirani, R. "A study of pre-validation." The Annals of Applied Statistics 2(2), 643-664
           (2008).
    .. [3] Meinshausen, N., Meier, L., Bühlmann, P. "p-values for high-dimensional regression." Journal of the American
           Statistical Association 104(488), 1671-1681 (2009).
    .. [4] Chernozhukov, V., Demirer, M., Duflo, E., Fernández-Val, I. "Generic machine learning inference on
           heterogeneous treatment effects in randomized experiments." NBER Working Paper 24678 (2018).
    .. [5] Vittinghoff, E., McCulloch, C. E. "Relaxing the rule of ten events per variable in logistic and Cox
           regression." American Journal of Epidemiology 165(6), 710-718 (2007).
    .. [6] Grambsch, P. M., Therneau, T. M. "Proportional hazards tests and diagnostics based on weighted residuals."
           Biometrika 81(3), 515-526 (1994).

    Examples
    --------
    >>> from sklearn.impute import SimpleImputer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.evaluation import added_value
    >>> from sksurv_mmf.model_selection import compare_models
    >>> from sksurv_mmf.preprocessing import make_modality_transformer
    >>> cohort = load_breast_cancer_cohort()
    >>> cox = make_pipeline(SimpleImputer(), StandardScaler(), CoxPHSurvivalAnalysis(alpha=100))
    >>> clinical = make_pipeline(make_modality_transformer(clinical="passthrough", remainder="drop"), cox)
    >>> comparison = compare_models({"Clinical Cox": clinical, "Both": cox}, cohort.X, cohort.y, scoring="harrell")
    >>> value = added_value(comparison, n_bootstrap=100, random_state=0)
    >>> value.tests[["test", "risk", "beside", "p"]].round(3).head(2)
                   test          risk        beside      p
    0  likelihood ratio          Both  Clinical Cox  0.020
    1  likelihood ratio  Clinical Cox          Both  0.173
    """
    model = _check_names(comparison, reference, model)
    names = reference, model
    definitions = _choose(comparison, horizons, thresholds)
    groups = read_subgroups(subgroups, cutoffs, comparison.patients)
    repeated = repetitions(comparison, names)
    if not any(one.risks[:, 1].any() for one in repeated):
        raise ValueError(
            f"The risk of the model {model!r} is the same for all test patients of each fold, so that it can add "
            "nothing. Choose another model."
        )
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    level = level_of_each(confidence_level, len(repeated))
    by_repetition = pd.concat(
        [_tests(one, names, level).assign(repetition=i) for i, one in enumerate(repeated)], ignore_index=True
    )
    bootstrap = {"confidence_level": confidence_level, "n_bootstrap": n_bootstrap}
    return AddedValue(
        reference,
        model,
        tests=_combine(by_repetition),
        tests_by_repetition=by_repetition,
        differences=_differences(comparison, names, definitions, seed, **bootstrap),
        subgroups=subgroup_table(repeated, groups, seed=seed, **bootstrap),
        time_effect=_time_effect(repeated, level),
        **bootstrap,
    )


def _check_names(comparison, reference, model):
    """The name of the model, once both are in the comparison and have not failed."""
    models = comparison.models
    if reference not in models:
        raise ValueError(f"reference={reference!r} is none of the models: {shorten(models, 10)}.")
    if model is None:
        others = [name for name in models if name != reference]
        if len(others) != 1:
            raise ValueError(f"model must be named, one of {shorten(others, 10) or 'none'}, as there is not just one.")
        model = others[0]
    if model not in models:
        raise ValueError(f"model={model!r} is none of the models: {shorten(models, 10)}.")
    if model == reference:
        raise ValueError(f"model={model!r} is the reference, to which it cannot add anything. Name two models.")
    fits = comparison.fits
    for name in (reference, model):
        failed = fits[(fits["model"] == name) & (fits["error"] != "")]
        if len(failed):
            raise ValueError(
                f"The model {name!r} failed in {len(failed)} of {len(comparison.folds)} folds, so that its test "
                f"patients there have no risk; in fold {failed['fold'].iloc[0]}: "
                f"{failed['error'].iloc[0].rstrip('.')}. Correct it, and compare again."
            )
    return model


def _choose(comparison, horizons, thresholds):
    """Scores to compare: C-indices, the Brier score, and net benefits."""
    definitions = choose_scores(["harrell", "uno", "ibs"], [])
    if horizons is None:
        if thresholds is not None:
            raise ValueError("thresholds needs times of interest; pass those, such as horizons=[365].")
        return definitions
    event, time = Outcome.of(comparison.y)
    for horizon in dict.fromkeys(np.atleast_1d(as_real_numbers(horizons, "horizons is")).tolist()):
        if not time[event].min() <= horizon <= time.max():
            raise ValueError(
                f"horizons has {format_time(horizon)}, but patients have events and are followed from "
                f"{format_time(time[event].min())} to {format_time(time.max())}."
            )
        everybody = np.ones((1, len(time)))
        usual = event_probability(everybody, event, time, horizon) if thresholds is None else thresholds
        for threshold in check_thresholds(usual):
            score = _net_benefit_score(horizon, float(threshold))
            definitions[score.name] = score
    return definitions


def _net_benefit_score(horizon, threshold):
    name = f"net_benefit@{format_time(horizon)},{threshold:.3g}"
    title = f"Net benefit at\N{NO-BREAK SPACE}{format_time(horizon)} from {100 * threshold:.3g}\N{NO-BREAK SPACE}% on"
    fixed = {"horizon": horizon, "threshold": threshold}
    compute, difference = (partial(one, **fixed) for one in (_net_benefit, _net_benefit_difference))
    return Score(name, title, "higher", compute, difference, limits=(-np.inf, 1))


def _net_benefit(outcome, prediction, horizon, threshold):
    value = _net_benefits_of(outcome, prediction, horizon, threshold)(np.ones((1, len(outcome.y_test))))[0]
    if np.isnan(value):
        raise ScoreDoesNotExist(f"none of the treated is followed up to {format_time(horizon)}")
    return value


def _net_benefit_difference(outcome, a, b, horizon, threshold):
    of_a, of_b = (_net_benefits_of(outcome, one, horizon, threshold) for one in (a, b))
    return lambda drawn: of_a(drawn) - of_b(drawn)


def _net_benefits_of(outcome, prediction, horizon, threshold):
    event, time = Outcome.of(outcome.y_test)
    probability = 1 - prediction.survival(horizon)[:, 0]
    return lambda drawn: net_benefits(drawn, event, time, probability, horizon, [threshold])[0][:, 0]


def _differences(comparison, names, definitions, seed, confidence_level, n_bootstrap):
    """The model's scores beside the reference's, a row for each score."""
    reference, model = names
    predictions = {name: comparison._predictions[name] for name in (model, reference)}
    both = ModelComparison(
        predictions,
        comparison.y,
        comparison.patients,
        comparison.folds,
        definitions,
        reference=reference,
        random_state=seed,
    )
    rows = []
    for score in definitions:
        pair = both.pairwise(score, confidence_level=confidence_level, n_bootstrap=n_bootstrap).iloc[0]
        table = both._table(score).dropna()
        reasons = both.scores.loc[both.scores["score"] == score, "reason"]
        missing = next((reason for reason in reasons if reason), "")
        means = {"score": score, "of_reference": table[reference].mean(), "of_model": table[model].mean()}
        row = means | pair[PAIR].to_dict() | {"reason": missing}
        if row["n_folds"] < len(both.folds):
            # Folds that lack a score are no random ones, and the correction is one for all of them.
            row |= dict.fromkeys(["t_lower", "t_upper", "t_p"], np.nan)
            row["reason"] = (
                f"in {row['n_folds']} of {len(both.folds)} folds only, so without an interval over folds: {missing}"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _tests(one, names, level):
    """Likelihood-ratio tests of a repetition, and tests of effects that change over time."""
    given = (*one.outcome, one.fold)
    fits = {chosen: fit_cox(one.risks[:, list(chosen)], *given) for chosen in [(), (0,), (1,), (0, 1)]}
    rows = []
    for own, other in ((1, 0), (0, 1)):
        for full, reduced, column, beside in (((0, 1), (other,), own, names[other]), ((own,), (), 0, "")):
            chi2, df, p_value = likelihood_ratio_test(fits[full], fits[reduced])
            estimates = fits[full].coef[column], *fits[full].interval(column, level)
            rows.append(("likelihood ratio", names[own], beside, chi2, df, p_value, *estimates))
    chi2, p_value = np.full((2, 2), np.nan)
    known = tuple(np.flatnonzero(~np.isnan(fits[0, 1].coef)))
    if known:
        columns = list(known)
        chi2[columns], p_value[columns] = proportional_hazards_tests(fits[known], one.risks[:, columns], *given)
    for own, other in ((1, 0), (0, 1)):
        row = ("proportional hazards", names[own], names[other], chi2[own], 1, p_value[own], *[np.nan] * 3)
        rows.append(row)
    # Beside the other first, which is the question.
    rows = [rows[0], rows[2], rows[1], rows[3], *rows[4:]]
    return pd.DataFrame(rows, columns=["test", "risk", "beside", "chi2", "df", "p", *ESTIMATES])


def _combine(by_repetition):
    """One row for each test; hazard ratios and their limits in place of limits of coefficients."""
    groups = by_repetition.groupby(["test", "risk", "beside"], sort=False)
    table = groups[["chi2", "df", *ESTIMATES]].median()
    table["df"] = table["df"].astype(int)
    table["p"] = groups["p"].agg(combined_p_value)
    table["hazard_ratio"] = np.exp(table["coef"])
    table[["lower", "upper"]] = np.exp(table[["lower", "upper"]])
    return table.reset_index()[TESTS]


def _time_effect(repeated, level):
    """Coefficient of the model beside the reference over time; no rows where it is not known."""
    event, time = (np.concatenate(values) for values in zip(*(one.outcome for one in repeated)))
    times = np.unique(time[event])
    curves = []
    if event.sum() >= FEWEST_EVENTS_OF_CURVE * len(repeated):
        times = times[np.unique(np.linspace(0, len(times) - 1, N_TIMES).astype(int))]
        for one in repeated:
            columns = [0, 1] if one.risks[:, 0].any() else [1]
            risks, given = one.risks[:, columns], (*one.outcome, one.fold)
            fit = fit_cox(risks, *given)
            curves.append(coefficient_over_time(fit, len(columns) - 1, risks, *given, times, level))
    if not curves or np.isnan(curves).any():
        return pd.DataFrame(columns=["time", *ESTIMATES], dtype=float)
    return pd.DataFrame({"time": times} | dict(zip(ESTIMATES, np.median(curves, axis=0))))


class AddedValue:
    """What a model adds to a reference; :func:`added_value` makes it.

    Parameters
    ----------
    reference, model : str
        Names of the two models.
    tests : DataFrame
        Columns "test" ("likelihood ratio" or "proportional hazards"); "risk", whose; "beside", the other model, or
        empty for a risk by itself; "chi2", "df", "p"; "coef" and "hazard_ratio" per standard deviation within the fold
        with the limits "lower" and "upper" of the latter.
    tests_by_repetition : DataFrame
        The same of each "repetition" of the folds; "lower" and "upper" are those of "coef".
    differences : DataFrame
        Columns "score" ("net_benefit@1825,0.2" is that at 1825 from a probability of 0.2 on), "of_reference",
        "of_model", and those of `ModelComparison.pairwise`, "difference" being model minus reference; "reason", why
        it does not exist in some fold. Then there is no interval and no p over folds: "t_lower", "t_upper" and "t_p"
        are NaN.
    subgroups : DataFrame
        Columns "subgroup", "level", "n_patients", "n_events"; "hazard_ratio" of the model per standard deviation,
        adjusted for the reference, with "lower" and "upper"; "c_difference" with "c_lower" and "c_upper";
        "p_interaction"; "reason", why something is not estimated. The first row is that of all patients.
    time_effect : DataFrame
        Columns "time"; "coef", log hazard ratio of the model per standard deviation, with "lower" and "upper". Empty
        with fewer than 20 events.
    confidence_level : float, default=0.95
        Level of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples.

    See Also
    --------
    added_value : Makes it.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.evaluation import added_value
    >>> from sksurv_mmf.model_selection import KaplanMeier, compare_models
    >>> cohort = load_breast_cancer_cohort()
    >>> X = cohort.X.filter(regex="^rna").iloc[:, :20]
    >>> models = {"nothing": KaplanMeier(), "genes": CoxPHSurvivalAnalysis(alpha=100)}
    >>> comparison = compare_models(models, X, cohort.y, scoring="harrell")
    >>> er = cohort.X["clinical__er"]
    >>> value = added_value(comparison, "nothing", subgroups={"er": er}, n_bootstrap=100, random_state=0)
    >>> value.subgroups[["subgroup", "level", "n_patients", "n_events", "hazard_ratio"]].round(2)
           subgroup level  n_patients  n_events  hazard_ratio
    0  all patients               198        51          1.80
    1            er     0          64        23          1.47
    2            er     1         134        28          2.04
    """

    def __init__(
        self,
        reference,
        model,
        *,
        tests,
        tests_by_repetition,
        differences,
        subgroups,
        time_effect,
        confidence_level=0.95,
        n_bootstrap=2000,
    ):
        self.reference = reference
        self.model = model
        self.tests = tests
        self.tests_by_repetition = tests_by_repetition
        self.differences = differences
        self.subgroups = subgroups
        self.time_effect = time_effect
        self.confidence_level = confidence_level
        self.n_bootstrap = n_bootstrap

    def __repr__(self):
        everybody, first = self.subgroups.iloc[0], self.tests.iloc[0]
        lines = [
            f"<AddedValue of {self.model!r} beside {self.reference!r}: {everybody['n_patients']} patients, "
            f"{everybody['n_events']} events>",
            f"Likelihood ratio: chi2 = {first['chi2']:.2f}, df = {first['df']}, {format_p(first['p'])}; hazard ratio "
            f"per SD {first['hazard_ratio']:.2f} ({first['lower']:.2f} to {first['upper']:.2f})",
            self.differences[["score", "of_reference", "of_model", "difference", *PAIR[2:6]]].to_string(
                index=False, float_format="{:.3f}".format, na_rep="-"
            ),
            *(f"{score}: {why}" for score, why in self.differences[["score", "reason"]].to_numpy() if why),
        ]
        return "\n".join(lines)

    def plot(self, *, time_unit=None):
        """Draw subgroups, the effect over time and the differences of scores.

        Parameters
        ----------
        time_unit : str, default=None
            Unit of time for axes. It is a word alone; nothing is converted.

        Returns
        -------
        matplotlib Figure
            A new figure, 7 inches wide as two journal columns; its axes are the forest plot, the effect over time and
            the differences.
        """
        return draw_added_value(self, time_unit)

    def sections(self, *, time_unit=None):
        """Parts of a page, for a report that has more of them.

        Parameters
        ----------
        time_unit : str, default=None
            Unit of time for axes and tables.

        Returns
        -------
        list of Section
            For :func:`sksurv_mmf.pages.write_page`.
        """
        level = f"{100 * self.confidence_level:g}"
        n_repetitions = self.tests_by_repetition["repetition"].nunique()
        many = f" p-values are twice the median over {n_repetitions} repetitions." if n_repetitions > 1 else ""
        note = (
            f"{self.model} beside {self.reference}: Cox models of the risks of test patients, per standard deviation "
            f"within the fold, with folds as strata. Intervals are {level} % intervals.{many} The tests ask what the "
            "risk adds to the risk of the reference, not what its data add; as folds share training patients, their "
            "p-values are too small."
        )
        picture = Figure(
            self.plot(time_unit=time_unit),
            "Hazard ratios in subgroups, log hazard ratio over time, and gains in scores.",
            "A forest plot, a curve with a band, and gains with intervals.",
        )
        tables = tests_table(self), differences_table(self, time_unit), subgroups_table(self)
        captions = (
            "Tests; hazard ratios are per standard deviation within the fold.",
            "Scores: model minus reference.",
            "Subgroups: hazard ratio of the model beside the reference, and difference in C.",
        )
        tests, differences, subgroups = (Table(*both) for both in zip(tables, captions))
        return [
            Section("Tests", [Text(note), tests]),
            Section("Overview", [picture]),
            Section("Scores", [differences]),
            Section("Subgroups", [subgroups]),
        ]

    def to_html(self, path, *, title="Added value", time_unit=None, overwrite=False):
        """Write a page of HTML with the figure and the tables, which needs no other file.

        Parameters
        ----------
        path : str or path-like
            File to write.
        title : str, default="Added value"
            Title of the page.
        time_unit : str, default=None
            Unit of time for axes and tables.
        overwrite : bool, default=False
            Whether to replace a file of that name.

        Returns
        -------
        Path
            The file that was written.

        Raises
        ------
        FileExistsError
            If there is a file that must not be replaced.
        """
        return write_page(path, title, self.sections(time_unit=time_unit), overwrite=overwrite)
