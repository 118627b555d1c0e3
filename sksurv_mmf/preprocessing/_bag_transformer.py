"""Any scikit-learn transformer, applied to the tiles of bags."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from ..bags._array import BagArray, BagDtype
from ..bags._tiling import Tiling, as_tuple, check_tiling
from ..utils._frames import as_frame
from ..utils._real_numbers import filled
from ..utils._sklearn import HasMethods, Interval
from ._checks import refuse_polars

MIN_BATCH = 1000  # tiles; so that small bags do not make batches with fewer tiles than components or clusters


class BagTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fit a transformer to the tiles of all bags, and apply it to each bag.

    Use it to impute, scale, reduce or otherwise change tile features with any scikit-learn transformer. The column of
    bags remains one: rows, names, coordinates and missing bags stay as they are.

    Parameters
    ----------
    transformer : transformer
        Works on an array of shape (n_tiles, n_features) and returns as many rows. It is cloned for each column. With
        a method ``partial_fit`` it sees one batch of tiles after another, so that memory holds a bag or two; without,
        the tiles of all bags are stacked.

    max_tiles : int, default=None
        Fit to at most this many tiles of each column, drawn at random from all of its bags. None means all tiles.

    random_state : int, RandomState instance or None, default=None
        Seed of that draw.

    Attributes
    ----------
    transformers_ : dict
        The fitted transformer of each column.

    n_features_in_ : int
        Number of bag columns.

    feature_names_in_ : ndarray of str
        Names of the bag columns.

    See Also
    --------
    make_modality_transformer : One transformer per modality.

    Notes
    -----
    Bags in memory are transformed at once. A file-backed bag remains file-backed, and the fitted transformer is
    applied each time it is read.

    A batch holds whole bags, with 1000 tiles or more (with as many as a tile has features if those are more), except
    for the last one. A pipeline has no ``partial_fit``; to keep memory small, write a pipeline of bag transformers
    instead of a bag transformer of a pipeline. A transformer that needs no fit is shown the first bag only.

    Tiles of type float16 are passed on as float32. Tiles with infinite features, and bags that are NaN throughout, are
    refused: they come from a damaged file, and an imputer would hide it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv_mmf.bags import BagArray
    >>> from sksurv_mmf.preprocessing import BagTransformer
    >>> bags = BagArray([[[0.0, 1.0], [0.0, 7.0]], [[4.0, 1.0], [4.0, 7.0]], None])
    >>> X = pd.DataFrame({"wsi__tiles": bags}, index=["Ann", "Bea", "Cleo"])
    >>> scaled = BagTransformer(StandardScaler()).fit_transform(X)
    >>> scaled.loc["Bea", "wsi__tiles"].features
    array([[ 1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"])],
        "max_tiles": [None, Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, transformer, *, max_tiles=None, random_state=None):
        self.transformer = transformer
        self.max_tiles = max_tiles
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit one clone of the transformer to the tiles of each column.

        Parameters
        ----------
        X : DataFrame, Series or BagArray
            One or several columns of bags.

        y : object, default=None
            Ignored.

        Returns
        -------
        BagTransformer
            Itself.

        Raises
        ------
        TypeError
            If a column does not hold bags.
        ValueError
            If a column holds no bag at all, or if a bag has infinite features or no value at all.
        """
        self._validate_params()
        refuse_polars(self)
        X = as_frame_of_bags(X, self)
        validate_data(self, X, skip_check_array=True)
        random_state = check_random_state(self.random_state)
        self.transformers_ = {}
        self._n_features = {}  # of the tiles in each column, before and after
        self._tilings = tilings_of(X)
        for name, column in X.items():
            n_features = tile_width(name, column, self.transformer)
            transformer = clone(self.transformer)
            tiles = _draw_tiles(column, self.max_tiles, random_state)
            first_tile = _fit_to_tiles(transformer, tiles, n_features)
            self.transformers_[name] = transformer
            self._n_features[name] = n_features, OnTiles(transformer)(first_tile).shape[1]
        return self

    def transform(self, X):
        """Apply the fitted transformers to each bag.

        Parameters
        ----------
        X : DataFrame, Series or BagArray
            The same columns of bags as in `fit`.

        Returns
        -------
        DataFrame
            Columns of bags with the names and the index of X.

        Raises
        ------
        TypeError
            If a column does not hold bags.
        ValueError
            If tiles have another number of features than in `fit`, or are known to be of another extractor or size,
            or the transformer refuses a bag.
        """
        check_is_fitted(self)
        refuse_polars(self)
        X = as_frame_of_bags(X, self)
        validate_data(self, X, skip_check_array=True, reset=False)
        return pd.DataFrame({name: self._transform_column(name, column) for name, column in X.items()}, index=X.index)

    def _transform_column(self, name, column):
        n_before, n_after = self._n_features[name]
        check_tile_width(name, column, n_before, self.transformer)
        check_same_tiling(name, column, self)
        function = OnTiles(self.transformers_[name])
        bags = np.empty(len(column), dtype=object)
        for position, bag in enumerate(column.array):
            try:
                bags[position] = bag if bag is pd.NA else bag.map(function, n_features=n_after)
            except ValueError as error:
                raise ValueError(f"Bag of patient {column.index[position]!r} in column {name!r}: {error}") from error
        return BagArray(bags)


@dataclass(frozen=True)
class OnTiles:
    """The function a fitted transformer applies to the features of a bag; picklable, for bags that stay in files."""

    transformer: BaseEstimator

    def __call__(self, features):
        tiles = self.transformer.transform(_at_least_float32(features))  # may refuse NaN by itself
        damage = find_damage(features, any_nan=False)
        if damage is not None:
            raise ValueError(say_damage(*damage))
        return np.asarray(tiles.toarray() if issparse(tiles) else filled(tiles))


