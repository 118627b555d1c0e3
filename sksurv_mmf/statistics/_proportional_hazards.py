"""Does a coefficient of a Cox model change over time? A score test, and a smooth curve of the coefficient."""

import numpy as np
from scipy import stats

from ._cox import at_events
from ._kaplan_meier import kaplan_meier

CURVE_DF = 4
"""Coefficients of a curve over time, as R's `plot.cox.zph` has them."""


def time_scale(event, time, at):
    """Times as the share of patients who have had the event just before them (1 minus Kaplan-Meier).

    On this scale events lie evenly, so that a few late ones do not decide alone. It is the scale of R's `cox.zph`.
    """
    return 1 - kaplan_meier(np.ones((1, len(time))), event, time, np.nextafter(at, -np.inf))[0]


def proportional_hazards_tests(fit, X, event, time, stratum):
    """Test of each coefficient against one that changes with time, on the scale of `time_scale`.

    The score test of ``coef(t) = coef + change * g(t)`` [1]_, as R's `cox.zph` computes it from version 3 of survival
    on, with the covariances of the covariates at each event instead of their mean.

    Parameters
    ----------
    fit : CoxFit
        The fit to these patients, all of whose coefficients are known.
    X, event, time, stratum : ndarray
        Covariates, outcome and strata of `fit_cox`.

    Returns
    -------
    chi2, p_value : ndarray of shape (n_columns,)
        Chi-squared of one degree of freedom and its p-value.

    References
    ----------
    .. [1] Grambsch, P. M., Therneau, T. M. "Proportional hazards tests and diagnostics based on weighted residuals."
           Biometrika 81(3), 515-526 (1994).
    """
    events = at_events(fit.coef, X, event, time, stratum)
    g = time_scale(event, time, time[events.rows])
    g = g - g.mean()
    score = g @ events.residuals
    both, changing = (np.tensordot(weight, events.covariances, 1) for weight in (g, g**2))
    # What is left of the information on the change once the coefficients themselves have been estimated.
    information = np.diag(changing - both @ fit.covariance @ both)
    chi2 = np.divide(score**2, information, out=np.full(len(score), np.nan), where=information > 0)
    return chi2, stats.chi2.sf(chi2, 1)


def coefficient_over_time(fit, column, X, event, time, stratum, at, confidence_level=0.95):
    """Smooth curve of a coefficient over time, by natural splines through scaled Schoenfeld residuals [1]_.

    Parameters
    ----------
    fit : CoxFit
        The fit to these patients.
    column : int
        Which coefficient.
    X, event, time, stratum : ndarray
        Covariates, outcome and strata of `fit_cox`.
    at : ndarray of shape (n_times,)
        Times of the curve, between the first and the last event.
    confidence_level : float, default=0.95
        Level of the pointwise band.

    Returns
    -------
    coef, lower, upper : ndarray of shape (n_times,)
        The curve and its band.

    References
    ----------
    .. [1] Grambsch, P. M., Therneau, T. M. "Proportional hazards tests and diagnostics based on weighted residuals."
           Biometrika 81(3), 515-526 (1994).
    """
    events = at_events(fit.coef, X, event, time, stratum)
    n_events = len(events.rows)
    scaled = fit.coef[column] + n_events * events.residuals @ fit.covariance[column]
    scale, wanted = (time_scale(event, time, one) for one in (time[events.rows], at))
    knots = np.quantile(scale, np.linspace(0, 1, CURVE_DF))
    basis, basis_at = natural_spline(scale, knots), natural_spline(wanted, knots)
    inverse = np.linalg.pinv(basis)
    curve = basis_at @ (inverse @ scaled)
    error = np.linalg.norm(basis_at @ inverse, axis=1) * np.sqrt(n_events * fit.covariance[column, column])
    margin = stats.norm.ppf((1 + confidence_level) / 2) * error
    return curve, curve - margin, curve + margin


def natural_spline(x, knots):
    """Basis of cubic splines that are straight beyond the outer knots, shape (len(x), n_knots)."""
    low, high = knots[0], knots[-1]
    x, knots = ((one - low) / max(high - low, 1e-300) for one in (np.asarray(x, dtype=float), np.asarray(knots)))
    knots = np.unique(knots)  # ties may merge some

    def bend(knot):
        return (np.maximum(x - knot, 0) ** 3 - np.maximum(x - 1, 0) ** 3) / (1 - knot)

    inner = [bend(knot) - bend(knots[-2]) for knot in knots[:-2]]
    return np.column_stack([np.ones_like(x), x, *inner])
