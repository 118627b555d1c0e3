"""Missing modalities in a table for models that know none."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..utils._frames import who_has
from ..utils._modality_names import column_name, modality_of
from ..utils._validation import shorten
from ._checks import frame_with_names, numbers


class ModalityImputer(TransformerMixin, BaseEstimator):
    """Give patients who lack a modality the mean of the others, and say in a column who they are.

    Use it in front of a model for plain tables, such as scikit-survival's. Networks of this package need no
    imputation of missing modalities.

    Parameters
    ----------
    add_indicator : bool, default=True
        Whether to add a column ``<modality>__missing``, 1.0 for the patients who lack the modality and 0.0 for the
        others, for each modality that a training patient lacks.

    Attributes
    ----------
    means_ : ndarray of shape (n_columns,)
        Mean of each column over the training patients who have a value; 0 if there are none.

    indicated_ : list of str
        The modalities that have an indicator.

    n_features_in_ : int
        Number of columns seen during fit.

    feature_names_in_ : ndarray of str
        Names of the columns seen during fit.

    See Also
    --------
    sklearn.impute.SimpleImputer : Has one indicator per column, all of them the same for a missing modality.

    Notes
    -----
    NaN in only some columns of a modality is filled in as well, but does not make the modality a missing one.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.preprocessing import ModalityImputer
    >>> X = pd.DataFrame({"rna__TP53": [1.0, 3.0, np.nan], "clinical__age": [50, 60, 70]}, index=["Ann", "Bea", "Cleo"])
    >>> ModalityImputer().fit_transform(X)
          rna__TP53  clinical__age  rna__missing
    Ann         1.0           50.0           0.0
    Bea         3.0           60.0           0.0
    Cleo        2.0           70.0           1.0
    """

    _parameter_constraints: dict = {"add_indicator": ["boolean"]}

    def __init__(self, *, add_indicator=True):
        self.add_indicator = add_indicator

    def fit(self, X, y=None):
        """Learn the means, and which modalities may be missing.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Numeric columns named ``<modality>__<feature>``.

        y : object, default=None
            Ignored.

        Returns
        -------
        ModalityImputer
            Itself.
        """
        self._validate_params()
        X = self._check_X(X, reset=True)
        self.means_ = X.mean().fillna(0.0).to_numpy()
        missing = _missing_modalities(X)
        self.indicated_ = list(missing.columns[missing.any()]) if self.add_indicator else []
        return self

    def transform(self, X):
        """Fill in what is missing.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            The columns of `fit`.

        Returns
        -------
        DataFrame of shape (n_patients, n_columns + n_indicators)
            Without NaN; the indicators come last.
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        # pandas' fillna goes column by column, which takes seconds with the genes of a cohort.
        filled = pd.DataFrame(np.where(X.isna(), self.means_, X), index=X.index, columns=X.columns)
        indicators = _missing_modalities(X)[self.indicated_].astype(float).rename(columns=_indicator)
        return pd.concat([filled, indicators], axis=1)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored.

        Returns
        -------
        ndarray of str
            The columns of X and the indicators.
        """
        check_is_fitted(self)
        indicators = map(_indicator, self.indicated_)
        return np.array([*self.feature_names_in_, *indicators], dtype=object)

    def _check_X(self, X, reset):
        X = numbers(frame_with_names(X), self)
        unnamed = [name for name in X.columns if not isinstance(name, str)]
        if unnamed:
            raise TypeError(f"Columns must be named <modality>__<feature>; {shorten(unnamed)} are no names.")
        validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
        return X.astype(np.float64)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _missing_modalities(X):
    """Which patient lacks which modality: a frame of booleans, patients by modalities."""
    modality = np.array([modality_of(name) or name for name in X.columns])  # without a prefix, one of its own
    lacks = {name: ~who_has(X, np.flatnonzero(modality == name)) for name in dict.fromkeys(modality.tolist())}
    return pd.DataFrame(lacks, index=X.index)


def _indicator(modality):
    return column_name(modality, "missing")
