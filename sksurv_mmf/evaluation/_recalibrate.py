"""A model whose survival functions are brought to the level, and the spread, of other patients."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..predictions._ask import CURVES, check_frame, check_model, has, predict_curves, predict_risk
from ..predictions._checks import carried_forward, check_curves, common_domain, steps_of
from ..predictions._fold_outcome import AT_RISK
from ..predictions._survival_model import SurvivalModel
from ..predictions._survival_table import TABLE, predict_survival_table
from ..statistics._calibration import calibration_slope, log_cumulative_hazard, until
from ..utils._available_if import available_if
from ..utils._modality_names import columns_by_modality
from ..utils._sklearn import Interval, StrOptions, num_samples
from ..utils._validation import format_time, shorten
from ..utils._warnings import warn
from ._own_columns import own_columns

LEAST = 1e-6  # survival probability of those who count among the expected events
OTHERS, EVERYBODY = "all others", "all"
"""Row of the correction of those whose modalities have none of their own, and of all where nobody's have."""


def recalibrate(model, X, y, *, horizon=None, method="intercept", by_modalities=False, min_events=50):
    """Adapt the survival functions of a fitted model to other patients.

    Use it when a model orders the patients of another hospital well, but predicts too many or too few events there, as
    `validate` shows. One number needs far fewer events than a new model. Validate the result on patients who took part
    in neither; on the patients it was recalibrated on, it is calibrated by construction. It does not remember who they
    were, so that nothing warns of them.

    Parameters
    ----------
    model : estimator
        Fitted survival estimator with ``predict_survival_function``, or a Pipeline or search of one. It is not changed.
    X : DataFrame or array-like of shape (n_patients, n_columns)
        Patients of the other hospital, whom the model has not seen.
    y : structured array of shape (n_patients,) or DataFrame
        Their outcome, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its index.
    horizon : float, default=None
        The time at which predictions are to be right, in the unit of y; events count up to it. None is the time until
        which a tenth of the patients is followed, or where the survival functions end.
    method : {"intercept", "slope"}, default="intercept"
        "intercept" multiplies all cumulative hazards by one number. "slope" also draws predictions together or apart;
        it needs more events.
    by_modalities : bool, default=False
        Whether patients with the same modalities, of columns ``<modality>__<feature>`` that are not all missing, get a
        correction of their own.
    min_events : int, default=50
        How many events are needed up to the horizon. Patients with the same modalities who have fewer get the
        correction of all; if all together have fewer, a warning says how uncertain it is. The standard error of an
        intercept is 1 by the root of the number of events: 0.14 with 50, 0.71 with 2.

    Returns
    -------
    RecalibratedModel
        A fitted estimator; `corrections_` has what was found.

    Raises
    ------
    AttributeError
        If the model predicts no survival functions.
    ValueError
        If there is no event up to the horizon, if the survival functions do not reach it, or if a slope is not
        positive: then the model does not order these patients, and no correction mends that.

    Warns
    -----
    UserWarning
        If patients with some modalities have too few events and get the correction of all, or if all together have
        fewer than `min_events`.

    See Also
    --------
    validate : Tells whether it is needed, and of new patients whether it helped.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.evaluation import recalibrate
    >>> cohort = make_multimodal_survival(n_patients=300, n_genes=5, n_tiles=2, random_state=0)
    >>> X, y = cohort.X.drop(columns="wsi__tiles"), cohort.y
    >>> model = CoxPHSurvivalAnalysis().fit(X[:100], y[:100])
    >>> y["time"] *= 2  # another hospital, where patients live twice as long
    >>> recalibrated = recalibrate(model, X[100:], y[100:], horizon=48)
    >>> recalibrated.corrections_["intercept"].round(2).tolist()
    [-0.89]
    """
    settings = {"horizon": horizon, "method": method, "by_modalities": by_modalities, "min_events": min_events}
    return RecalibratedModel(model, **settings).fit(X, y)


def _check_has_table(self):
    if not has(self.model, TABLE):
        raise AttributeError(
            f"{type(self.model).__name__} has no {TABLE}. Use sksurv_mmf.predictions.predict_survival_table."
        )


