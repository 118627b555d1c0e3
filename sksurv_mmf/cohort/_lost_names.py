"""Modalities that a pipeline was given, and that its steps have merged by losing names of columns."""

import sys
from traceback import walk_stack

from sklearn.pipeline import Pipeline

from ..utils._frames import column_names
from ..utils._modality_names import SEPARATOR, belongs_to, columns_by_modality, feature_of
from ..utils._warnings import warn


def warn_of_merged_modalities(X, read, modalities):
    """Warn if a modality that the user did not define is what a surrounding pipeline was given under other names.

    Parameters
    ----------
    X : DataFrame
        The cohort as it reaches the estimator.
    read : list of tuple
        What is read: of each modality the name, first, and the positions of its columns, last.
    modalities : list of tuple or None
        What the user said about modalities.
    """
    columns_said = {name for name, _, *columns in modalities or [] if columns}
    doubtful = [
        (name, X.columns[columns])
        for name, *_, columns in read
        if name not in columns_said and (modalities is None or not belongs_to(X.columns[columns[0]], name))
    ]
    if not doubtful:
        return
    given = _given_to_pipeline()
    for name, columns in doubtful:
        merged = _merged(name, columns, given, named_by_user=modalities is not None)
        if merged:
            _warn(name, len(columns), merged)


def _merged(name, columns, given, named_by_user):
    """Columns of a pipeline, by modality, that are or may be in the modality `name` with these columns."""
    if not belongs_to(columns[0], name):  # without names, nobody knows what it holds
        is_meant = named_by_user and (name not in given or len(given) == 1)
        return {} if is_meant else given
    if name in given:
        return {}
    # ColumnTransformer puts names of its own in front: "remainder__rna__TP53".
    found = columns_by_modality(feature_of(column, name) for column in columns)
    merged = {one: found[one] for one in found if one in given}
    return merged if len(merged) > 1 else {}


def _given_to_pipeline():
    """Columns by modality of the X of the innermost Pipeline with modalities among those that are being fitted.

    None of a pipeline for the one modality that somebody, a late fusion for instance, took out of a table for it.

    An estimator is not told that it is a step of a pipeline, and to be given a table without names is no mistake by
    itself: arrays are welcome. Only the pipeline's own X tells the two apart, and only the call stack leads there.
    Nothing but this warning depends on it.
    """
    given = {}
    for frame, _ in walk_stack(sys._getframe()):
        if not frame.f_code.co_name.startswith("fit"):
            continue
        found = columns_by_modality(map(_as_text, column_names(frame.f_locals.get("X"))))
        if given and len(found) > 1:
            return {}
        if not given and isinstance(frame.f_locals.get("self"), Pipeline):
            given = found
        if len(given) > 1:
            return given
    return given


def _as_text(column):
    """The name of a column; that of a MultiIndex, a tuple, as the text that it should have been."""
    return SEPARATOR.join(map(str, column)) if isinstance(column, tuple) else column


def _warn(name, n_columns, merged):
    several = ", ".join(
        f"{one!r} ({len(columns)} column{'s' * (len(columns) > 1)}, such as {columns[0]!r})"
        for one, columns in list(merged.items())[:2]
    )
    kind = "modality" if len(merged) == 1 else "modalities"
    more = f" and {len(merged) - 2} more" if len(merged) > 2 else ""
    warn(
        f"The pipeline was given the {kind} {several}{more}, but its steps lost their names: its last step is "
        f"given {n_columns} columns that count as one modality, {name!r}. Prepare modalities by "
        "make_modality_transformer, or keep names with pipeline.set_output(transform='pandas') and, in a "
        "ColumnTransformer, verbose_feature_names_out=False. If one modality is meant, say so with a name that is not "
        "in X: modalities=[('features', SNN())].",
    )
