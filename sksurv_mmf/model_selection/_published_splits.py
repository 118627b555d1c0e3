"""Folds that others have published, in files."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator, check_cv

from ..files._writing import writing_into
from ..utils._identifiers import better_match
from ..utils._sklearn import StrOptions, validate_params
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._split_files import SIDES, find_folds, read_sides

FILE_NAME = re.compile(r"splits_(\d+)\.csv")


class PublishedSplits(BaseCrossValidator):
    """Cross-validation with folds that are given patient by patient.

    What :func:`read_survival_splits` returns; use it wherever scikit-learn takes ``cv=``. Rows are found by their
    patient, so that their order does not matter.

    Parameters
    ----------
    folds : list of tuple
        For each fold the patients to train on and the patients to test on.
    patients : array-like of shape (n_patients,)
        All patients of the cohort, in the order of the rows of tables without an index.

    See Also
    --------
    read_survival_splits : Makes it from files.
    sksurv_mmf.model_selection.SurvivalKFold : Folds of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.datasets import PublishedSplits
    >>> cv = PublishedSplits([(["Ann", "Bea"], ["Cleo"]), (["Bea", "Cleo"], ["Ann"])], ["Ann", "Bea", "Cleo"])
    >>> X = pd.DataFrame({"age": [61, 47, 52]}, index=["Cleo", "Ann", "Bea"])
    >>> for train, test in cv.split(X):
    ...     print(X.index[train].tolist(), X.index[test].tolist())
    ['Ann', 'Bea'] ['Cleo']
    ['Bea', 'Cleo'] ['Ann']
    """

    def __init__(self, folds, patients):
        self.folds = folds
        self.patients = patients

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
        return len(self.folds)

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and the rows to test on.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            The cohort whose patients the folds were made for. The index of a frame is the patient.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Yields
        ------
        train : ndarray of int
            Positions of the rows to train on.
        test : ndarray of int
            Positions of the rows to test on.

        Raises
        ------
        ValueError
            If X has other patients than the folds were made for.
        """
        own = pd.Index(self.patients)
        rows = X.index if hasattr(X, "index") else own
        if len(rows) != len(X) or not rows.is_unique or set(rows) != set(own):
            differing = sorted(map(str, set(rows) ^ set(own)))
            differing = shorten(differing) if differing else f"{len(X)} instead of {len(own)} rows"
            raise ValueError(
                f"The folds were made for other patients than those of X: {differing}. Read the folds again with "
                "read_survival_splits(path, X)."
            )
        for train, test in self.folds:
            yield rows.get_indexer(train), rows.get_indexer(test)


