"""Rescaling each vector to [0, 1]."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from ..utils._real_numbers import as_real


def minmax_normalize(X):
    """Rescale each row to [0, 1] by its own minimum and maximum; a constant row becomes zeros, NaN stays NaN."""
    low = np.fmin.reduce(X, axis=1, keepdims=True)
    span = np.fmax.reduce(X, axis=1, keepdims=True) - low
    span[span == 0] = 1
    return (X - low) / span


class MinMaxNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Rescale each patient's, or each tile's, vector to [0, 1] by its own minimum and maximum.

    Stateless: a row is rescaled without looking at any other, so nothing is learnt and nothing can leak. Use it when
    only the profile within a sample matters, not its overall level; unlike
    :class:`sklearn.preprocessing.MinMaxScaler`, which rescales columns. Wrapped in `BagTransformer` it rescales tiles.

    See Also
    --------
    sklearn.preprocessing.Normalizer : Rescale rows to unit norm.

    Notes
    -----
    :math:`x \mapsto (x - \min x) / (\max x - \min x)`, as CM-MMF rescales modality vectors before fusion [1]_. A
    constant row becomes zeros. NaN stays NaN and is left out of minimum and maximum, so a patient who lacks the
    modality still lacks it.

    References
    ----------
    .. [1] Deng, R., Shaikh, N., Shannon, G., Nie, Y. "Cross-modality attention-based multimodal fusion for non-small
           cell lung cancer (NSCLC) patient survival prediction." arXiv:2308.09831 (2023).

    Examples
    --------
    >>> from sksurv_mmf.preprocessing import MinMaxNormalizer
    >>> MinMaxNormalizer().fit_transform([[1, 2, 5], [7, 7, 7]])
    array([[0.  , 0.25, 1.  ],
           [0.  , 0.  , 0.  ]])
    """

    _parameter_constraints: dict = {}

    def fit(self, X, y=None):
        """Check X; nothing is learnt.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is allowed.

        y : object, default=None
            Ignored.

        Returns
        -------
        MinMaxNormalizer
            Itself.
        """
        self._check(X, reset=True)
        return self

    def transform(self, X):
        """Rescale each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is allowed.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The rescaled rows.
        """
        return minmax_normalize(self._check(X, reset=False))

    def _check(self, X, reset):
        return validate_data(
            self, as_real(X), dtype=(np.float64, np.float32), ensure_all_finite="allow-nan", reset=reset
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        return tags
