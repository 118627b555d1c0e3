"""A Cox model whose penalty is chosen by cross-validation along one path of penalties per fold."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from sksurv.base import SurvivalAnalysisMixin
from sksurv.exceptions import NoComparablePairException
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from ._split import SurvivalKFold


class CoxPenaltySearch(SurvivalAnalysisMixin, BaseEstimator):
    """Choose the penalty of a Cox model by the C-index of patients who were left out.

    Does what a grid search over the penalty of :class:`~sksurv.linear_model.CoxnetSurvivalAnalysis` does, with one fit
    per fold: a path from the largest to the smallest penalty, on which each solution starts from the one before.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,)
        Penalties to choose from; among equally good ones the first is taken.
    l1_ratio : float, default=1e-4
        Share of the lasso. Coxnet needs some; the default removes no coefficient, which is ridge.
    cv : int, default=5
        Number of folds, dealt by :class:`~sksurv_mmf.model_selection.SurvivalKFold` without shuffling.

    Attributes
    ----------
    alpha_ : float
        The penalty that was chosen.
    scores_ : ndarray of shape (n_alphas,)
        Mean C-index over folds of each of `alphas`; NaN where the solver failed in a fold. Folds without two patients
        who can be compared are left out.
    best_estimator_ : CoxnetSurvivalAnalysis
        The model of all patients with this penalty.
    """

    def __init__(self, alphas, l1_ratio=1e-4, cv=5):
        self.alphas = alphas
        self.l1_ratio = l1_ratio
        self.cv = cv

    def fit(self, X, y):
        """Choose the penalty and fit the model with it.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_patients, n_columns)
            Numbers without gaps.
        y : structured array of shape (n_patients,)
            Event indicator and time.

        Returns
        -------
        self : CoxPenaltySearch
            The fitted estimator.
        """
        # An array, for checks of a frame take as long as a solution.
        values = np.asarray(X, dtype=float)
        folds = [self._fold_scores(values, y, *rows) for rows in SurvivalKFold(self.cv).split(values, y)]
        judged = [scores for scores in folds if scores is not None]
        if not judged:
            raise ValueError(
                f"In none of {len(folds)} folds can two patients be compared, so no penalty can be chosen. Use more "
                "patients, or a fixed penalty."
            )
        self.scores_ = np.mean(judged, axis=0)
        if np.isnan(self.scores_).all():
            raise ValueError(f"The solver failed at each of the penalties {list(self.alphas)}. Add larger ones.")
        self.alpha_ = float(self.alphas[np.nanargmax(self.scores_)])
        self.best_estimator_ = self._cox([self.alpha_], fit_baseline_model=True).fit(X, y)
        return self

    def _fold_scores(self, X, y, train, test):
        """C-index of the patients `test` by penalty; None if no two of them can be compared."""
        event, time = (y[test][name] for name in y.dtype.names)
        scores = []
        try:
            for coef in self._coefficients(X[train], y[train]):
                risk = X[test] @ coef
                scores.append(np.nan if np.isnan(risk).any() else concordance_index_censored(event, time, risk)[0])
        except NoComparablePairException:
            return None
        return scores

    def _coefficients(self, X, y):
        """Coefficients by penalty, in the order of `alphas`; NaN where the solver fails."""
        descending = np.argsort(self.alphas)[::-1]
        alphas = np.asarray(self.alphas, dtype=float)[descending]
        path = self._solve(alphas, X, y)
        # The solver ends a path where the deviance has stopped to fall, and fails on all of it where it fails at its
        # end: what a path does not reach is fitted by itself, as a grid search does.
        rest = [self._solve(alphas[[i]], X, y) for i in range(path.shape[1], len(alphas))]
        rest = [coef if coef.shape[1] else np.full((path.shape[0], 1), np.nan) for coef in rest]
        return np.hstack([path, *rest]).T[np.argsort(descending)]

    def _solve(self, alphas, X, y):
        """Coefficients of shape (n_columns, n_alphas), or fewer where the path ends early; none if the solver fails."""
        try:
            return self._cox(alphas).fit(X, y).coef_
        except ArithmeticError:
            return np.empty((X.shape[1], 0))

    def _cox(self, alphas, **params):
        return CoxnetSurvivalAnalysis(alphas=alphas, l1_ratio=self.l1_ratio, **params)

    def predict(self, X):
        """Predict the log hazard ratio.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_patients, n_columns)
            Patients with the columns that the model was fitted on.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Higher for an earlier event.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    def predict_survival_function(self, X, return_array=False):
        """Predict survival functions, by Breslow's estimate of the baseline.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_patients, n_columns)
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at the times of the training patients instead of functions.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_times).
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_survival_function(X, return_array=return_array)
