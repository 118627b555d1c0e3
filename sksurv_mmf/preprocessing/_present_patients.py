"""Transformers that leave out patients who lack a modality."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..bags._array import BagDtype
from ..utils._outcome import align_outcome
from ..utils._real_numbers import as_real


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
        X, y, _ = self._start_fit(X, y)
        with _hint_at_bags(self.transformer, X):
            self.transformer_.fit(X, y)
        self._remember_columns(self._apply(_safe_indexing(X, [0])))
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
        index = getattr(X, "index", None)
        X, y, present = self._start_fit(X, y)
        with _hint_at_bags(self.transformer, X):
            transformed = _as_dense(self.transformer_.fit_transform(X, y))
        self._remember_columns(transformed)
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
        X = self._check_X(X, reset=False)
        present = is_present(X)
        transformed = self._apply(_safe_indexing(X, present)) if present.any() else self._nobody()
        return _spread(transformed, present, getattr(X, "index", None))

    def get_feature_names_out(self, input_features=None):
        """Return the names that the fitted transformer gives its columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns that go in. None means those seen during fit.

        Returns
        -------
        ndarray of str
            Names of the columns that come out.
        """
        check_is_fitted(self)
        if self._names is not None:
            return np.array(self._names, dtype=object)
        return self.transformer_.get_feature_names_out(input_features)

    def _check_X(self, X, reset):
        X = as_real(X)
        if isinstance(X, pd.DataFrame):
            return validate_data(self, X, skip_check_array=True, reset=reset)  # columns may hold bags
        return validate_data(self, X, dtype=None, ensure_all_finite=False, reset=reset)

    def _start_fit(self, X, y):
        self._validate_params()
        y = align_outcome(y, X) if isinstance(y, pd.DataFrame) else y
        X = self._check_X(X, reset=True)
        if y is not None:
            check_consistent_length(X, y)
        present = is_present(X)
        if not present.any():
            raise ValueError(
                f"There is nobody to fit {self.transformer} to: all {len(present)} patients lack the modality with the "
                f"columns {list(getattr(X, 'columns', range(X.shape[1])))[:3]}, ..."
            )
        self.transformer_ = clone(self.transformer)
        return _safe_indexing(X, present), None if y is None else _safe_indexing(y, present), present

    def _remember_columns(self, transformed):
        # As names and not as an empty frame, because saved models hold lists and words only.
        is_frame = isinstance(transformed, pd.DataFrame)
        self._names = transformed.columns.tolist() if is_frame else None
        self._dtypes = [str(dtype) for dtype in (transformed.dtypes if is_frame else [transformed.dtype])]
        self._n_columns = transformed.shape[1]

    def _nobody(self):
        """What the transformer makes of no patient at all."""
        if self._names is None:
            return np.empty((0, self._n_columns), dtype=self._dtypes[0])
        columns = {i: pd.Series([], dtype=dtype) for i, dtype in enumerate(self._dtypes)}
        return pd.DataFrame(columns).set_axis(self._names, axis=1)

    def _apply(self, X):
        return _as_dense(self.transformer_.transform(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def is_present(X):
    """Tell in which rows of a frame or array not everything is missing."""
    return ~np.asarray(pd.isna(X)).all(axis=1)


def _as_dense(transformed):
    return transformed.toarray() if issparse(transformed) else transformed


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
