"""From X to patients as arrays, and every error about its values."""

import numpy as np

from ..bags._array import BagDtype
from ..bags._tiling import check_tiling
from ..patients._columns import LARGEST, BagColumn, VectorColumn
from ..patients._patients import Patients
from ..patients._presence import check_has_any
from ..utils._frames import who_has
from ..utils._validation import subject
from ._columns import bags_of, check_numeric


def read_patients(X, modalities, for_training=False):
    """Check the values of X and view them as `Patients`, modality by modality.

    Parameters
    ----------
    X : DataFrame
        The cohort.
    modalities : list of Modality
        What the columns mean.
    for_training : bool, default=False
        Whether a column will be scaled by these patients, which numbers beyond `LARGEST` would make useless.

    Returns
    -------
    patients : Patients
        Numeric blocks as float32 arrays; bags as they are, read when needed.
    """
    if len(X) == 0:
        raise ValueError("X has no patients (0 sample(s)), while a minimum of 1 is required.")
    columns, present = [], np.empty((len(X), len(modalities)), dtype=bool)
    for m, modality in enumerate(modalities):
        read = _read_bags if modality.is_bag else _read_block
        column, present[:, m] = read(X, modality)
        columns.append(column)
        # Bags are checked as they are read, and later a number far out harms the patient's own prediction alone.
        if for_training and not modality.is_bag:
            _check_scale(column, X.index)
    check_has_any(present, X.index, [modality.name for modality in modalities])
    return Patients(columns, present, X.index)


def _read_bags(X, modality):
    dtype = X.dtypes.iloc[modality.columns[0]]
    if not isinstance(dtype, BagDtype):
        raise ValueError(f"Modality {modality.name!r} was a bag column in fit and now has dtype {dtype}.")
    bags = bags_of(X, modality.columns)
    present = who_has(X, modality.columns)
    if present.any() and bags.n_features != modality.n_features:
        raise ValueError(
            f"The tiles of modality {modality.name!r} have {bags.n_features} features, but the model was fitted on "
            f"{modality.n_features}. Use the feature extractor of the training cohort."
        )
    check_tiling(modality.tiling, bags, X.index, f"modality {modality.name!r}", "the model")
    return BagColumn(modality.name, bags, X.index), present


def _read_block(X, modality):
    check_numeric(X, modality.name, modality.columns)
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which the next lines report
        values = X.iloc[:, modality.columns].to_numpy(dtype=np.float32, na_value=np.nan)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"Patient {X.index[row]!r} has an infinite value (infinity, or beyond float32) in column "
            f"{X.columns[modality.columns[column]]!r}. Clip the values or repair the table."
        )
    is_nan, present = np.isnan(values), who_has(values)
    partial = is_nan.any(axis=1) & present
    if partial.any():
        row = np.flatnonzero(partial)[0]
        raise ValueError(
            f"{subject(X.index[partial], 'Patient', 'has', 'have')} NaN in some columns of modality {modality.name!r}, "
            f"for example {X.columns[modality.columns[is_nan[row].argmax()]]!r}. Impute them, for example with "
            "SimpleImputer in make_modality_transformer; NaN in all columns of a modality means that the patient lacks "
            "it."
        )
    return VectorColumn(values, modality.name, X.columns[modality.columns]), present


def _check_scale(column, patients):
    """Refuse to learn from a number beside which those of the other patients would all be alike."""
    far = (column.values.abs() > LARGEST).nonzero()
    if len(far):
        row, feature = far[0].tolist()
        raise ValueError(
            f"Patient {patients[row]!r} has {float(column.values[row, feature]):.3g} in column "
            f"{column.columns[feature]!r}, more than the {LARGEST:g} up to which a network can learn from a column. "
            "Correct or clip it, or drop the column."
        )