class RecalibratedModel(SurvivalModel, BaseEstimator):
    r"""A fitted model and a correction of its survival functions; :func:`recalibrate` makes it.

    Parameters
    ----------
    model : estimator
        Fitted survival estimator with ``predict_survival_function``. `fit` leaves it as it is.
    horizon : float, default=None
        The time at which predictions are to be right, in the unit of y. None is the time until which a tenth of the
        patients is followed, or where the survival functions end.
    method : {"intercept", "slope"}, default="intercept"
        What is corrected: the level of the hazards, or also how far they are apart.
    by_modalities : bool, default=False
        Whether patients with the same modalities get a correction of their own.
    min_events : int, default=50
        How many events they need for that, and all together for not being warned of.

    Attributes
    ----------
    corrections_ : DataFrame
        One row per correction; the index "modalities" names those with the same modalities, as in "rna + wsi", and "all
        others", or "all" if there is no other row. Columns
        "n_patients" and "n_events" (up to the horizon) from whom it was learnt, "expected" events by
        the model, "intercept" and "slope".
    horizon_ : float
        The horizon.
    unique_times_ : ndarray of shape (n_unique_times,)
        Times of the survival functions.

    See Also
    --------
    recalibrate : Says when to use it.

    Notes
    -----
    With cumulative hazard :math:`H = -\log S`, horizon :math:`h` and :math:`l = \log H(h)`, the new one is
    :math:`H'(t) = H(t)\,e^{a + (b - 1) l}`, so that :math:`\log(-\log S'(h)) = a + b \log(-\log S(h))`. Each curve is
    raised to a power: it stays a survival function and keeps its shape over time.

    The slope :math:`b` is the coefficient of :math:`l` in a Cox model [1]_ of the follow-up until the horizon, in which
    the baseline hazard takes no part. The intercept follows from a Poisson model of the number of events with the
    expected ones as offset [2]_: :math:`a` is the logarithm of observed events divided by
    :math:`\sum_i H_i(\min(T_i, h))\,e^{(b - 1) l_i}`. In this sum, a survival probability below a millionth counts as
    one, because a single patient whom the model gives none would make up all of it; for :math:`l`, cumulative hazards
    are at least a millionth.

    A correction that all share leaves `predict` as it is, because it changes no order. Patients with corrections of
    their own may change places: then `predict` is :math:`\log H'(h)`. Patients with modalities that nobody had, or too
    few, have the correction of all.

    :func:`sksurv_mmf.save_model` writes it if it writes the model.

    References
    ----------
    .. [1] van Houwelingen, H. C. "Validation, calibration, revision and combination of prognostic survival models."
           Statistics in Medicine 19(24), 3401-3415 (2000).
    .. [2] Crowson, C. S., Atkinson, E. J., Therneau, T. M. "Assessing calibration of prognostic risk scores."
           Statistical Methods in Medical Research 25(4), 1692-1706 (2016).

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.evaluation import RecalibratedModel
    >>> cohort = make_multimodal_survival(n_patients=300, n_genes=5, n_tiles=2, random_state=0)
    >>> X, y = cohort.X.drop(columns="wsi__tiles"), cohort.y
    >>> model = CoxPHSurvivalAnalysis().fit(X[:100], y[:100])
    >>> recalibrated = RecalibratedModel(model, method="slope", horizon=24).fit(X[100:], y[100:])
    >>> recalibrated.corrections_["slope"].round(2).tolist()
    [1.15]
    """

    _parameter_constraints = {
        "model": "no_validation",  # `fit` knows more to say
        "horizon": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions({"intercept", "slope"})],
        "by_modalities": ["boolean"],
        "min_events": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, model, *, horizon=None, method="intercept", by_modalities=False, min_events=50):
        self.model = model
        self.horizon = horizon
        self.method = method
        self.by_modalities = by_modalities
        self.min_events = min_events

    def fit(self, X, y):
        """Learn the correction; the model itself is not fitted.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            Patients whom the model has not seen.
        y : structured array of shape (n_patients,) or DataFrame
            Their outcome.

        Returns
        -------
        RecalibratedModel
            Itself.
        """
        self._forget_fit()
        self._validate_params()
        check_model(self.model, CURVES)
        combination = self._combinations(X)
        event, time = Outcome.of(align_outcome(y, X))
        curves = _step_curves(self.model, X)
        self.horizon_ = _check_horizon(self.horizon, event, time, common_domain(curves)[1])
        event, time = until(event, time, self.horizon_)
        cumulative = [-np.log(max(carried_forward([one], [t])[0, 0], LEAST)) for one, t in zip(curves, time)]
        score = log_cumulative_hazard(carried_forward(curves, [self.horizon_])[:, 0])
        patients = pd.DataFrame({"event": event, "time": time, "expected": cumulative, "score": score})
        self.corrections_ = self._correct(patients, combination)
        self.unique_times_ = np.unique(np.concatenate([steps_of(one) for one in curves]))
        return self

    def _combinations(self, X):
        """Which modalities each patient has, in words; of all patients the same if that does not matter."""
        if not self.by_modalities:
            return np.full(num_samples(X), EVERYBODY)
        return modality_combinations(X, self.model)

    def _correct(self, patients, combination):
        common = _correction(patients, self.method)
        _refuse_slope(common["slope"])
        if common["n_events"] < self.min_events:
            warn(
                f"The correction of all patients is learnt from {common['n_events']} events up to "
                f"{format_time(self.horizon_)}, fewer than min_events={self.min_events}: the standard error of its "
                f"intercept, {common['intercept']:.2f}, is about {common['n_events'] ** -0.5:.2f}. Add patients, "
                "choose a later horizon, or lower min_events if you accept that."
            )
        found, few = {}, {}
        for name, inside in patients.groupby(combination) if self.by_modalities else ():
            n_events = int(inside["event"].sum())
            one = _correction(inside, self.method) if n_events >= self.min_events else None
            if one is None or not one["slope"] > 0:
                few[name] = f"{name!r} ({n_events} events)"
            else:
                found[name] = one
        if few:
            warn(
                f"Patients with the modalities {', '.join(few.values())} get the correction of all patients: fewer "
                f"than min_events={self.min_events} events up to {format_time(self.horizon_)}, or no positive slope."
            )
        index = pd.Index([*found, OTHERS if found else EVERYBODY], name="modalities")
        table = pd.DataFrame([*found.values(), common], index)
        return table.astype({"n_patients": int, "n_events": int})

    @property
    def feature_names_in_(self):
        """Names of the columns that the model was fitted on."""
        return self.model.feature_names_in_

    @property
    def n_features_in_(self):
        """Number of columns that the model was fitted on."""
        return self.model.n_features_in_

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            Patients with the columns of the model.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Those of the model, whose order stays; with corrections by modalities the logarithm of the cumulative hazard
            up to the horizon.
        """
        check_is_fitted(self)
        if len(self.corrections_) == 1:
            return predict_risk(self.model, X)
        curves = _step_curves(self.model, X)
        return log_cumulative_hazard(carried_forward(curves, [self.horizon_])[:, 0]) + np.log(self._powers(X, curves))

    def predict_survival_function(self, X, return_array=False):
        """Predict survival functions.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            Patients with the columns of the model.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times).
        """
        check_is_fitted(self)
        curves = _step_curves(self.model, X)
        values = np.clip(carried_forward(curves, self.unique_times_), 0, 1) ** self._powers(X, curves)[:, np.newaxis]
        return values if return_array else self._step_functions(values)

    def predict_cumulative_hazard_function(self, X, return_array=False):
        """Predict cumulative hazard functions.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            Patients with the columns of the model.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        cumulative_hazard : ndarray
            As of :meth:`predict_survival_function`.
        """
        survival = self.predict_survival_function(X, return_array=True)
        # + 0 for no hazard, which would be -0.
        values = -np.log(np.maximum(survival, np.finfo(float).tiny)) + 0.0
        return values if return_array else self._step_functions(values)

    @available_if(_check_has_table)
    def predict_survival_table(self, X, horizons, confidence_level=0.95):
        """Predict survival probabilities at given times, as a table, if the model does.

        :func:`sksurv_mmf.predictions.predict_survival_table` does so for others.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns of the model.
        horizons : float or array-like of float
            Times of interest, in the unit of y.
        confidence_level : float, default=0.95
            Which share of the networks of an ensemble lies between `lower` and `upper`.

        Returns
        -------
        DataFrame of shape (n_patients * n_horizons, 3) or (n_patients * n_horizons, 1)
            The table of the model. `survival`, and of an ensemble `lower` and `upper`, are raised to the power of the
            patient's survival function. The limits do not tell how uncertain the correction is.
        """
        check_is_fitted(self)
        table = predict_survival_table(self.model, X, horizons, confidence_level)
        powers = self._powers(X, _step_curves(self.model, X))
        return table.clip(0, 1).pow(np.repeat(powers, len(table) // len(powers)), axis=0)

    def _powers(self, X, curves):
        """Factor of each patient's cumulative hazard."""
        names, index = pd.Series(self._combinations(X)), self.corrections_.index
        own = self.corrections_.loc[names.where(names.isin(index), index[-1]), ["intercept", "slope"]]
        score = log_cumulative_hazard(carried_forward(curves, [self.horizon_])[:, 0])
        return np.exp(own["intercept"].to_numpy() + (own["slope"].to_numpy() - 1) * score)


