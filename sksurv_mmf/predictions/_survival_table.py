"""Survival probabilities of patients at given times, as a table."""

import numpy as np
import pandas as pd

from ..utils._frames import as_frame, check_is_table
from ..utils._sklearn import num_samples
from ..utils._validation import format_time, shorten
from ._ask import CURVES, check_model, has, predict_curves, unwrap
from ._checks import as_real_numbers, carried_forward, check_curves, common_domain, steps_of

TABLE = "predict_survival_table"


def predict_survival_table(model, X, horizons, confidence_level: float = 0.95) -> pd.DataFrame:
    """Survival probabilities at given times, of any survival model and of what a Pipeline or a search holds.

    Use it for the times that a report or a clinic asks about, such as one and three years, where the model may be
    behind a Pipeline, or of another package.

    Parameters
    ----------
    model : estimator
        A fitted survival estimator, or a Pipeline or search of one. The outermost that has a method
        `predict_survival_table`, as :class:`~sksurv_mmf.FusionSurvivalAnalysis` has, is asked for it, with X as the
        steps before transform it. If none has, survival functions are evaluated.
    X : DataFrame of shape (n_patients, n_columns) or array-like
        Patients with the columns that `model` was fitted on.
    horizons : float or array-like of float
        Times of interest, in the unit of y. At most the end of the survival functions, beyond which nothing was learnt;
        before the first step everybody lives.
    confidence_level : float, default=0.95
        Which share of the networks of an ensemble lies between `lower` and `upper`. Of no effect on other models.

    Returns
    -------
    DataFrame of shape (n_patients * n_horizons, 3) or (n_patients * n_horizons, 1)
        With an index of patient, as X names them, and time, in the given orders, and the column `survival`. Of an
        ensemble of networks also `lower` and `upper`, which are no confidence interval of the true probability; see
        :meth:`~sksurv_mmf.FusionSurvivalAnalysis.predict_survival_table`.

    Raises
    ------
    AttributeError
        If the model predicts no survival functions.
    ValueError
        If a horizon is negative, no number, or beyond the end of the survival functions, or if these leave [0, 1] or
        rise.

    See Also
    --------
    median_survival_time : When a survival function falls to one half.
    restricted_mean_survival_time : The area under it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.predictions import predict_survival_table
    >>> X = pd.DataFrame({"age": [70.0, 50, 60, 65]}, index=["Ann", "Bea", "Cleo", "Dora"])
    >>> y = Surv.from_arrays([True, True, True, False], [1.0, 4, 3, 5])
    >>> model = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1)).fit(X, y)
    >>> predict_survival_table(model, X[:2], [0.5, 3]).round(2)
                  survival
    patient time
    Ann     0.5       1.00
            3.0       0.51
    Bea     0.5       1.00
            3.0       0.60
    """
    check_is_table(X)
    check_confidence_level(confidence_level)
    method = TABLE if has(model, TABLE) else CURVES
    check_model(model, method)
    frame = as_frame(X)
    patients = frame.index if isinstance(frame, pd.DataFrame) else pd.RangeIndex(num_samples(X))
    if method == TABLE:
        inner, seen = unwrap(model, X, TABLE)
        table = inner.predict_survival_table(seen, horizons, confidence_level)
        # Steps before it may have returned an array, which does not name the patients.
        return table.set_axis(_rows(patients, np.atleast_1d(np.asarray(horizons, dtype=float))))
    curves = predict_curves(model, X)
    horizons = check_horizons(horizons, common_domain(curves)[1])
    check_curves(curves, horizons, patients)
    values = carried_forward(curves, horizons)
    # Before its first step a StepFunction has the value of the step.
    first = [next(iter(steps_of(curve)), -np.inf) for curve in curves]
    return survival_table(np.where(horizons < np.reshape(first, (-1, 1)), 1, values)[np.newaxis], patients, horizons)


def check_confidence_level(confidence_level):
    """Refuse what is no share between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must be between 0 and 1, got {confidence_level!r}.")


def check_horizons(horizons, end):
    """Horizons as an array, once all lie between 0 and the end of the curves."""
    horizons = np.atleast_1d(as_real_numbers(horizons, "horizons is"))
    wrong = horizons[~((horizons >= 0) & (horizons <= end))] if horizons.ndim == 1 else horizons.ravel()
    if len(wrong) or not len(horizons):
        raise ValueError(
            f"horizons must be one or several times from 0 to {format_time(end)}, where the survival functions end; "
            f"got {shorten(wrong) or 'none'}."
        )
    return horizons


def survival_table(values, patients, horizons):
    """The table of probabilities, or of these and their limits.

    Parameters
    ----------
    values : ndarray of shape (1 or 3, n_patients, n_horizons)
        Probabilities, and where there are limits the lower and the upper ones.
    patients : Index
        Who they are.
    horizons : ndarray of shape (n_horizons,)
        When.
    """
    columns = ["survival", "lower", "upper"][: len(values)]
    return pd.DataFrame(values.reshape(len(values), -1).T, _rows(patients, horizons), columns)


def _rows(patients, horizons):
    """All horizons of the first patient, then those of the next."""
    names = [patients.name or "patient", "time"]
    return pd.MultiIndex.from_arrays([patients.repeat(len(horizons)), np.tile(horizons, len(patients))], names=names)
