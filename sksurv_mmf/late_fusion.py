"""One model per modality, and one that combines their risks."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted
from sksurv.linear_model import CoxPHSurvivalAnalysis

from .cohort._columns import check_table, select_columns
from .cohort._lost_names import warn_of_merged_modalities
from .outcome._align import align_outcome
from .outcome._deal import deal, train_and_test
from .outcome._leak import warn_of_leak
from .outcome._outcome import Outcome, check_teaches
from .patients._presence import check_has_any, check_present
from .predictions._ask import predict_risk, will_predict
from .predictions._survival_model import SurvivalModel
from .utils._frames import who_has
from .utils._modality_composition import ModalityComposition
from .utils._sklearn import HasMethods, Interval, StrOptions

NEUTRAL = 0.5  # the rank of the median training patient
SAME_RISK = 1e-6  # of the range of risks: floating-point noise, also of networks, that makes no patient higher


class LateFusionSurvivalAnalysis(SurvivalModel, ModalityComposition):
    """Predict survival by one model per modality and combine their risks.

    The simplest fusion, and on small cohorts often the best: each modality gets the model that suits it, trained on
    the patients who have the modality. The modalities cannot interact; a network that fuses earlier has to show that
    they do.

    Parameters
    ----------
    modalities : list of tuple
        ``(name, estimator)`` for the columns named ``<name>__<feature>``, or ``(name, estimator, columns)`` with
        columns as in :class:`~sklearn.compose.ColumnTransformer`. An estimator is any of scikit-survival,
        whether it predicts risks or times, or a pipeline or search of one, or
        :class:`~sksurv_mmf.FusionSurvivalAnalysis` for a modality of bags.
    combine : {"rank", "stack"}, default="rank"
        "rank": the mean rank of the patient's risks, over the modalities that the patient has. "stack": a Cox model
        of the ranks, which learns how much each modality is to be trusted.
    cv : int or splitter, default=5
        Folds of the training patients. Models that have not seen a fold rank its patients, and from these ranks the
        combination is learnt: the weights of "stack", and for both the survival curves. An int is the number of folds,
        dealt in the order of event and time. A splitter receives X and y; every patient has to be left out once.
    alpha : float, default=1.0
        Ridge penalty of the Cox model, as in :class:`~sksurv.linear_model.CoxPHSurvivalAnalysis`.

    Attributes
    ----------
    estimators_ : dict of str to estimator
        The fitted estimator of each modality.
    weights_ : Series
        For "stack" the log hazard ratio between the highest and the lowest rank of each modality, for "rank" equal
        shares.
    held_out_ranks_ : DataFrame of shape (n_patients, n_modalities)
        What the combination was learnt from: the ranks of the training patients by models that have not seen them, NaN
        where a patient lacks the modality.
    combiner_ : CoxPHSurvivalAnalysis
        The Cox model of the ranks ("stack") or of their mean ("rank").
    unique_times_ : ndarray of shape (n_unique_times,)
        The times at which the survival curves step, in the unit of y.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    FusionSurvivalAnalysis : Fuses embeddings instead of risks.
    sksurv_mmf.presets.baselines : Late fusion of forests, and other models to compare with.

    Notes
    -----
    Risks of different models have different scales, ranks do not. A patient's risk is ranked among the risks that the
    same model gives its n training patients, and so does not depend on who else is predicted. The k-th lowest of these
    has the rank (k - 1/2) / n, ties share their mean, and the rank rises linearly in between. A missing modality has
    the rank 1/2 in "stack", and is left out of the mean in "rank".

    A model that has learnt its training patients by heart ranks itself well and others badly. Ranks of the held-out
    patients tell the two apart: the Cox model of "stack" is fitted to them alone.

    For "rank" the Cox model of the curves is not allowed a negative coefficient: if held-out patients of higher rank
    live longer, all curves are the same.

    References
    ----------
    .. [1] Wolpert, D. H. "Stacked generalization." Neural Networks 5(2), 241-259 (1992).

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf import LateFusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.preprocessing import BagPooling
    >>> cohort = make_multimodal_survival(n_patients=60, n_genes=20, n_tiles=(5, 15), random_state=0)
    >>> image = make_pipeline(BagPooling(), StandardScaler(), CoxPHSurvivalAnalysis(alpha=100))
    >>> rna = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=100))
    >>> model = LateFusionSurvivalAnalysis([("wsi", image), ("rna", rna)]).fit(cohort.X, cohort.y)
    >>> model.predict(cohort.X).shape
    (60,)
    >>> model.modality_ranks(cohort.X).columns.to_list()
    ['wsi', 'rna']
    """

    _parameter_constraints = {
        "modalities": [list],
        "combine": [StrOptions({"rank", "stack"})],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"])],
        "alpha": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, modalities, *, combine="rank", cv=5, alpha=1.0):
        self.modalities = modalities
        self.combine = combine
        self.cv = cv
        self.alpha = alpha

    def fit(self, X, y):
        """Fit one estimator per modality, and their combination.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            The cohort: columns named ``<modality>__<feature>``, or a numeric table that is one modality. A patient
            who is in the index more than once is reported by a warning.
        y : structured array of shape (n_patients,) or DataFrame
            Event indicator and time, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its
            index, the patient.

        Returns
        -------
        self : LateFusionSurvivalAnalysis
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y is not usable, or an estimator refuses its training patients.

        Warns
        -----
        UserWarning
            If a column of X is the outcome in disguise: if it rises or falls with time or event without exception.
        """
        self._check_modalities("estimator", "that predict risk scores", will_predict)
        self._validate_params()
        self._forget_fit()
        # The outcome is aligned with X as it came, which tells whether its patients have names.
        X, y = check_table(self, X, reset=True), align_outcome(y, X)
        outcome = Outcome.of(y)
        check_teaches(outcome, X.index)
        warn_of_leak(X, outcome)
        self._columns = select_columns(X, self.modalities)
        warn_of_merged_modalities(X, self._columns, self.modalities)
        check_present(self._present(X), [name for name, _ in self._columns])
        held_out = np.full((len(X), len(self._columns)), np.nan)
        for train, test in self._folds(X, y, outcome):
            held_out[test] = self._rank(self._fit_models(X.iloc[train], y[train]), X.iloc[test])
        self._models = self._fit_models(X, y)
        self.estimators_ = {name: model.estimator for (name, _), model in zip(self._columns, self._models)}
        self.held_out_ranks_ = self._frame(held_out, X.index)
        self._fit_combiner(held_out, y)
        return self

    def _present(self, X):
        """Who has which modality: (n_patients, n_modalities)."""
        present = np.column_stack([who_has(X, columns) for _, columns in self._columns])
        check_has_any(present, X.index, [name for name, _ in self._columns])
        return present

    def _folds(self, X, y, outcome):
        if isinstance(self.cv, Integral):
            return _deal_folds(outcome, self.cv)
        folds = list(self.cv.split(X, y))
        left_out = np.concatenate([test for _, test in folds])
        if not np.array_equal(np.sort(left_out), np.arange(len(X))):
            raise ValueError(
                f"cv={self.cv!r} must leave out each of the {len(X)} patients once, but it leaves out "
                f"{len(np.unique(left_out))} of them, in all {len(left_out)} times. Use for instance SurvivalKFold(5)."
            )
        return folds

    def _fit_models(self, X, y):
        """One fitted model per modality, from the patients who have it."""
        present = self._present(X)
        models = []
        for (name, columns), (_, estimator), has_it in zip(self._columns, self._parts, present.T):
            rows = np.flatnonzero(has_it)
            try:
                models.append(RankingModel.fit(estimator, X.iloc[rows, columns], y[rows]))
            except (ValueError, TypeError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"The estimator of modality {name!r} cannot be fitted: {error}") from error
        return models

    def _rank(self, models, X):
        """Ranks of all patients by all models, NaN for missing modalities."""
        ranks = np.full((len(X), len(models)), np.nan)
        for m, (model, has_it) in enumerate(zip(models, self._present(X).T)):
            if has_it.any():
                name, columns = self._columns[m]
                try:
                    ranks[has_it, m] = model.rank(X.iloc[np.flatnonzero(has_it), columns])
                except ValueError as error:
                    raise ValueError(f"The estimator of modality {name!r} cannot predict: {error}") from error
        return ranks

    def _fit_combiner(self, held_out, y):
        scores = self._scores(held_out)
        self.combiner_ = CoxPHSurvivalAnalysis(alpha=self.alpha).fit(scores, y)
        # Held-out patients of higher rank lived longer: curves that say so would contradict the risks.
        if self.combine == "rank" and self.combiner_.coef_[0] < 0:
            self.combiner_.fit(np.zeros_like(scores), y)
        names = [name for name, _ in self._columns]
        weights = self.combiner_.coef_ if self.combine == "stack" else 1 / len(names)
        self.weights_ = pd.Series(weights, index=names, name="weight")
        self.unique_times_ = self.combiner_.unique_times_

    def _scores(self, ranks):
        """What the Cox model sees: distances from the neutral rank, of the mean or of each modality."""
        if self.combine == "rank":
            ranks = np.nanmean(ranks, axis=1, keepdims=True)
        return np.nan_to_num(ranks, nan=NEUTRAL) - NEUTRAL

    def _frame(self, ranks, index):
        return pd.DataFrame(ranks, index=index, columns=[name for name, _ in self._columns])

    def modality_ranks(self, X):
        """Compute how each modality ranks each patient among the training patients.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        ranks : DataFrame of shape (n_patients, n_modalities)
            From 0 for the lowest to 1 for the highest risk; NaN where the patient lacks the modality.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        if len(X) == 0:
            raise ValueError("X has no patients (0 sample(s)), while a minimum of 1 is required.")
        return self._frame(self._rank(self._models, X), X.index)

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Higher for an earlier event: the mean rank, or the log hazard ratio against a patient of neutral ranks.
        """
        scores = self._scores(self.modality_ranks(X).to_numpy())
        return scores[:, 0] + NEUTRAL if self.combine == "rank" else self.combiner_.predict(scores)

    def predict_survival_function(self, X, return_array=False):
        """Predict survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times).
        """
        scores = self._scores(self.modality_ranks(X).to_numpy())
        return self.combiner_.predict_survival_function(scores, return_array=return_array)

    def predict_cumulative_hazard_function(self, X, return_array=False):
        """Predict cumulative hazard functions, minus the logarithm of the survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        cum_hazard : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times).
        """
        scores = self._scores(self.modality_ranks(X).to_numpy())
        return self.combiner_.predict_cumulative_hazard_function(scores, return_array=return_array)


def relative_rank(risk, reference):
    """Rank of risks among those of a reference, from 0 to 1.

    The k-th lowest of n reference risks has the rank (k - 1/2) / n, and ties share their mean. In between the rank
    rises linearly, because a risk that changes in its last digit must not jump. Risks beyond the reference have the
    rank of its lowest or highest. If all risks of the reference are the same, every rank is 1/2.

    Parameters
    ----------
    risk : ndarray of shape (n_patients,)
        The risks to rank.
    reference : ndarray of shape (n_reference,)
        The risks to rank them among.

    Returns
    -------
    rank : ndarray of shape (n_patients,)
        The ranks.
    """
    reference = np.sort(reference)
    # Risks closer than noise are one group of ties; its mean risk and mean rank are a point to interpolate between.
    steps = np.diff(reference, prepend=reference[:1]) > SAME_RISK * (reference[-1] - reference[0])
    _, group, count = np.unique(np.cumsum(steps), return_inverse=True, return_counts=True)
    mean_risk = np.bincount(group, reference) / count
    mean_rank = (np.cumsum(count) - count / 2) / len(reference)
    return np.interp(risk, mean_risk, mean_rank)


def _deal_folds(outcome, n_folds):
    """Deal patients to folds in the order of event and time, whatever the order of rows; pairs of train and test."""
    event, time = outcome
    if outcome.n_events < n_folds:
        raise ValueError(
            f"cv={n_folds} folds need {n_folds} events, one for each to leave out, but there are {outcome.n_events}. "
            "Use fewer folds."
        )
    # By time itself and without shuffling, so that a fit depends on its patients and on no seed or order of rows.
    return train_and_test(deal(event, n_folds, time), n_folds)


@dataclass(frozen=True)
class RankingModel:
    """A fitted estimator and the risks of its training patients."""

    estimator: BaseEstimator
    reference: np.ndarray

    @classmethod
    def fit(cls, estimator, X, y):
        estimator = clone(estimator).fit(X, y)
        return cls(estimator, predict_risk(estimator, X))

    def rank(self, X):
        return relative_rank(predict_risk(self.estimator, X), self.reference)
