"""Cross-validation that keeps events and follow-up times balanced."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from ..outcome._align import align_outcome, check_same_rows
from ..outcome._deal import deal
from ..outcome._outcome import Outcome
from ..utils._sklearn import Interval, validate_parameter_constraints


def survival_folds(event, time, n_splits, n_time_bins, random_state=None):
    """Deal patients to folds so that each fold gets its share of every event x time-quantile stratum.

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
    return deal(event, n_splits, time_bin, random_state)


class SurvivalKFold(BaseCrossValidator):
    """K-fold cross-validation, stratified on event and time.

    Each fold is a small copy of the cohort: the same share of events, and early, middle and late times among events
    and among censored patients alike. Use it wherever scikit-learn takes ``cv=``; scikit-learn's own
    ``StratifiedKFold`` does not understand a survival outcome, and a plain ``KFold`` of a small cohort makes folds
    with few or no events, whose concordance index is noise.

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

    Notes
    -----
    Folds differ by one patient at most in their number of patients, of events, and of patients in any stratum.

    Which patients share a fold depends on the order of the rows (within a stratum without shuffling, everywhere with
    it), so align the rows of all models that are to be compared on the same folds.

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

    def _iter_test_masks(self, X=None, y=None, groups=None):
        event, time = _check_split(self, X, y, groups)
        random_state = check_random_state(self.random_state) if self.shuffle else None
        folds = survival_folds(event, time, self.n_splits, self.n_time_bins, random_state)
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

    def _iter_test_masks(self, X=None, y=None, groups=None):
        event, time = _check_split(self, X, y, groups)
        random_state = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            folds = survival_folds(event, time, self.n_splits, self.n_time_bins, random_state)
            for fold in range(self.n_splits):
                yield folds == fold


def _check_split(splitter, X, y, groups):
    name = type(splitter).__name__
    if groups is not None:
        raise ValueError(
            f"{name} cannot keep groups together, but groups were passed. Leave them out if each row is one patient; "
            "otherwise use sklearn.model_selection.GroupKFold."
        )
    if y is None:
        raise ValueError(f"{name} needs y, the structured array of events and times; got None.")
    check_same_rows(y, X)
    event, time = Outcome.of(align_outcome(y))
    if event.sum() < splitter.n_splits:
        raise ValueError(
            f"{name}(n_splits={splitter.n_splits}) would make a fold without an event: y has {event.sum()} events "
            f"among {len(event)} patients. Lower n_splits to at most the number of events."
        )
    return event, time
