"""The model that knows nothing of a patient."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..cohort._columns import check_table
from ..late_fusion._trial import marginal_curve
from ..outcome._align import align_outcome
from ..outcome._outcome import Outcome
from ..predictions._survival_model import SurvivalModel


class KaplanMeier(SurvivalModel, BaseEstimator):
    """The Kaplan-Meier curve of the training patients, for everybody.

    Use it as a row of a comparison, where it shows what a Brier score is worth: a model whose Brier score is no lower
    has learnt nothing of use from the columns of X, whatever its C-index. Its own C-index is one half.

    Attributes
    ----------
    unique_times_ : ndarray of shape (n_unique_times,)
        0 and the times of the training patients.

    survival_ : ndarray of shape (n_unique_times,)
        The curve at these times.

    n_features_in_ : int
        Number of columns seen during fit; none of them is used.

    feature_names_in_ : ndarray of str
        Names of the columns, if X was a frame.

    See Also
    --------
    sksurv_mmf.presets.baselines : Has it beside models that learn.
    sksurv.nonparametric.kaplan_meier_estimator : The curve, with confidence intervals.

    References
    ----------
    .. [1] Kaplan, E. L., Meier, P. "Nonparametric estimation from incomplete observations." Journal of the American
           Statistical Association 53(282), 457-481 (1958).

    Examples
    --------
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.model_selection import KaplanMeier
    >>> cohort = load_breast_cancer_cohort()
    >>> model = KaplanMeier().fit(cohort.X, cohort.y)
    >>> float(model.predict_survival_function(cohort.X)[0](3650).round(2))
    0.79
    """

    def fit(self, X, y):
        """Estimate the curve.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients; only who they are matters.
        y : structured array of shape (n_patients,) or DataFrame
            Event and time; a table is aligned with X by its index.

        Returns
        -------
        KaplanMeier
            Itself.
        """
        self._forget_fit()
        y = align_outcome(y, check_table(self, X, reset=True))
        # From 0 on, for before its first step a step function has the value of that step.
        times = np.union1d(0.0, Outcome.of(y).time)
        self.survival_ = marginal_curve(y, times)
        self.unique_times_ = times
        return self

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns of `fit`.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            0 for everybody.
        """
        return np.zeros(self._n_patients(X))

    def predict_survival_function(self, X, return_array=False):
        """Predict survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns of `fit`.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times);
            the same for everybody.
        """
        n_patients = self._n_patients(X)
        if return_array:
            return np.tile(self.survival_, (n_patients, 1))
        return self._step_functions([self.survival_] * n_patients)

    def _n_patients(self, X):
        check_is_fitted(self)
        return len(check_table(self, X, reset=False))
