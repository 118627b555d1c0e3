"""Transformers that leave out patients who lack a modality."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..bags._array import BagDtype
from ..outcome._align import align_outcome
from ..utils._frames import as_frame, who_has
from ..utils._sklearn import HasMethods, check_feature_names_in, safe_indexing
from ..utils._validation import shorten
from ._checks import refuse_polars
from ._names_out import names_out


class PresentPatients(TransformerMixin, BaseEstimator):
    """Apply a transformer to the patients who have a modality, and leave the others missing.

    A row in which everything is missing is a patient without this modality. An imputer would invent one, and whatever
    follows would be bent by the invention. Here such rows take no part in the fit and come out missing. Rows with only
    some values missing go to the transformer, so an imputer still mends them. `make_modality_transformer` puts this
    around each of its transformers.

    Parameters
    ----------
    transformer : transformer
        Any scikit-learn transformer or pipeline of transformers. It is cloned, and fitted to the present rows of X
        and y.

    Attributes
    ----------
    transformer_ : transformer
        The fitted transformer.

    n_features_in_ : int
        Number of columns seen during fit.

    feature_names_in_ : ndarray of str
        Names of the columns seen during fit, if X was a frame.

    See Also
    --------
    make_modality_transformer : One transformer per modality.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.impute import SimpleImputer
    >>> from sksurv_mmf.preprocessing import PresentPatients
    >>> X = [[1.0, 4.0], [3.0, np.nan], [np.nan, np.nan]]
    >>> PresentPatients(SimpleImputer()).fit_transform(X)
    array([[ 1.,  4.],
           [ 3.,  4.],
           [nan, nan]])
    """

    _parameter_constraints: dict = {"transformer": [HasMethods(["fit", "transform", "fit_transform"])]}

    def __init__(self, transformer):
        self.transformer = transformer

    def fit(self, X, y=None):
        """Fit the transformer to the patients who have the modality.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Numeric columns, or columns of bags.

        y : array-like of shape (n_patients,) or DataFrame, default=None
            Outcome; its rows go with those of X. A frame of event and time is aligned with X by its index.

        Returns
        -------
        PresentPatients
            Itself.

        Raises
        ------
        ValueError
            If no patient has the modality.
        """
        X, y, _ = self._start_fit(as_frame(X), y)
        with _hint_at_bags(self.transformer, X), _not_in_polars():
            self.transformer_.fit(X, y)
        self._remember_columns(self._apply(safe_indexing(X, [0])), X)
        return self

    def fit_transform(self, X, y=None):
        """Fit the transformer to the patients who have the modality, and transform them.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Numeric columns, or columns of bags.

        y : array-like of shape (n_patients,) or DataFrame, default=None
            Outcome; its rows go with those of X. A frame of event and time is aligned with X by its index.

        Returns
        -------
        ndarray or DataFrame of shape (n_patients, n_features_out)
            What the transformer returns, with missing rows for the patients who lack the modality.

        Raises
        ------
        ValueError
            If no patient has the modality.
        """
        X = as_frame(X)
        index = getattr(X, "index", None)
        X, y, present = self._start_fit(X, y)
        with _hint_at_bags(self.transformer, X), _not_in_polars():
            transformed = _as_table(self.transformer_.fit_transform(X, y), X, self.transformer)
        self._remember_columns(transformed, X)
        return _spread(transformed, present, index)

    def transform(self, X):
        """Transform the patients who have the modality.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Numeric columns, or columns of bags.

        Returns
        -------
        ndarray or DataFrame of shape (n_patients, n_features_out)
            What the transformer returns, with missing rows for the patients who lack the modality.
        """
        check_is_fitted(self)
        X = self._check_X(as_frame(X), reset=False)
        present = who_has(X)
        transformed = self._apply(safe_indexing(X, present)) if present.any() else self._nobody()
        self._check_columns(transformed)
        return _spread(transformed, present, getattr(X, "index", None))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that come out.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns that go in. None means those seen during fit.

        Returns
        -------
        ndarray of str
            The names that the fitted transformer gives its columns or leaves them, step by step if it is a pipeline;
            "0", "1", and so on where it tells none.
        """
        check_is_fitted(self)
        names_in = check_feature_names_in(self, input_features)
        if self._is_frame or hasattr(self, "feature_names_in_") or input_features is None:
            return np.array(self._names, dtype=object)
        return np.array(names_out(self.transformer_, list(names_in), len(self._names)), dtype=object)

    def _check_X(self, X, reset):
        if isinstance(X, pd.DataFrame):
            return validate_data(self, X, skip_check_array=True, reset=reset)  # columns may hold bags
        return validate_data(self, X, dtype=None, ensure_all_finite=False, reset=reset)

    def _start_fit(self, X, y):
        self._validate_params()
        y = align_outcome(y, X) if isinstance(as_frame(y), pd.DataFrame) else y
        X = self._check_X(X, reset=True)
        if y is not None:
            check_consistent_length(X, y)
        present = who_has(X)
        if not present.any():
            raise ValueError(
                f"There is nobody to fit {self.transformer} to: all {len(present)} patients lack the modality with the "
                f"columns {list(getattr(X, 'columns', range(X.shape[1])))[:3]}, ..."
            )
        self.transformer_ = clone(self.transformer)
        return safe_indexing(X, present), None if y is None else safe_indexing(y, present), present

    def _remember_columns(self, transformed, X):
        # As names and not as an empty frame, because saved models hold lists and words only.
        self._is_frame = isinstance(transformed, pd.DataFrame)
        if self._is_frame:
            self._names = transformed.columns.tolist()
        else:
            names_in = X.columns.tolist() if isinstance(X, pd.DataFrame) else None
            self._names = names_out(self.transformer_, names_in, transformed.shape[1])
        dtypes = transformed.dtypes if self._is_frame else [transformed.dtype]
        self._dtypes = list(map(str, dtypes))
        self._check_columns(transformed)

    def _check_columns(self, transformed):
        """Refuse columns that are not those of the fit, no column, and bags for polars."""
        n_columns = transformed.shape[1]
        # Whether it is a frame depends on set_output and config_context, which may change after the fit.
        is_named = self._is_frame and isinstance(transformed, pd.DataFrame)
        now = list(transformed.columns if is_named else range(n_columns))
        if now != (self._names if is_named else list(range(len(self._names)))):
            raise ValueError(
                f"{self.transformer} returns the columns {shorten(now)}, but in fit it returned "
                f"{shorten(self._names)}. Use a transformer that learns its columns in fit, such as OneHotEncoder in "
                "place of pandas.get_dummies."
            )
        if n_columns == 0:
            raise ValueError(
                f"{self.transformer} leaves no column of {shorten(getattr(self, 'feature_names_in_', 'X'), 3)}. Keep "
                "at least one, or leave the modality out with 'drop'."
            )
        if "bag" in self._dtypes:
            refuse_polars(self)

    def _nobody(self):
        """What the transformer makes of no patient at all."""
        if not self._is_frame:
            return np.empty((0, len(self._names)), dtype=self._dtypes[0])
        columns = {i: pd.Series([], dtype=dtype) for i, dtype in enumerate(self._dtypes)}
        return pd.DataFrame(columns).set_axis(self._names, axis=1)

    def _apply(self, X):
        with _not_in_polars():
            return _as_table(self.transformer_.transform(X), X, self.transformer)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _as_table(transformed, X, transformer):
    """What a transformer returned, as a dense array or pandas frame that has a row for each row of X, in this order."""
    if issparse(transformed):
        transformed = transformed.toarray()
    if isinstance(transformed, pd.Series):
        transformed = transformed.to_frame()
    if isinstance(transformed, pd.DataFrame):
        transformed = transformed.set_axis(map(_as_name, transformed.columns), axis=1)
    transformed = as_frame(transformed)
    shape = getattr(transformed, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != len(X):
        raise ValueError(
            f"{transformer} was given {len(X)} patients and returned a {type(transformed).__name__} of shape {shape}. "
            "It must return one row for each patient; patients are left out in X and y, before the fit."
        )
    if isinstance(transformed, pd.DataFrame):
        _check_frame(transformed, X, transformer)
    return transformed


def _check_frame(frame, X, transformer):
    """Refuse a frame that has other patients than X, or several columns of one name."""
    index = getattr(X, "index", None)
    # Rows that are numbered from 0 are those of an array, in the order of X.
    if index is not None and not frame.index.equals(index) and not frame.index.equals(pd.RangeIndex(len(frame))):
        raise ValueError(
            f"{transformer} was given the patients {shorten(index, 3)} and returned the rows "
            f"{shorten(frame.index, 3)}. It must keep the index of X and its order."
        )
    repeated = frame.columns[frame.columns.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{transformer} returns several columns of the name {shorten(repeated, 2)}. Rename them.")


def _as_name(column):
    """Name of a column that may have several levels or be a number."""
    return "_".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _spread(transformed, present, index):
    """Put the rows of `transformed` where `present` is true, and missing rows elsewhere."""
    if isinstance(transformed, pd.DataFrame):
        position = np.where(present, np.cumsum(present) - 1, -1)  # -1 is not in the index, so the row is missing
        spread = transformed.reset_index(drop=True).reindex(position)
        return spread.set_axis(index if index is not None else range(len(present)))
    # the narrowest floating type that holds the values, because integers cannot be missing
    dtype = np.result_type(transformed.dtype, np.float16)
    spread = np.full((len(present), transformed.shape[1]), np.nan, dtype=dtype)
    spread[present] = transformed
    return spread


@contextmanager
def _not_in_polars():
    """Let inner steps return what they return by default: frames of polars would lose patients and cannot hold bags."""
    polars = get_config()["transform_output"] == "polars"
    with config_context(transform_output="default") if polars else nullcontext():
        yield


@contextmanager
def _hint_at_bags(transformer, X):
    try:
        yield
    except TypeError as error:
        bags = [name for name, dtype in getattr(X, "dtypes", {}).items() if isinstance(dtype, BagDtype)]
        if not bags:
            raise
        raise TypeError(
            f"{transformer} cannot work on column {bags[0]!r}, which holds bags of tiles. To apply a transformer of "
            "numbers to the tiles, wrap it: BagTransformer(StandardScaler())."
        ) from error