@validate_params(
    {
        "path": [str, Path],
        "patients": ["array-like"],
        "train": [str, list],
        "test": [str, list],
        "patient_of": [None, callable],
        "on_mismatch": [StrOptions({"raise", "warn"})],
    },
    prefer_skip_nested_validation=True,
)
def read_survival_splits(
    path: str | os.PathLike, patients, *, train="train", test="auto", patient_of=None, on_mismatch: str = "raise"
) -> PublishedSplits:
    """Read the folds that others have published, to compare models with theirs on the same patients.

    Two layouts of computational pathology are read:

    - of CLAM, PORPOISE, MCAT, SurvPath and many others: a folder with a file ``splits_<fold>.csv`` for each fold, whose
      columns name the patients, or slides, to train on and those to test on; ``splits_<fold>_bool.csv`` says the same,
      and is read if the others are absent,
    - of MMP: a folder for each fold, whose name ends in ``k=<fold>``, with files ``train.csv``, ``test.csv`` and
      perhaps ``val.csv`` that have a row for each slide and the patients in the column ``case_id``.

    Files are UTF-8 text separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : str or Path
        The folder that has the files or folders of all folds, or the folder of a single fold. Of a folder that has
        several cohorts, ``TCGA_BLCA_overall_survival_k=0`` and so on, it is what the names of one begin with:
        ``"splits/survival/TCGA_BLCA_overall_survival"``.
    patients : DataFrame, Index or array-like of shape (n_patients,)
        The cohort: X, whose index is the patient, or the patients themselves. They are compared as text.
    train : str or list of str, default="train"
        Column or columns with the patients to train on; in the layout of MMP the file or files.
    test : str or list of str, default="auto"
        Column or columns with the patients to test on. "auto" is "test" if there are any, and otherwise "val": the
        files of PORPOISE and MCAT have no third column, and what they call validation is where their results are from.
    patient_of : callable, default=None
        Makes the patient from an entry, where the files name slides: ``lambda slide: slide[:12]`` for TCGA. In the
        layout of MMP it is given the column ``slide_id``.
    on_mismatch : {"raise", "warn"}, default="raise"
        What to do if a file names patients who are not in the cohort, or leaves out some who are: refuse, or warn and
        leave them out of that fold.

    Returns
    -------
    cv : PublishedSplits
        The folds, for any function that takes ``cv=``.

    Raises
    ------
    FileNotFoundError
        If the folder has no such files, or one is missing between others.
    ValueError
        If a file is empty, no text or no table, lacks a column, trains and tests on the same patient, repeats one, or,
        unless told to warn, does not match the cohort.

    Warns
    -----
    UserWarning
        If files have patients on a third side, who are neither trained nor tested on; and of what does not match the
        cohort, if told to.

    See Also
    --------
    write_survival_splits : Writes such files.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sksurv_mmf.datasets import read_survival_splits
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "splits_0.csv").write_text(",train,val\\n0,Ann,Cleo\\n1,Bea,\\n")
    ...     cv = read_survival_splits(folder, ["Ann", "Bea", "Cleo"])
    >>> cv.folds
    [(['Ann', 'Bea'], ['Cleo'])]
    """
    is_table = hasattr(patients, "index") and not callable(patients.index)  # a list has a method of this name
    cohort = pd.Index(patients.index if is_table else patients)
    known = {str(patient): patient for patient in cohort}
    if len(known) < len(cohort):
        repeated = cohort[cohort.astype(str).duplicated()].unique()
        raise ValueError(f"patients are repeated: {shorten(repeated)}.")
    folds, unused = [], []
    for place in find_folds(Path(path)):
        sides, is_repeated = read_sides(place, by_slide=patient_of is not None)
        sides = {side: unique_patients(names, place, patient_of, is_repeated) for side, names in sides.items()}
        if test == "auto":  # the first fold decides for all
            test = "test" if sides.get("test") else "val"
        train_on, test_on = choose_sides(sides, train, test, place)
        check_overlap(train_on, test_on, place)
        used = {*train_on, *test_on}
        third = {side: names for side, names in sides.items() if side in SIDES and not used.issuperset(names)}
        unused += [(place, side, names) for side, names in third.items()]
        report(mismatches(train_on, test_on, third, known, place), on_mismatch)
        fold = tuple([known[name] for name in names if name in known] for names in (train_on, test_on))
        folds.append(fold)
        if not all(fold):
            raise ValueError(f"{place} leaves nobody of the cohort to train on or to test on.")
    warn_of_unused(unused)
    return PublishedSplits(folds, list(cohort))


def choose_sides(sides, train, test, place):
    """The patients to train on and those to test on."""
    return [_patients_of(wanted, sides, place) for wanted in (train, test)]


def _patients_of(wanted, sides, place):
    """The patients of one side, or of several together, each once."""
    patients = {}
    for side in [wanted] if isinstance(wanted, str) else wanted:
        if side not in sides:
            what = f"file {side}.csv" if place.is_dir() else f"column {side!r}"
            raise ValueError(f"{place} has no {what}, only {shorten(sides)}.")
        patients |= dict.fromkeys(sides[side])
    return list(patients)


def unique_patients(names, place, patient_of, is_repeated):
    """The patients of one side, each once."""
    if patient_of is not None:
        return list(dict.fromkeys(str(patient_of(name)) for name in names))
    if len(set(names)) < len(names) and not is_repeated:
        repeated = sorted(name for name, n in Counter(names).items() if n > 1)
        raise ValueError(f"{place} repeats {shorten(repeated)}. If it names slides, pass patient_of.")
    return list(dict.fromkeys(names))


def check_overlap(train, test, file):
    """Refuse patients on both sides."""
    both = sorted(set(train) & set(test))
    if both:
        raise ValueError(f"{file} trains and tests on the same patients: {shorten(both)}.")


