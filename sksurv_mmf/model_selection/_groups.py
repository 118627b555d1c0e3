"""Groups of patients that stay on one side of every fold: whose group is whose, and whether folds keep to it."""

import numpy as np
import pandas as pd

from ..bags._tcga import read_barcode
from ..utils._validation import shorten, subject
from ..utils._warnings import warn


def tissue_source_site(patients) -> pd.Series:
    """Tissue source sites of patients of TCGA, the second part of their barcodes.

    Use it for folds in which no hospital is on both sides: slides of one site share a scanner, a stain and a way of
    cutting, and many sites also their kind of patients, so that a model tested on sites that it knows looks better than
    it is elsewhere. Pass it as `groups` to :func:`compare_models`, or its result wherever scikit-learn takes
    ``groups=``.

    Parameters
    ----------
    patients : Index, Series or list of str
        Barcodes such as "TCGA-05-4244", of patients or of their samples and slides, in capitals or not.

    Returns
    -------
    Series of str
        The codes of the sites, in capitals, by patient.

    Raises
    ------
    ValueError
        If a patient's name is no barcode.

    Notes
    -----
    A code stands for one hospital and one kind of tumour, so that a hospital has several codes in a cohort of several
    kinds of tumours.

    References
    ----------
    .. [1] Howard, F. M. et al. (2021). The impact of site-specific digital histology signatures on deep learning model
       accuracy and bias. Nature Communications 12, 4423.

    Examples
    --------
    >>> from sksurv_mmf.model_selection import tissue_source_site
    >>> tissue_source_site(["TCGA-05-4244", "TCGA-44-2655"]).tolist()
    ['05', '44']
    """
    patients = pd.Index(patients, dtype=object)
    barcodes = [read_barcode(patient) if isinstance(patient, str) else None for patient in patients]
    strangers = patients[[barcode is None for barcode in barcodes]]
    if len(strangers):
        raise ValueError(
            f"{subject(strangers, 'Patient', 'has', 'have')} no barcode of TCGA for a name, such as 'TCGA-05-4244', so "
            "the tissue source site is unknown. Pass groups of your own, such as a column of clinical data."
        )
    sites = [barcode.tissue_source_site for barcode in barcodes if barcode]
    return pd.Series(sites, patients, name="tissue_source_site")


def read_groups(groups, X, n_patients):
    """Numbers of the groups in the order of the patients, and the names of the groups, sorted.

    Parameters
    ----------
    groups : Series, array-like or callable
        A Series goes by its index if X has one, anything else by position. A function makes them of the index of X.
    X : DataFrame, Series or array-like
        The patients.
    n_patients : int
        How many there are.

    Returns
    -------
    numbers : ndarray of int, shape (n_patients,)
    names : Index of shape (n_groups,)
    """
    patients = X.index if isinstance(X, pd.DataFrame | pd.Series) else pd.RangeIndex(n_patients)
    if callable(groups):
        groups = groups(patients)
    if isinstance(groups, pd.Series) and isinstance(X, pd.DataFrame | pd.Series):
        groups = _by_index(groups, patients)
    groups = pd.Index(groups) if np.ndim(groups) == 1 else np.asarray(groups)
    if groups.shape != (n_patients,):
        raise ValueError(
            f"groups must have one entry for each of the {n_patients} patients, but has shape {groups.shape}."
        )
    unknown = patients[pd.isna(groups)]
    if len(unknown):
        raise ValueError(
            f"{subject(unknown, 'Patient', 'has', 'have')} no group (NaN). Give each a group, one of her own if she "
            "belongs to no other, or drop her from X and y."
        )
    try:
        return pd.factorize(groups, sort=True)  # sorted, so that no fold depends on the order of the rows
    except TypeError as error:
        raise ValueError(f"groups must be all texts or all numbers, which can be sorted: {error}.") from error


def _by_index(groups, patients):
    if groups.index.equals(patients):
        return groups
    repeated = groups.index[groups.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{subject(repeated, 'Patient', 'comes', 'come')} several times in groups. Keep one entry.")
    position = groups.index.get_indexer(patients)
    missing = patients[position < 0].unique()
    if len(missing):
        raise ValueError(
            f"{subject(missing, 'Patient', 'of X is', 'of X are')} not in groups, whose patients are "
            f"{shorten(groups.index, 2)}. Add them, or pass groups.to_numpy() if the order is that of X."
        )
    return groups.iloc[position]


def check_groups_can_be_dealt(numbers, names, event, n_splits, splitter):
    """Refuse groups of which folds with events cannot be made; warn of a group that is too large for a fold.

    What is too large is half of the events, or what two folds should have: no way of dealing balances such folds.
    """
    if len(names) < n_splits:
        raise ValueError(
            f"{splitter}(n_splits={n_splits}) needs at least as many groups as folds, got {len(names)}: "
            f"{shorten(names)}. Lower n_splits."
        )
    events = np.bincount(numbers, weights=event, minlength=len(names))
    n_with_events = np.count_nonzero(events)
    if n_with_events < n_splits:
        raise ValueError(
            f"{splitter}(n_splits={n_splits}) would make a fold without an event: only {n_with_events} of "
            f"{len(names)} groups have events. Lower n_splits to at most that number."
        )
    largest = np.argmax(events)
    if events[largest] > min(1 / 2, 2 / n_splits) * event.sum():
        warn(
            f"Group {shorten(names[[largest]])} has {events[largest]:.0f} of {event.sum()} events, so that the "
            f"{n_splits} folds cannot be balanced: one is trained without most of them. Take fewer folds, or say in "
            "the report how the model does in each fold."
        )


def check_folds_keep_groups(folds, numbers, names):
    """Refuse folds that train and test on the same group, as those of a splitter that ignores groups do."""
    for number, (train, test) in enumerate(folds):
        both = names[np.intersect1d(numbers[train], numbers[test])]
        if len(both):
            raise ValueError(
                f"Fold {number} of cv trains and tests on the same groups: {shorten(both)}. Take a splitter that keeps "
                "groups together, such as SurvivalKFold or sklearn.model_selection.GroupKFold."
            )
