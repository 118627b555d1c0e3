"""Which columns of a table a model reads."""

import pandas as pd

from ..utils._modality_names import columns_by_modality
from ..utils._validation import shorten, subject
from ..utils._warnings import warn


def own_columns(model, X):
    """X with the columns that the model was fitted on, in their order, as far as X has them.

    What is lacking is for the model to report, or to do without.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None or not isinstance(X, pd.DataFrame):
        return X
    there = [name for name in names if name in X.columns]
    if not there:
        raise ValueError(
            f"X has none of the columns that {type(model).__name__} was fitted on, such as {shorten(names, 3)}; it has "
            f"{shorten(X.columns, 3)}."
        )
    return X[there]


def warn_of_unread(models, X):
    """Warn of columns of X that no model reads, and of modalities that X then lacks; `models` are those by name."""
    names = {key: getattr(model, "feature_names_in_", None) for key, model in models.items()}
    if not isinstance(X, pd.DataFrame) or any(one is None for one in names.values()):
        return
    unread = X.columns[~X.columns.isin({name for one in names.values() for name in one})]
    if not len(unread):
        return
    lacking = "; ".join(
        f"{key!r} reads the {'modality' if len(found) == 1 else 'modalities'} {shorten(found)}, of which X has no "
        "column"
        for key, one in names.items()
        if (found := _lacking_modalities(one, X))
    )
    warn(
        f"{subject(unread, 'Column', 'of X is', 'of X are')} read by no model. {lacking and lacking + '. '}"
        "Drop what is not meant, or rename what is misspelt."
    )


def _lacking_modalities(names, X):
    return [modality for modality, own in columns_by_modality(names).items() if not X.columns.isin(own).any()]
