"""Cross-validation that keeps events and follow-up times balanced."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from ..outcome._align import align_outcome, check_same_rows
from ..outcome._deal import deal, deal_groups
from ..outcome._outcome import Outcome
from ..utils._sklearn import Interval, validate_parameter_constraints
from ._groups import check_groups_can_be_dealt, read_groups


def survival_folds(event, time, n_splits, n_time_bins, random_state=None, groups=None):
    """Deal patients, or groups of them, to folds so that each gets its share of every event x time-quantile stratum.

    Parameters
    ----------
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed.

    time : ndarray of shape (n_patients,)
        Time of event or censoring.

    n_splits : int
        Number of folds.

    n_time_bins : int
        Number of quantile bins of the times, made for events and censored patients separately.

    random_state : numpy.random.RandomState, default=None
        Shuffles patients within strata. None keeps their order.

    groups : ndarray of int, shape (n_patients,), default=None
        Number of each patient's group, which stays together. None deals patients one by one.

    Returns
    -------
    ndarray of int, shape (n_patients,)
        The fold in which each patient is tested.
    """
    # Events and censored patients have bins of their own: censored times are often the longest of all, and common
    # quantiles would put most of one group into one bin.
    n_time_bins = min(n_time_bins, len(time))  # with so many, each time has a bin of its own
    time_bin = np.empty(len(time), dtype=int)
    for group in (event, ~event):
        if group.any():
            edges = np.quantile(time[group], np.linspace(0, 1, n_time_bins + 1)[1:-1])
            time_bin[group] = np.searchsorted(edges, time[group], side="right")
    if groups is None:
        return deal(event, n_splits, time_bin, random_state)
    return deal_groups(groups, event, n_splits, time_bin, random_state)


class SurvivalKFold(BaseCrossValidator):
    """K-fold cross-validation, stratified on event and time.

    Each fold is a small copy of the cohort: the same share of events, and early, middle and late times among events
    and among censored patients alike. Use it wherever scikit-learn takes ``cv=``; scikit-learn's own
    ``StratifiedKFold`` does not understand a survival outcome, and a plain ``KFold`` of a small cohort makes folds
    with few or no events, whose concordance index is noise. With ``groups=``, hospitals, scanners or patients of
    several rows stay in one fold, and folds are as balanced as that allows.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of events.

    n_time_bins : int, default=4
        Number of time quantiles to balance, made for events and censored patients separately. More bins balance the
        times more finely; there may be more bins than events.

    shuffle : bool, default=False
        Whether to shuffle the patients of a stratum before they are dealt to the folds.

    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling; an int gives the same folds at every call. Only with ``shuffle=True``.

    See Also
    --------
    RepeatedSurvivalKFold : The same several times, shuffled differently.
    tissue_source_site : Groups of patients of TCGA by hospital.

    Notes
    -----
    Without groups, folds differ by one patient at most in their number of patients, of events, and of patients in any
    stratum.

    Which patients share a fold depends on the order of the rows (within a stratum without shuffling, everywhere with
    it), so align the rows of all models that are to be compared on the same folds.

    Groups are dealt from the one with most events down, each to the fold that has least of what the group brings:
    patients, events, and early, middle and late times. Who shares a fold with whom then does not depend on the order of
    the rows. In trials with 15 to 200 groups of random sizes folds differed by no more than the largest group has, in
    patients and in events; no bound holds for all. Shuffling mixes groups of about the same number of events alone, so
    with a few large groups repetitions are alike. Where each patient is a group of her own there is nothing to keep
    together, and folds are those without groups.

    A fold with a single event has no comparable pair of patients, and so no concordance index, if that event comes
    after all times in its fold; take fewer folds then.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.model_selection import SurvivalKFold
    >>> y = Surv.from_arrays(event=np.arange(20) < 8, time=np.arange(1, 21))
    >>> for train, test in SurvivalKFold(n_splits=4).split(y, y):
    ...     print(test, y["event"][test].sum())
    [ 0  4  8 12 16] 2
    [ 1  5  9 13 17] 2
    [ 2  6 10 14 18] 2
    [ 3  7 11 15 19] 2
    """

    __metadata_request__split = {"groups": True}

    _parameter_constraints: dict = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "n_time_bins": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(self, n_splits=5, *, n_time_bins=4, shuffle=False, random_state=None):
        self.n_splits = n_splits
        self.n_time_bins = n_time_bins
        self.shuffle = shuffle
        self.random_state = random_state
        # a splitter has no fit; like scikit-learn's own it is checked when it is made
        validate_parameter_constraints(self._parameter_constraints, vars(self), "SurvivalKFold")
        if random_state is not None and not shuffle:
            raise ValueError(f"random_state={random_state!r} has no effect without shuffling; pass shuffle=True.")

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored.

        y : object, default=None
            Ignored.

        groups : object, default=None
            Ignored.

        Returns
        -------
        int
            The number of folds.
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield the positions of training and test patients of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            The patients; their columns do not matter.

        y : structured array of shape (n_patients,) or DataFrame, default=None
            Event and time, in the order of X. Needed; None is an error.

        groups : Series or array-like of shape (n_patients,), default=None
            Whose patients stay in one fold: names or numbers of hospitals, scanners or, where a patient has several
            rows, patients. A Series goes by its index if X has one, an array by position. None deals patients one by
            one.

        Yields
        ------
        train, test : ndarray of int
            Positions of the training and the test patients.

        Raises
        ------
        ValueError
            If there are fewer events, groups, or groups with events than folds, or if a patient has no group.

        Warns
        -----
        UserWarning
            If a group has more than half of the events, or more than two folds should have.
        """
        yield from super().split(X, y, groups)

    def _iter_test_masks(self, X=None, y=None, groups=None):
        event, time, groups = _check_split(self, X, y, groups)
        random_state = check_random_state(self.random_state) if self.shuffle else None
        folds = survival_folds(event, time, self.n_splits, self.n_time_bins, random_state, groups)
        for fold in range(self.n_splits):
            yield folds == fold


