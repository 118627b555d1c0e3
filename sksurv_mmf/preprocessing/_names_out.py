"""Names of what a transformer returns, also where it does not tell them itself."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer


def names_out(transformer, names_in, n_columns):
    """Names of the columns that a fitted transformer returns as an array.

    Those that it tells or that follow from its steps, and otherwise the numbers of the columns. That there are as many
    columns as before does not make them the same: they may be rotated.

    Parameters
    ----------
    transformer : transformer
        Fitted.
    names_in : list of str or None
        Names of the columns that it was fitted to, if these had names.
    n_columns : int
        Number of columns that it returns.

    Returns
    -------
    names : list of str
        One name per column, all different.
    """
    names = _told(transformer, names_in)
    if names is None or len(names) != n_columns or len(set(names)) != n_columns:
        return [str(i) for i in range(n_columns)]
    return names


def _told(transformer, names_in):
    """Names as far as they are known, or None."""
    if isinstance(transformer, Pipeline):
        return _told_by_steps(transformer, names_in)
    if keeps_columns(transformer):
        return names_in
    try:
        return [str(name) for name in transformer.get_feature_names_out(names_in)]
    except (AttributeError, TypeError, ValueError):
        return None  # it has no such method, or something inside it has not


def _told_by_steps(pipeline, names):
    steps = [step for _, step in pipeline.steps if step is not None and step != "passthrough"]
    for step, following in zip(steps, [*steps[1:], None]):
        seen = getattr(following, "feature_names_in_", None)
        width = getattr(following, "n_features_in_", None)
        if seen is not None:
            names = list(seen)  # the step returned a frame
        elif width is None:
            names = _told(step, names)
        else:
            names = names_out(step, names, width)
    return names


def keeps_columns(transformer):
    """Whether a transformer works on each number by itself."""
    if not isinstance(transformer, FunctionTransformer) or transformer.feature_names_out is not None:
        return False
    function = transformer.func
    return function is None or (isinstance(function, np.ufunc) and function.nin == function.nout == 1)