def modality_combinations(X, model):
    """Names of the modalities that a model reads and each patient has, joined by " + ", shape (n_patients,)."""
    modalities = columns_by_modality(check_frame(X).columns)
    if not modalities:
        raise ValueError(
            "by_modalities=True needs columns named '<modality>__<feature>', but X has "
            f"{shorten(X.columns, 3)}. Build X with join_modalities."
        )
    modalities = columns_by_modality(own_columns(model, X).columns)
    present = {name: X[columns].notna().any(axis=1).to_numpy() for name, columns in sorted(modalities.items())}
    rows = zip(*present.values())
    return np.array([" + ".join(name for name, has in zip(present, row) if has) or "none" for row in rows])


def _step_curves(model, X):
    """Survival functions of the model, once they are some and tell where they step."""
    curves = predict_curves(model, X)
    check_curves(curves, [], getattr(X, "index", None))
    if not all(len(steps_of(one)) for one in curves):
        raise ValueError(
            f"The survival functions of {type(model).__name__} do not tell where they step; functions with times x, as "
            "StepFunction of scikit-survival, are needed."
        )
    return curves


def _check_horizon(horizon, event, time, end):
    """The horizon, once events come before it and curves reach it."""
    if horizon is None:
        horizon = min(float(np.quantile(time, 1 - AT_RISK, method="lower")), end)
    elif horizon > end:
        raise ValueError(
            f"horizon={format_time(horizon)} is beyond the survival functions of the model, which end at "
            f"{format_time(end)}. Choose a time before."
        )
    if horizon > time.max():
        raise ValueError(
            f"horizon={format_time(horizon)} is beyond the follow-up of the {len(time)} patients: the last leaves at "
            f"{format_time(time.max())}. Choose a time before, in the unit of y."
        )
    if not (event & (time <= horizon)).any():
        first = f"the first is at {format_time(time[event].min())}" if event.any() else "nobody has one"
        raise ValueError(
            f"None of the {len(time)} patients has an event up to {format_time(horizon)}, so there is nothing to "
            f"recalibrate by: {first}."
        )
    return float(horizon)


def _correction(patients, method):
    event, time, expected, score = (patients[name].to_numpy() for name in patients)
    slope = 1.0 if method == "intercept" else calibration_slope(np.ones((1, len(event))), event, time, score)[0]
    total = expected @ np.exp((slope - 1) * score)
    if total <= 0:
        raise ValueError("The model expects no event of these patients up to the horizon; no factor makes that right.")
    return {
        "n_patients": len(event),
        "n_events": event.sum(),
        "expected": expected.sum(),
        "intercept": np.log(event.sum() / total),
        "slope": slope,
    }


def _refuse_slope(slope):
    if not slope > 0:
        found = "cannot be estimated" if np.isnan(slope) else f"is {slope:.2f}"
        raise ValueError(
            f"The calibration slope {found}: the model does not order these patients rightly, or predicts the same for "
            "all of them, and a slope cannot mend that. Use method='intercept', or another model."
        )
