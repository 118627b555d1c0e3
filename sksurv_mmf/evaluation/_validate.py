"""What a fitted model is worth for patients of another hospital, in one call."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..inspection._risk_groups import RiskGroup, assign_groups, group_names, log_rank_p_value
from ..model_selection._survival_scores import FoldPrediction
from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..predictions._ask import CURVES, check_model, has, predict_curves, predict_risk
from ..predictions._checks import as_real_numbers, check_curves, common_domain
from ..predictions._fold_outcome import AT_RISK, FoldOutcome, ScoreDoesNotExist
from ..statistics._kaplan_meier import event_probability
from ..statistics._net_benefit import net_benefits, reaches
from ..utils._identifiers import is_row_number
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import RESAMPLES, format_time, subject
from . import _validation_scores as measures
from ._decision_curve import ALL, NONE, check_thresholds
from ._own_columns import own_columns, warn_of_unread
from ._resamples import Resamples
from ._training_cutoffs import find_cutoffs
from ._validation import KAPLAN_MEIER, Validation

INTERVAL = ["value", "lower", "upper"]


@validate_params(
    {
        "horizons": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "rivals": [dict, None],
        "name": [str],
        "n_groups": [Interval(Integral, 2, 10, closed="both")],
        "n_bootstrap": [RESAMPLES],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "time_unit": [str, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def validate(
    model,
    X,
    y,
    horizons,
    *,
    rivals=None,
    name="Model",
    X_train=None,
    y_train=None,
    cutoffs=None,
    n_groups=3,
    thresholds=None,
    n_bootstrap=500,
    confidence_level=0.95,
    time_unit=None,
    random_state=None,
):
    """Judge a fitted model by patients of another hospital, or of another time.

    Use it once a model is chosen: whether it orders the new patients (discrimination), whether its probabilities are
    right there (calibration), how groups by its risk fare, and whether decisions by it do more good than harm. To
    choose among models, use :func:`~sksurv_mmf.model_selection.compare_models`.

    Parameters
    ----------
    model : estimator
        Fitted survival estimator, or a Pipeline or search of one. One without ``predict_survival_function`` is judged
        by its order of patients alone; the tables say why the rest is absent.
    X : DataFrame or array-like of shape (n_patients, n_columns)
        Patients whom no model has seen. Of a DataFrame, each model gets the columns that it was fitted on.
    y : structured array of shape (n_patients,) or DataFrame
        Their outcome, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its index.
    horizons : float or list of float
        Times of interest, in the unit of y: from the first event on, and before nine tenths of the patients have left.
    rivals : dict of str to estimator, default=None
        Other fitted models by name, which may read other columns of X.
    name : str, default="Model"
        What tables and pictures call the model.
    X_train : DataFrame or array-like, default=None
        Patients on whom the model was trained, for the cut-offs of risk groups. A patient who is also in X is an error,
        if both name their patients. Without it nobody notices such patients, for a model does not know whom it saw.
    y_train : structured array or DataFrame, default=None
        Their outcome. With it, clones of the model are fitted in five folds, and cut-offs are quantiles of the risks of
        those left out. Without it, they are quantiles of the risks by the model that has seen them, which lie too far
        apart if it has learnt its patients by heart.
    cutoffs : array-like of float, default=None
        Risks that separate the groups, as published say. Replaces `X_train`.
    n_groups : int, default=3
        Number of groups of equal size in training; of other patients, the sizes are what they are.
    thresholds : array-like of float, default=None
        Probabilities from which on a patient is treated, for the decision curves. None is 0.01, 0.02, ..., 0.99.
    n_bootstrap : int, default=500
        How often patients are drawn anew for the percentile intervals. Models and cut-offs stay as they are.
    confidence_level : float, default=0.95
        Level of the intervals.
    time_unit : str, default=None
        Unit of time for labels, such as "months". It is a word alone; nothing is converted.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap.

    Returns
    -------
    Validation
        Tables `scores`, `calibration`, `calibration_curves`, `groups` and `decisions`; a figure by its `plot`, a page
        by its `to_html`.

    Raises
    ------
    ValueError
        If patients of X are among those of `X_train` or are there twice, if patients cannot be judged at a horizon, if
        the survival functions of a model end before a horizon, if two models have one name, or if a survival function
        leaves [0, 1] or rises.

    Warns
    -----
    UserWarning
        If X has columns that no model reads. If it also lacks all columns of a modality, the warning says which.

    See Also
    --------
    recalibrate : Brings survival functions to the level of other patients.
    net_benefit : Decision curves by themselves.

    Notes
    -----
    *Weights against censoring*, in Uno's C-index, AUC and Brier scores, are learnt from the patients of X and not from
    training patients, because censoring is a matter of how long a hospital has followed its patients. Scores over time
    end where a tenth of the patients is left, integrated Brier scores also where the survival functions of a model end.
    Weights and range stay as they are in resamples.

    *Scaled Brier scores* are 1 minus the ratio to the Brier score of the Kaplan-Meier curve of X, which knows more than
    any model: the level of hazards there.

    *Calibration in the large* is the Kaplan-Meier probability of an event by the mean predicted one, at each horizon; 1
    is right. The *slope* is the coefficient of log(-log S(horizon)) in a Cox model of the follow-up until then [1]_;
    less than 1 if predictions are too far apart. The *curve* takes about the 0.8th power of n of n patients at a time,
    whose predictions are neighbours: their mean predicted probability, and Kaplan-Meier's.

    *Observed probabilities of 0 and 1*, of groups and in curves, are so in all resamples, which is not certainty. Their
    other limit is Clopper and Pearson's, of as many patients as are known to have had the event up to the horizon or
    not to have had it: of ten patients without an event up to 31 %.

    References
    ----------
    .. [1] McLernon, D. J., Giardiello, D., Van Calster, B., et al. "Assessing performance and clinical usefulness in
           prediction models with survival outcomes: practical guidance for Cox proportional hazards models." Annals of
           Internal Medicine 176(1), 105-114 (2023).

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.evaluation import validate
    >>> cohort = make_multimodal_survival(n_patients=300, n_genes=5, n_tiles=2, random_state=0)
    >>> X, y = cohort.X.drop(columns="wsi__tiles"), cohort.y
    >>> model = CoxPHSurvivalAnalysis().fit(X[:150], y[:150])
    >>> validation = validate(
    ...     model, X[150:], y[150:], [12, 24], X_train=X[:150], y_train=y[:150], n_bootstrap=50, random_state=0
    ... )
    >>> scores = validation.scores
    >>> scores.loc[scores["score"] == "harrell", ["value", "lower", "upper"]].round(2)
       value  lower  upper
    0   0.72   0.66   0.77
    """
    models = _check_models({name: model}, rivals)
    _check_patients(X, X_train)
    outcome = _check_outcome(y, X)
    horizons = _check_horizons(horizons, outcome)
    thresholds = check_thresholds(thresholds)
    predictions = {key: _predict(key, one, own_columns(one, X), outcome, horizons) for key, one in models.items()}
    warn_of_unread(models, X)
    cutoffs, source = find_cutoffs(model, X_train, y_train, cutoffs, n_groups)
    seed = check_random_state(random_state).randint(2**31)
    resamples = Resamples(len(outcome.y_test), n_bootstrap, seed, confidence_level)
    groups = None if cutoffs is None else assign_groups(predictions[name].risk, cutoffs)
    curves = _risk_groups(outcome, groups, cutoffs, confidence_level)
    return Validation(
        scores=_scores(outcome, predictions, horizons, resamples),
        calibration=_calibration(outcome, predictions, horizons, resamples),
        calibration_curves=_calibration_curves(outcome, predictions, horizons, resamples),
        groups=_groups(outcome, predictions[name], groups, cutoffs, horizons, resamples),
        decisions=_decisions(outcome, predictions, horizons, thresholds, resamples),
        horizons=horizons,
        cutoffs=cutoffs,
        cutoffs_source=source,
        group_curves=curves,
        p_value=np.nan if len(curves) < 2 else log_rank_p_value(outcome.y_test, groups),
        n_patients=len(outcome.y_test),
        n_events=Outcome.of(outcome.y_test).n_events,
        n_bootstrap=n_bootstrap,
        confidence_level=confidence_level,
        time_unit=time_unit,
    )


def _check_models(own, rivals):
    rivals = rivals or {}
    taken = {ALL, NONE, KAPLAN_MEIER}
    for key in [*own, *rivals]:
        if not isinstance(key, str) or key in taken:
            raise ValueError(f"{key!r} cannot be the name of a model, because it is taken or no text. Choose another.")
        taken.add(key)
    for one in [*own.values(), *rivals.values()]:
        check_model(one)
    return own | rivals


def _check_patients(X, X_train):
    """Refuse patients who are there twice, and those who were trained on."""
    if not isinstance(X, pd.DataFrame) or is_row_number(X.index):
        return
    repeated = X.index[X.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{subject(repeated, 'Patient', 'has', 'have')} several rows in X. Keep one row per patient.")
    if isinstance(X_train, pd.DataFrame):
        both = X.index.intersection(X_train.index)
        if len(both):
            raise ValueError(
                f"{subject(both, 'Patient', 'is', 'are')} in X and in X_train, so that the model has seen what it is "
                "judged by. Leave them out: X.drop(X_train.index, errors='ignore'). If two hospitals number their "
                "patients alike, rename them."
            )


def _check_outcome(y, X):
    y = align_outcome(y, X)
    patients = X.index if isinstance(X, pd.DataFrame) else None
    outcome = FoldOutcome(y, y, patients)
    try:
        _ = outcome.times  # of which all else is made
    except ScoreDoesNotExist:
        event, time = Outcome.of(y)
        # The error speaks of the folds of one cohort.
        found = f"{event.sum()} with an event" if event.any() else f"no event among {len(y)} patients"
        end = np.quantile(time, 1 - AT_RISK, method="lower")
        raise ValueError(
            f"The {len(y)} patients of X cannot be judged: {found}, and scores need events at two different times "
            f"before {end:g}, until which a tenth of the patients of X is followed. Add patients, or follow them longer"
            "."
        ) from None
    return outcome


def _check_horizons(horizons, outcome):
    horizons = np.unique(np.atleast_1d(as_real_numbers(horizons, "horizons is")))
    start, end = outcome.time_range
    wrong = horizons[~((horizons >= start) & (horizons < end))] if horizons.ndim == 1 else horizons
    if len(wrong) or not len(horizons):
        raise ValueError(
            f"horizons must be times from {start:g}, the first event, to below {end:g}, until which a tenth of the "
            f"patients of X is followed, in the unit of y; got {', '.join(map(format_time, wrong.flat)) or 'none'}."
        )
    return horizons


def _predict(name, model, X, outcome, horizons):
    risk = predict_risk(model, X)
    if not has(model, CURVES):
        return FoldPrediction(risk, f"{type(model).__name__} predicts no survival functions")
    curves = predict_curves(model, X)
    check_curves(curves, outcome.times, outcome.patients)
    _, end = common_domain(curves)
    if horizons[-1] > end:
        raise ValueError(
            f"horizons has {format_time(horizons[-1])}, which is beyond the survival functions of {name!r}, which end "
            f"at {end:g}; is y in the unit of time that the model was trained in? If it is, choose times before."
        )
    return FoldPrediction(risk, curves)


def _row(make, resamples):
    """Value and interval of a statistic that `make` makes, and the reason if there is none."""
    try:
        found, reason = resamples.summarise(make()), ""
    except ScoreDoesNotExist as error:
        found, reason = np.full(3, np.nan), str(error)
    if not reason and np.isnan(found[0]):
        reason = "not defined for these patients"
    return dict(zip(INTERVAL, found)) | {"reason": reason}


def _scores(outcome, predictions, horizons, resamples):
    rows = []

    def add(model, score, horizon, statistic, *arguments):
        rows.append(
            {"model": model, "score": score, "horizon": horizon} | _row(partial(statistic, *arguments), resamples)
        )

    def add_brier(name, horizon, times):
        for key, one in predictions.items():
            add(key, name, horizon, measures.brier, outcome, one, times)
            add(key, f"scaled_{name}", horizon, measures.scaled_brier, outcome, one, times)
        add(KAPLAN_MEIER, name, horizon, measures.marginal_brier, outcome, times)

    for key, one in predictions.items():
        add(key, "harrell", np.nan, measures.harrell, outcome, one)
        add(key, "uno", np.nan, measures.uno, outcome, one)
    add_brier("ibs", np.nan, measures.times_of_all(outcome, predictions.values()))
    for horizon in horizons:
        for key, one in predictions.items():
            add(key, "auc", horizon, measures.auc, outcome, one, horizon)
        add_brier("brier", horizon, np.array([horizon]))
    return pd.DataFrame(rows)


def _calibration(outcome, predictions, horizons, resamples):
    made = {
        "expected": measures.expected,
        "observed": lambda one, horizon: measures.observed(outcome, horizon),
        "observed/expected": lambda one, horizon: measures.observed_to_expected(outcome, one, horizon),
        "slope": lambda one, horizon: measures.slope(outcome, one, horizon),
    }
    rows = []
    for horizon in horizons:
        for key, one in predictions.items():
            for measure, make in made.items():
                found = _row(partial(make, one, horizon), resamples)
                rows.append({"model": key, "horizon": horizon, "measure": measure} | found)
    return pd.DataFrame(rows)


def _each_risk(predictions, horizons):
    """Yield (model, horizon, probabilities of an event) of those that exist."""
    for horizon in horizons:
        for key, one in predictions.items():
            try:
                yield key, horizon, measures.event_risk(one, horizon)
            except ScoreDoesNotExist:
                continue  # `calibration` has the reason


def _calibration_curves(outcome, predictions, horizons, resamples):
    columns = ["model", "horizon", "predicted", "observed", "lower", "upper", "n_patients"]
    tables = [pd.DataFrame(columns=columns).astype(dict.fromkeys(columns[1:], float) | {"n_patients": int})]
    for key, horizon, risk in _each_risk(predictions, horizons):
        predicted, observed, sizes = measures.calibration_curve(outcome, risk, horizon, resamples)
        values = (key, horizon, predicted, *observed, sizes)
        tables.append(pd.DataFrame(dict(zip(columns, values))))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _groups(outcome, prediction, group, cutoffs, horizons, resamples):
    event, time = Outcome.of(outcome.y_test)
    rows = []
    for g, name in enumerate([] if cutoffs is None else group_names(len(cutoffs) + 1)):
        inside = group == g
        for horizon in horizons:
            try:
                expected = measures.event_risk(prediction, horizon)[inside].mean() if inside.any() else np.nan
            except ScoreDoesNotExist:
                expected = np.nan

            def observed(drawn, inside=inside, horizon=horizon):
                return event_probability(drawn[:, inside], event[inside], time[inside], horizon)

            n_events = np.count_nonzero(event & inside & (time <= horizon))
            sizes = {"n_patients": np.count_nonzero(inside), "n_events": n_events, "expected": expected}
            found = measures.where_certain(
                resamples.summarise(observed), event[inside], time[inside], horizon, resamples.confidence_level
            )
            rows.append({"group": name, "horizon": horizon} | sizes | dict(zip(["observed", "lower", "upper"], found)))
    columns = ["group", "horizon", "n_patients", "n_events", "expected", "observed", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def _risk_groups(outcome, group, cutoffs, confidence_level):
    """Kaplan-Meier curves of those groups that have patients."""
    event, time = Outcome.of(outcome.y_test)
    return [
        RiskGroup.estimate(name, event[group == g], time[group == g], confidence_level)
        for g, name in enumerate([] if cutoffs is None else group_names(len(cutoffs) + 1))
        if (group == g).any()
    ]


def _decisions(outcome, predictions, horizons, thresholds, resamples):
    event, time = Outcome.of(outcome.y_test)
    n_patients = len(event)
    everybody = [
        (key, at, risk) for at in horizons for key, risk in ((ALL, np.ones(n_patients)), (NONE, np.zeros(n_patients)))
    ]
    tables = []
    for key, horizon, risk in [*_each_risk(predictions, horizons), *everybody]:

        def benefit_of(drawn, risk=risk, horizon=horizon):
            return net_benefits(drawn, event, time, risk, horizon, thresholds)[0]

        columns = {"model": key, "horizon": horizon, "threshold": thresholds}
        columns |= dict(zip(["net_benefit", "lower", "upper"], resamples.summarise(benefit_of)))
        tables.append(pd.DataFrame(columns | {"treated": [reaches(risk, one).mean() for one in thresholds]}))
    return pd.concat(tables, ignore_index=True)