def as_frame_of_bags(X, transformer):
    """Return columns of bags as a frame, or say what `transformer` was given instead."""
    name = type(transformer).__name__
    if isinstance(X, BagArray):
        X = pd.Series(X)
    if isinstance(X, pd.Series):
        X = X.to_frame(X.name if X.name is not None else "tiles")
    X = as_frame(X)
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"{name} works on columns of bags; got {type(X).__name__}. Pass a DataFrame, a Series of dtype 'bag' or a "
            "BagArray."
        )
    others = [column for column, dtype in X.dtypes.items() if not isinstance(dtype, BagDtype)]
    if others:
        raise TypeError(
            f"{name} works on columns of dtype 'bag'; column {others[0]!r} has dtype {X.dtypes[others[0]]}. "
            f"Choose the columns with make_modality_transformer(<modality>={name}(...)) or a ColumnTransformer."
        )
    return X


def tile_width(name, column, transformer):
    """Number of features of the tiles that `transformer` is fitted to."""
    if column.array.n_features is None:
        raise ValueError(f"Column {name!r} holds no bag to fit {transformer} to: all {len(column)} patients lack it.")
    return column.array.n_features


def check_tile_width(name, column, n_features, transformer):
    """Refuse tiles with another number of features than `transformer` was fitted to."""
    if column.array.n_features not in (n_features, None):
        raise ValueError(
            f"Column {name!r} has tiles with {column.array.n_features} features, but {transformer} was fitted to tiles "
            f"with {n_features}. Use features of the same extractor."
        )


def tilings_of(X):
    """What is known of the tiles of each column, as tuples, which a saved model can hold."""
    return {name: as_tuple(column.array.tiling) for name, column in X.items()}


def check_same_tiling(name, column, transformer):
    """Refuse tiles that are known to be of another extractor or size than those that `transformer` was fitted to."""
    # A transformer that an earlier release saved does not know.
    tiling = Tiling(*getattr(transformer, "_tilings", {}).get(name, ()))
    check_tiling(tiling, column.array, column.index, f"column {name!r}", type(transformer).__name__)


def find_damage(features, any_nan):
    """First damaged tile, how many there are, and what they have; None if there are none.

    Infinite features are damage; NaN is with `any_nan`, and in any case if no tile of the bag has a value.
    """
    if np.isfinite(features.sum(dtype=np.float64)):
        return None
    is_nan = np.isnan(features)
    flaws = {"infinite features (infinity, or beyond the type of its numbers)": np.isinf(features).any(axis=1)}
    if any_nan or is_nan.all():
        flaws["no value, NaN throughout" if is_nan.all() else "NaN among its features"] = is_nan.any(axis=1)
    for what, tiles in flaws.items():
        if tiles.any():
            return int(tiles.argmax()), np.count_nonzero(tiles), what
    return None


def say_damage(tile, count, what):
    """What `find_damage` found, as a sentence without a stop."""
    return f"tile {tile} has {what}" + (f", and so have {count - 1} others" if count > 1 else "")


def check_bag(bag, features, whose, handle_missing):
    """Refuse a bag with damaged tiles, naming the patient and the file; NaN in a tile is damage unless ignored."""
    damage = find_damage(features, any_nan=handle_missing == "error")
    if damage is None:
        return
    source = bag.source_of(damage[0])
    way_out = "Repair the file or remove such tiles."
    if "among" in damage[2]:
        way_out = (
            "Repair the file; if features are undefined in some tiles, pass handle_missing='ignore', or impute them "
            "before with BagTransformer(SimpleImputer())."
        )
    raise ValueError(
        f"Bag of {whose}{'' if source is None else f', from {str(source)!r}'}: {say_damage(*damage)}. {way_out}"
    )


def _at_least_float32(features):
    return features.astype(np.float32) if features.dtype == np.float16 else features


def _draw_tiles(column, max_tiles, random_state):
    """Yield the features of each bag, of all its tiles or of those that are drawn."""
    stops = np.cumsum(column.array.n_tiles)
    n_tiles = stops[-1]
    drawn = None
    if max_tiles is not None and n_tiles > max_tiles:
        drawn = np.sort(random_state.choice(n_tiles, max_tiles, replace=False))
    for patient, bag, stop in zip(column.index, column.array, stops):
        if bag is pd.NA:
            continue
        rows = slice(None)
        if drawn is not None:
            start = stop - bag.n_tiles
            rows = drawn[(drawn >= start) & (drawn < stop)] - start
            if not len(rows):
                continue
        features = bag.features
        check_bag(bag, features, f"patient {patient!r} in column {column.name!r}", "ignore")
        yield _at_least_float32(features[rows])


def _fit_to_tiles(transformer, tiles, n_features):
    """Fit to an iterator of tile arrays and return one tile."""
    if not get_tags(transformer).requires_fit:
        first = next(tiles)
        transformer.fit(first)
    elif hasattr(transformer, "partial_fit"):
        for batch in _batches(tiles, max(MIN_BATCH, n_features)):
            transformer.partial_fit(batch)
            first = batch
    else:
        first = np.concatenate(list(tiles))
        transformer.fit(first)
    return first[:1]


def _batches(tiles, least):
    """Join consecutive arrays until there are at least `least` rows; the last batch may have fewer."""
    waiting = []
    for features in tiles:
        waiting.append(features)
        if sum(map(len, waiting)) >= least:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