def mismatches(train, test, third, known, file):
    """Yield sentences that say in whom a file and the cohort differ."""
    used = {*train, *test}
    named = used.union(*third.values())
    strangers, left_out = sorted(used - known.keys()), [name for name in known if name not in named]
    if strangers:
        yield (
            f"{file} names {len(strangers)} of {len(used)} patients who are not in the cohort: {shorten(strangers)}."
            f"{hint_of_slides(strangers, known) or hint_of_spelling(strangers, known)}"
        )
    if left_out:
        yield f"{file} does not name {len(left_out)} of the {len(known)} patients of the cohort: {shorten(left_out)}."


def warn_of_unused(unused):
    """Say once who is on a side that is not used; `unused` has the file, side and patients of each."""
    if unused:
        file, side, names = unused[0]
        others = f" (likewise in {len(unused) - 1} other places)" if len(unused) > 1 else ""
        warn(
            f"{file} has {len(names)} patients under {side!r}, who are neither trained nor tested on: "
            f"{shorten(names, 2)}{others}. Pass train=['train', {side!r}] to train on them.",
        )


def hint_of_slides(strangers, known):
    """What to do if names begin as patients do, as those of slides do."""
    lengths = {len(name) for name in known}
    if len(lengths) != 1:
        return ""
    (length,) = lengths
    n_found = sum(name[:length] in known for name in strangers)
    if not n_found:
        return ""
    return f" {n_found} begin as patients of the cohort do: pass patient_of=lambda slide: slide[:{length}]."


def hint_of_spelling(strangers, known):
    """How names of a file would match patients, as a sentence; nothing if they would not."""
    match = better_match(pd.Index(strangers), pd.Index(list(known)))
    return "" if match is None else f" Of file and cohort, {match}: undo it by patient_of, or in X."


def report(sentences, on_mismatch):
    """Refuse or warn."""
    sentences = list(sentences)
    if sentences and on_mismatch == "raise":
        raise ValueError(f"{' '.join(sentences)} Pass on_mismatch='warn' to leave them out.")
    for sentence in sentences:
        warn(f"{sentence} They are left out of this fold.")


@validate_params(
    {"cv": ["cv_object"], "X": [pd.DataFrame], "y": ["array-like"], "path": [str, Path], "overwrite": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def write_survival_splits(cv, X, y, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write folds to files, so that others can compare with them.

    Parameters
    ----------
    cv : splitter, iterable of pairs or int
        The folds, as for :func:`~sklearn.model_selection.cross_val_score`. A splitter that shuffles without a seed is
        asked once, and the files have what it answered.
    X : DataFrame of shape (n_patients, n_columns)
        The cohort; its index is the patient.
    y : structured array of shape (n_patients,)
        Event indicator and time.
    path : str or Path
        The folder, which is made if it does not exist. One file ``splits_<fold>.csv`` is written for each fold, with
        the columns ``train`` and ``val``. The files appear together, once all are written. What a killed process left
        in it is removed.
    overwrite : bool, default=False
        Whether to remove the files ``splits_<fold>.csv`` that are there, also those of folds that are not written now,
        so that folds do not mix. Other files stay.

    Raises
    ------
    FileExistsError
        If the folder has such files, already or because another process has written some in the meantime.
    ValueError
        If patients are repeated.

    See Also
    --------
    read_survival_splits : Reads them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sksurv_mmf.datasets import make_multimodal_survival, read_survival_splits, write_survival_splits
    >>> from sksurv_mmf.model_selection import SurvivalKFold
    >>> cohort = make_multimodal_survival(n_patients=50, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     write_survival_splits(SurvivalKFold(5), cohort.X, cohort.y, folder)
    ...     cv = read_survival_splits(folder, cohort.X)
    >>> cv.get_n_splits()
    5
    """
    if not X.index.is_unique:
        raise ValueError(f"Patients of X are repeated: {shorten(X.index[X.index.duplicated()].unique())}.")
    folder = Path(path)
    present = [file for file in folder.glob("splits_*.csv") if FILE_NAME.fullmatch(file.name)]
    if present and not overwrite:
        raise FileExistsError(f"{folder} has {present[0].name} already. Choose another folder or pass overwrite=True.")
    folds = list(check_cv(cv).split(X, y))
    names = X.index.astype(str)
    with writing_into(folder, replaced=present) as unfinished:
        for fold, (train, test) in enumerate(folds):
            columns = {"train": names[np.asarray(train)], "val": names[np.asarray(test)]}
            pd.DataFrame({side: pd.Series(patients) for side, patients in columns.items()}).to_csv(
                unfinished / f"splits_{fold}.csv"
            )
