"""Several models, and one that combines their risks or their curves."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted
from sksurv.linear_model import CoxPHSurvivalAnalysis

from ..bags._array import BagDtype
from ..cohort._columns import check_table, select_columns
from ..cohort._lacking import fill_in_lacking
from ..cohort._lost_names import warn_of_merged_modalities
from ..outcome._align import align_outcome
from ..outcome._deal import deal, train_and_test
from ..outcome._leak import warn_of_leak
from ..outcome._outcome import Outcome, check_teaches
from ..patients._presence import check_has_any, check_present
from ..predictions._ask import CURVES, has, innermost, will_predict
from ..predictions._survival_model import SurvivalModel
from ..utils._frames import who_has
from ..utils._modality_composition import ModalityComposition
from ..utils._sklearn import HasMethods, Interval, StrOptions
from ..utils._warnings import warn
from ._members import measured_together, seen_by, shares
from ._shared_fits import fit_once
from ._trial import Trial, is_worse, marginal_curve

JUDGED = ["member", "Kaplan-Meier", "standard_error"]  # columns of the table of Brier scores
NEUTRAL = 0.5  # the rank of the median training patient


class LateFusionSurvivalAnalysis(SurvivalModel, ModalityComposition):
    """Predict survival by several models and combine their risks or their survival curves.

    The simplest fusion, and on small cohorts often the best: each modality gets the model that suits it, trained on
    the patients who have the modality. Models of one modality cannot let modalities interact; a network that fuses
    earlier has to show that they do, and may be a member beside them.

    Parameters
    ----------
    modalities : list of tuple
        The members: ``(name, estimator)`` for the columns named ``<name>__<feature>``, or ``(name, estimator,
        columns)``. A member that sees several modalities names them, ``["wsi", "rna"]``, as does one whose own name is
        not that of its modality, ``"rna"``; ``slice(None)`` is all of X. Names of columns and everything else is as in
        :class:`~sklearn.compose.ColumnTransformer`. A member is trained on, and predicts, the patients who have
        anything that it sees; what else they lack, its estimator has to cope with. An estimator is any of
        scikit-survival, whether it predicts risks or times, or a pipeline or search of one, or
        :class:`~sksurv_mmf.FusionSurvivalAnalysis`.
    combine : {"rank", "stack", "curves"}, default="rank"
        "rank": the mean rank of the patient's risks, over the members that predict her. "stack": a Cox model of the
        ranks, which learns how much each member is to be trusted. "curves": the weighted mean of the members' survival
        functions, for probabilities that are as good as the order.
    weights : list or dict of float, default=None
        For "curves", how much each member counts, in the order of `modalities` or by name; only their ratios matter.
        None counts all alike. Weights that are learnt are not offered: from 33 to 187 events they were worse than fixed
        ones wherever they were tried.
    cv : int, splitter or None, default=5
        Folds of the training patients. Models that have not seen a fold predict its patients, and from these
        predictions is learnt: the weights of "stack", the survival curves of "rank" and "stack", and which members
        "curves" silences. An int is the number of folds, dealt in the order of event and time. A splitter receives X
        and y; every patient has to be left out once. Each member is fitted once per fold and once to all patients. For
        "curves", None judges no member and fits each once.
    alpha : float, default=1.0
        Ridge penalty of the Cox model of "rank" and "stack", as in
        :class:`~sksurv.linear_model.CoxPHSurvivalAnalysis`.

    Attributes
    ----------
    estimators_ : dict of str to estimator
        The fitted estimator of each member.
    weights_ : Series
        For "stack" the log hazard ratio between the highest and the lowest rank of each member, for "rank" equal
        shares, for "curves" the shares of `weights`, 0 for members that are silenced.
    held_out_ranks_ : DataFrame of shape (n_patients, n_members)
        What "rank" and "stack" were learnt from: the ranks of the training patients by models that have not seen them,
        NaN where a member does not predict the patient. Absent with ``cv=None``.
    brier_scores_ : DataFrame of shape (n_members, 3)
        For "curves": integrated Brier scores of held-out patients, in the columns "member" and "Kaplan-Meier", and the
        "standard_error" of their difference; NaN where there is no time to judge at, or with ``cv=None``.
    silenced_ : list of str
        For "curves": the members whose score is worse than that of Kaplan-Meier by more than chance.
    combiner_ : CoxPHSurvivalAnalysis
        The Cox model of the ranks ("stack") or of their mean ("rank"); absent for "curves".
    unique_times_ : ndarray of shape (n_unique_times,)
        The times at which the survival curves step, in the unit of y.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    FusionSurvivalAnalysis : Fuses embeddings instead of risks.
    sksurv_mmf.presets.super_learner : A mean of curves of the fused network, ridge Cox and forests.
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

    Curves are averaged at all times of training patients and at those at which a member's curve steps. Curves of
    members end at different times, for instance at the last one at which a patient was seen who has the modality; from
    there to the last time of all training patients a curve keeps its last value. A member that does not predict a
    patient is left out for her, and the others share its weight. The risk is minus the mean of the averaged curve over
    the event times of the training patients.

    A member whose curves are worse for held-out patients than one curve for all, the Kaplan-Meier estimate of those
    who trained it, is silenced: its weight is 0, it is asked no more, and a warning says so. The score is the
    integrated Brier score [2]_ of all held-out patients together, up to the time at which a tenth of them is still
    followed. Worse means by more than two standard errors of the paired difference, because members that help often
    come out slightly worse. This guards against a member that is broken. It does not make a good mean better: several
    members that overrate what they know may average to curves that do not, and ``cv=None`` keeps them all. Patients
    whom no other member predicts, and all if every member is silenced, have the Kaplan-Meier curve of the training
    patients.

    References
    ----------
    .. [1] Wolpert, D. H. "Stacked generalization." Neural Networks 5(2), 241-259 (1992).
    .. [2] Graf, E., Schmoor, C., Sauerbrei, W., Schumacher, M. "Assessment and comparison of prognostic classification
           schemes for survival data." Statistics in Medicine 18, 2529-2545 (1999).

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

    Curves instead of ranks, and a network of both modalities that counts as much as the other two. ``cv=None`` judges
    nobody, which is quick:

    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> network = FusionSurvivalAnalysis(max_epochs=2, random_state=0)
    >>> members = [("wsi", image), ("rna", rna), ("network", network, ["wsi", "rna"])]
    >>> model = LateFusionSurvivalAnalysis(members, combine="curves", weights=[1, 1, 2], cv=None)
    >>> model.fit(cohort.X, cohort.y).weights_.to_list()
    [0.25, 0.25, 0.5]
    >>> model.predict_survival_function(cohort.X).shape
    (60,)
    """

    _parameter_constraints = {
        "modalities": [list],
        "combine": [StrOptions({"rank", "stack", "curves"})],
        "weights": [list, dict, None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"]), None],
        "alpha": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, modalities, *, combine="rank", weights=None, cv=5, alpha=1.0):
        self.modalities = modalities
        self.combine = combine
        self.weights = weights
        self.cv = cv
        self.alpha = alpha

    def fit(self, X, y):
        """Fit the estimator of each member, and their combination.

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
            If a column of X is the outcome in disguise: if it rises or falls with time or event without exception. If
            a member is silenced, or cannot be judged.
        """
        self._check_modalities("estimator", "that predict risk scores", will_predict)
        self._validate_params()
        self._check_combination()
        self._forget_fit()
        for of_another_combination in ("combiner_", "held_out_ranks_", "brier_scores_", "silenced_"):
            vars(self).pop(of_another_combination, None)
        # The outcome is aligned with X as it came, which tells whether its patients have names.
        X, y = check_table(self, X, reset=True), align_outcome(y, X)
        outcome = Outcome.of(y)
        check_teaches(outcome, X.index)
        warn_of_leak(X, outcome)
        self._columns = select_columns(X, [seen_by(X, member) for member in self.modalities])
        self._bags = [i for i, dtype in enumerate(X.dtypes) if isinstance(dtype, BagDtype)]
        warn_of_merged_modalities(X, self._columns, self.modalities)
        check_present(self._present(X), self._names)
        trials = self._hold_out(X, y, outcome)
        self._models = self._fit_models(X, y)
        self.estimators_ = {name: model.estimator for name, model in zip(self._names, self._models)}
        if self.combine == "curves":
            self._fit_curves(X, y, trials)
        else:
            self._fit_combiner(y)
        return self

    def _check_combination(self):
        """Refuse parameters that do not go together, before anything is fitted."""
        if self.combine == "curves":
            shares(self.weights, [name for name, _ in self._parts])
        elif self.weights is not None:
            raise ValueError(f"weights are for combine='curves' only, got combine={self.combine!r}. Leave them out.")
        elif self.cv is None:
            raise ValueError(f"cv=None is for combine='curves' only; {self.combine!r} learns from held-out patients.")

    @property
    def _names(self):
        return [name for name, _ in self._columns]

    def _hold_out(self, X, y, outcome):
        """Learn how members rank patients whom they have not seen; for "curves", return a trial of each member."""
        present = self._present(X)
        trials = [Trial(y, has_it) for has_it in present.T] if self.combine == "curves" and self.cv is not None else []
        ranks = np.full(present.shape, np.nan)

        def ask(model, X, m):
            return model.rank(X), model.survival(X, trials[m].times) if trials else None

        for train, test in self._folds(X, y, outcome):
            models = self._fit_models(X.iloc[train], y[train])
            for m, rows, (rank, survival) in self._ask(models, X.iloc[test], ask):
                ranks[test[rows], m] = rank
                if trials:
                    trials[m].hear(test[rows], survival, y[train[present[train, m]]])
        if self.cv is not None:
            self.held_out_ranks_ = self._frame(ranks, X.index)
        return trials

    def _present(self, X):
        """Who has anything that a member sees: (n_patients, n_members)."""
        present = np.column_stack([who_has(X, columns) for _, columns in self._columns])
        check_has_any(present, X.index, self._names)
        return present

    def _folds(self, X, y, outcome):
        if self.cv is None:
            return []
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
        """One fitted model per member, from the patients who have anything that it sees."""
        present = self._present(X)
        models = []
        for (name, columns), (_, estimator), has_it in zip(self._columns, self._parts, present.T):
            rows = np.flatnonzero(has_it)
            try:
                models.append(fit_once(estimator, X.iloc[rows, columns], y[rows]))
            except (ValueError, TypeError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"The estimator of {self._call(name)} cannot be fitted: {error}") from error
            if self.combine == "curves" and not has(models[-1].estimator, CURVES):
                raise ValueError(
                    f"The estimator of {self._call(name)} predicts no survival functions, which combine='curves' "
                    f"averages: {type(innermost(models[-1].estimator)).__name__} has no {CURVES}. Use an estimator "
                    "that has, or combine='rank'."
                )
        return models

    def _ask(self, models, X, question):
        """Yield (m, rows of X, `question(model, X of those, m)`) for the patients who have anything that member m sees.

        Members whose model is None are not asked.
        """
        for m, (model, has_it) in enumerate(zip(models, self._present(X).T)):
            if model is not None and has_it.any():
                (name, columns), rows = self._columns[m], np.flatnonzero(has_it)
                try:
                    answer = question(model, X.iloc[rows, columns], m)
                except ValueError as error:
                    raise ValueError(f"The estimator of {self._call(name)} cannot predict: {error}") from error
                yield m, rows, answer

    def _call(self, name):
        """What messages call a member."""
        return f"{'member' if self.combine == 'curves' else 'modality'} {name!r}"

    def _fit_combiner(self, y):
        scores = self._scores(self.held_out_ranks_.to_numpy())
        self.combiner_ = CoxPHSurvivalAnalysis(alpha=self.alpha).fit(scores, y)
        # Held-out patients of higher rank lived longer: curves that say so would contradict the risks.
        if self.combine == "rank" and self.combiner_.coef_[0] < 0:
            self.combiner_.fit(np.zeros_like(scores), y)
        weights = self.combiner_.coef_ if self.combine == "stack" else 1 / len(self._names)
        self.weights_ = pd.Series(weights, index=self._names, name="weight")
        self.unique_times_ = self.combiner_.unique_times_

    def _fit_curves(self, X, y, trials):
        """Silence members that know less than Kaplan-Meier, and find the times at which the mean curve steps."""
        scores = np.array([trial.scores() for trial in trials] or np.full((len(self._names), len(JUDGED)), np.nan))
        self.brier_scores_ = pd.DataFrame(scores, index=self._names, columns=JUDGED)
        self.silenced_ = [name for name, found in zip(self._names, scores) if is_worse(found)]
        weights = shares(self.weights, self._names) * ~np.isin(self._names, self.silenced_)
        self.weights_ = pd.Series(weights / (weights.sum() or 1), index=self._names, name="weight")
        self._warn_of_trials(trials)
        event, time = Outcome.of(y)
        first = X.iloc[np.unique(self._present(X).argmax(axis=0))]  # of each member, a patient whom it predicts
        steps = [found for *_, found in self._ask(self._heard(), first, lambda model, X, m: model.steps(X))]
        times = np.unique(np.concatenate([time, *steps]))
        times = times[times <= time.max()]
        self._event_times, self._marginal = np.unique(time[event]), marginal_curve(y, times)
        self.unique_times_ = times

    def _warn_of_trials(self, trials):
        for name, trial in zip(self._names, trials):
            if trial.reason:
                warn(f"Member {name!r} cannot be compared with Kaplan-Meier ({trial.reason}); it keeps its weight.")
        for name in self.silenced_:
            member, marginal, error = self.brier_scores_.loc[name]
            warn(
                f"Member {name!r} is silenced: for held-out patients its integrated Brier score is {member:.4g}, worse "
                f"than {marginal:.4g} of the Kaplan-Meier curve (standard error of the difference: {error:.2g}). Mend "
                "it or leave it out."
            )
        if not self.weights_.any():
            warn("All members are silenced, so that every patient has the Kaplan-Meier curve of the training patients.")

    def _heard(self):
        """The models, None for those whose weight is 0."""
        return [model if weight else None for model, weight in zip(self._models, self.weights_)]

    def _mean_curves(self, X):
        """The mean of the members' curves at `unique_times_`, by weight; (n_patients, n_times)."""
        X = self._check_patients(X)
        total, weight = np.zeros((len(X), len(self.unique_times_))), np.zeros((len(X), 1))
        for m, rows, survival in self._ask(self._heard(), X, lambda model, X, m: model.survival(X, self.unique_times_)):
            total[rows] += self.weights_.iloc[m] * survival
            weight[rows] += self.weights_.iloc[m]
        return np.where(weight > 0, total / np.where(weight > 0, weight, 1), self._marginal)

    def _scores(self, ranks):
        """What the Cox model sees: distances from the neutral rank, of the mean or of each modality."""
        if self.combine == "rank":
            ranks = np.nanmean(ranks, axis=1, keepdims=True)
        return np.nan_to_num(ranks, nan=NEUTRAL) - NEUTRAL

    def _frame(self, ranks, index):
        return pd.DataFrame(ranks, index=index, columns=self._names)

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
        X = self._check_patients(X)
        ranks = np.full((len(X), len(self._names)), np.nan)
        for m, rows, rank in self._ask(self._models, X, lambda model, X, m: model.rank(X)):
            ranks[rows, m] = rank
        return self._frame(ranks, X.index)

    def _check_patients(self, X):
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        X = fill_in_lacking(X, names, measured_together(names, self._columns), self._bags)
        X = check_table(self, X, reset=False)
        if len(X) == 0:
            raise ValueError("X has no patients (0 sample(s)), while a minimum of 1 is required.")
        return X

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on. A modality without any column, or whose columns are
            empty, is missing for all of them; here and in all that a model says about patients. Columns belong to a
            modality by their prefix, and those without one to the member that sees them.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Higher for an earlier event: the mean rank ("rank"), the log hazard ratio against a patient of neutral
            ranks ("stack"), or minus the mean of the survival curve over the event times of the training patients
            ("curves").

        Raises
        ------
        ValueError
            If X has some columns of a modality and not all, or a column that is not known, or if a patient has nothing
            that a member sees.
        """
        if self.combine == "curves":
            survival = self._mean_curves(X)
            return -survival[:, np.isin(self.unique_times_, self._event_times)].mean(axis=1)
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
        if self.combine == "curves":
            return self._as_functions(self._mean_curves(X), return_array)
        scores = self._scores(self.modality_ranks(X).to_numpy())
        return self.combiner_.predict_survival_function(scores, return_array=return_array)

    def predict_cumulative_hazard_function(self, X, return_array=False):
        """Predict cumulative hazard functions, minus the logarithm of the survival functions.

        Where a mean of curves is 0, its cumulative hazard is 708, as of the smallest number above 0.

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
        if self.combine == "curves":
            survival = np.maximum(self._mean_curves(X), np.finfo(float).tiny)  # where nobody survives, it is finite
            return self._as_functions(-np.log(survival), return_array)
        scores = self._scores(self.modality_ranks(X).to_numpy())
        return self.combiner_.predict_cumulative_hazard_function(scores, return_array=return_array)

    def _as_functions(self, values, return_array):
        return values if return_array else self._step_functions(values)


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
