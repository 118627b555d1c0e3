"""What the survival estimators of this package have in common."""

import numpy as np
from sksurv.base import SurvivalAnalysisMixin
from sksurv.functions import StepFunction

from ..outcome._align import align_outcome


class SurvivalModel(SurvivalAnalysisMixin):
    """Base of estimators that are fitted once they have `unique_times_`, and whose outcome may be a table."""

    def __sklearn_is_fitted__(self):
        return hasattr(self, "unique_times_")

    def _forget_fit(self):
        """Be unfitted until `fit` ends: an interrupt leaves no model that is half the old and half the new one."""
        vars(self).pop("unique_times_", None)

    def _step_functions(self, values):
        """Functions of time with these values, (n_patients, n_times), at `unique_times_`."""
        curves = np.empty(len(values), dtype=object)
        curves[:] = [StepFunction(self.unique_times_, row) for row in values]
        return curves

    def score(self, X, y):
        """Compute the concordance index of the predicted risks.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        y : structured array of shape (n_patients,) or DataFrame
            Their outcome, as in `fit`.

        Returns
        -------
        c_index : float
            Harrell's C-index, see :func:`sksurv.metrics.concordance_index_censored`.
        """
        return super().score(X, align_outcome(y, X))