class RepeatedSurvivalKFold(BaseCrossValidator):
    """Stratified k-fold cross-validation, repeated with different shuffles.

    Use it to see how much a score owes to the way in which a small cohort was split: on a few hundred patients the
    mean over five folds moves by several hundredths of concordance from one shuffle to the next.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of events.

    n_repeats : int, default=3
        How often the cohort is split.

    n_time_bins : int, default=4
        Number of time quantiles to balance, as in `SurvivalKFold`.

    random_state : int, RandomState instance or None, default=None
        Seed of all repetitions; an int gives the same folds at every call.

    See Also
    --------
    SurvivalKFold : A single repetition; tells how the folds are made.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv.util import Surv
    >>> from sksurv_mmf.model_selection import RepeatedSurvivalKFold
    >>> y = Surv.from_arrays(event=np.arange(20) < 8, time=np.arange(1, 21))
    >>> cv = RepeatedSurvivalKFold(n_splits=4, n_repeats=10, random_state=0)
    >>> len(list(cv.split(y, y)))
    40
    """

    __metadata_request__split = {"groups": True}

    _parameter_constraints: dict = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_time_bins": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_splits=5, n_repeats=3, *, n_time_bins=4, random_state=None):
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.n_time_bins = n_time_bins
        self.random_state = random_state
        validate_parameter_constraints(self._parameter_constraints, vars(self), "RepeatedSurvivalKFold")

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds of all repetitions together.

        Parameters
        ----------
        X : object, default=None
            Ignored.

        y : object, default=None
            Ignored.

        groups : object, default=None
            Ignored.

        Returns
        -------
        int
            ``n_splits * n_repeats``.
        """
        return self.n_splits * self.n_repeats

    def split(self, X, y=None, groups=None):
        """Yield the positions of training and test patients of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            The patients; their columns do not matter.

        y : structured array of shape (n_patients,) or DataFrame, default=None
            Event and time, in the order of X. Needed; None is an error.

        groups : Series or array-like of shape (n_patients,), default=None
            Whose patients stay in one fold, as in `SurvivalKFold`.

        Yields
        ------
        train, test : ndarray of int
            Positions of the training and the test patients.
        """
        yield from super().split(X, y, groups)

    def _iter_test_masks(self, X=None, y=None, groups=None):
        event, time, groups = _check_split(self, X, y, groups)
        random_state = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            folds = survival_folds(event, time, self.n_splits, self.n_time_bins, random_state, groups)
            for fold in range(self.n_splits):
                yield folds == fold


def _check_split(splitter, X, y, groups):
    name = type(splitter).__name__
    if y is None:
        raise ValueError(f"{name} needs y, the structured array of events and times; got None.")
    check_same_rows(y, X)
    event, time = Outcome.of(align_outcome(y))
    if event.sum() < splitter.n_splits:
        raise ValueError(
            f"{name}(n_splits={splitter.n_splits}) would make a fold without an event: y has {event.sum()} events "
            f"among {len(event)} patients. Lower n_splits to at most the number of events."
        )
    if groups is not None:
        groups, names = read_groups(groups, X, len(event))
        if len(names) == len(event):
            return event, time, None
        check_groups_can_be_dealt(groups, names, event, splitter.n_splits, name)
    return event, time, groups
