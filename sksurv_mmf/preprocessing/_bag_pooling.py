"""From bags to tables: summaries of the tiles of each patient."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..utils._sklearn import StrOptions, check_feature_names_in
from ._bag_transformer import as_frame_of_bags, check_bag, check_same_tiling, check_tile_width, tile_width, tilings_of

STATISTICS = {"mean": np.nanmean, "std": np.nanstd, "min": np.nanmin, "max": np.nanmax, "median": np.nanmedian}


class BagPooling(TransformerMixin, BaseEstimator):
    """Summarise the tiles of each bag, feature by feature, so that a table takes the place of the bags.

    Use it to give a model for plain tables, such as scikit-survival's, the images of a cohort: a network that reads
    tiles has to beat such a model.

    Parameters
    ----------
    statistics : sequence of {"mean", "std", "min", "max", "median"} or float, default=("mean",)
        What is computed over the tiles of a bag; a number between 0 and 1 is that quantile. The standard deviation
        has divisor n, so that it is 0 for a single tile.

    handle_missing : {"error", "ignore"}, default="error"
        What a NaN among the tile features means: "error" takes it for a damaged file and refuses the bag, "ignore" for
        a feature that is not defined there. Such a tile does not count for this feature, and the result is NaN if no
        tile has a value.

    Attributes
    ----------
    n_features_in_ : int
        Number of bag columns.

    feature_names_in_ : ndarray of str
        Names of the bag columns.

    See Also
    --------
    BagTransformer : Changes tiles and keeps the bags.
    sksurv_mmf.encoders.MeanMIL : Learns what to average.

    Notes
    -----
    A patient without the bag gets NaN throughout, which an imputer behind may fill. What it fills should be missing
    patients, and not the mean over a slide that could not be read: hence a NaN has to be allowed. Infinite features,
    and bags without a single value, are refused in any case.

    Nothing is learnt from other patients, so that pooling once in front of a cross-validation is safe. It saves time
    if the bags are in files.

    Examples
    --------
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import BagArray
    >>> from sksurv_mmf.preprocessing import BagPooling
    >>> bags = BagArray([[[0.0, 1.0], [4.0, 1.0]], [[5.0, 7.0]], None])
    >>> X = pd.DataFrame({"wsi__tiles": bags}, index=["Ann", "Bea", "Cleo"])
    >>> BagPooling(["mean", "max"]).set_output(transform="pandas").fit_transform(X).T
                      Ann  Bea  Cleo
    wsi__tiles_mean0  2.0  5.0   NaN
    wsi__tiles_mean1  1.0  7.0   NaN
    wsi__tiles_max0   4.0  5.0   NaN
    wsi__tiles_max1   1.0  7.0   NaN
    """

    _parameter_constraints: dict = {
        "statistics": ["array-like"],
        "handle_missing": [StrOptions({"error", "ignore"})],
    }

    def __init__(self, statistics=("mean",), *, handle_missing="error"):
        self.statistics = statistics
        self.handle_missing = handle_missing

    def fit(self, X, y=None):
        """Remember the number of features of each column.

        Parameters
        ----------
        X : DataFrame, Series or BagArray
            One or several columns of bags.

        y : object, default=None
            Ignored.

        Returns
        -------
        BagPooling
            Itself.

        Raises
        ------
        TypeError
            If a column does not hold bags.
        ValueError
            If a statistic is unknown, or a column holds no bag at all.
        """
        self._validate_params()
        self._check_statistics()
        X = as_frame_of_bags(X, self)
        validate_data(self, X, skip_check_array=True)
        self._n_features = [tile_width(name, column, self) for name, column in X.items()]
        self._tilings = tilings_of(X)
        return self

    def _check_statistics(self):
        if not len(self.statistics):
            raise ValueError(f"statistics must be a list such as ['mean', 'std'], got {self.statistics!r}.")
        for one in self.statistics:
            is_quantile = isinstance(one, Real) and not isinstance(one, bool) and 0 <= one <= 1
            if not is_quantile and not (isinstance(one, str) and one in STATISTICS):
                raise ValueError(
                    f"statistics must hold names among {list(STATISTICS)} or quantiles between 0 and 1, got {one!r}."
                )

    def transform(self, X):
        """Summarise each bag.

        Parameters
        ----------
        X : DataFrame, Series or BagArray
            The same columns of bags as in `fit`.

        Returns
        -------
        ndarray of shape (n_patients, n_columns * n_statistics * n_tile_features)
            Columns of the first statistic first; `get_feature_names_out` has their names.

        Raises
        ------
        TypeError
            If a column does not hold bags.
        ValueError
            If tiles have another number of features than in `fit`, or are known to be of another extractor or size, or
            have features that are infinite or, unless they are to be ignored, NaN.
        """
        check_is_fitted(self)
        X = as_frame_of_bags(X, self)
        validate_data(self, X, skip_check_array=True, reset=False)
        blocks = []
        for (name, column), n_features in zip(X.items(), self._n_features):
            check_tile_width(name, column, n_features, self)
            check_same_tiling(name, column, self)
            block = np.full((len(column), len(self.statistics) * n_features), np.nan)
            for row, bag in enumerate(column.array):
                if bag is not pd.NA:
                    features = bag.features
                    check_bag(bag, features, f"patient {column.index[row]!r} in column {name!r}", self.handle_missing)
                    block[row] = pool(features, self.statistics)
            blocks.append(block)
        return np.hstack(blocks)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of the table.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the bag columns. None means those seen during fit.

        Returns
        -------
        ndarray of str
            ``<column>_mean0``, ``<column>_mean1``, ...; quantiles are ``<column>_q0.75_0`` and so on.
        """
        check_is_fitted(self)
        columns = check_feature_names_in(self, input_features)
        labels = [one if isinstance(one, str) else f"q{one}_" for one in self.statistics]
        names = []
        for column, n_features in zip(columns, self._n_features):
            for label in labels:
                names += [f"{column}_{label}{i}" for i in range(n_features)]
        return np.array(names, dtype=object)


def pool(features, statistics):
    """Summaries over the rows of `features`, one statistic after the other; NaN where no row has a value."""
    features = np.asarray(features, dtype=np.float64)
    pooled = np.full((len(statistics), features.shape[1]), np.nan)
    known = ~np.isnan(features).all(axis=0)  # numpy warns of columns without a value
    values = features[:, known]
    for row, one in zip(pooled, statistics):
        if isinstance(one, str):
            row[known] = STATISTICS[one](values, axis=0)
        else:
            row[known] = np.nanquantile(values, one, axis=0)
    return pooled.ravel()
