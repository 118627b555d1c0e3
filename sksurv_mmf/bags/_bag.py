"""The tiles of one patient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._files import FeatureFile, open_feature_file


class Bag:
    """The tiles of one patient: a matrix of features and, if known, where each tile lies.

    A bag is the cell of a pandas column of dtype ``"bag"``. It is either in memory (made from an array) or file-backed (made
    by `Bag.from_file`): a file-backed bag knows its size from the header, reads its tiles each time they are asked for and
    keeps none of them, and pickles as the path of its file, so it costs nothing in a cross-validation or a worker process.

    Parameters
    ----------
    features : array-like of shape (n_tiles, n_features)
        One row per tile. float16 stays float16, any other numeric type becomes float32. A float16 or float32 array is not
        copied. NaN is allowed here, so that an imputer can mend it; estimators refuse it.

    coords : array-like of shape (n_tiles, 2), default=None
        Position of each tile as (x, y), in any unit; used to draw attention maps.

    source : str, default=None
        Where the tiles come from, for messages; the path for a file-backed bag.

    See Also
    --------
    BagArray : A column of bags.

    Notes
    -----
    Bags are values: nothing changes them after they were made, and the arrays they hand out are read-only. Two bags are equal
    when their features (values and type) and coordinates are equal, wherever they are kept; comparing file-backed bags
    therefore reads them, unless both point at the same file.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.bags import Bag
    >>> bag = Bag(np.ones((120, 1024)), source="slide_1.svs")
    >>> bag
    Bag(120 tiles x 1024 features)
    >>> bag.features.dtype
    dtype('float32')
    """

    __slots__ = ("_content", "_source")

    def __init__(self, features, coords=None, source=None):
        features = _as_features(features)
        self._content = _Arrays(features, _as_coords(coords, len(features)))
        self._source = source

    @classmethod
    def from_file(cls, path):
        """Make a file-backed bag; only the header of the file is read.

        Parameters
        ----------
        path : str or path-like
            A ``.npy`` file with the features, or a ``.npz`` file with an array named ``features`` and optionally one named
            ``coords``, or with a single array. Uncompressed files are memory-mapped when read. Type float64 is cast at each
            read, so float32 or float16 files are faster.

        Returns
        -------
        Bag
            The bag.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a matrix of numbers, is empty, truncated or damaged. Pickled objects are never loaded.
        """
        file = open_feature_file(path)
        return cls._from_content(file, file.path)

    @classmethod
    def _from_content(cls, content, source):
        bag = cls.__new__(cls)
        bag._content = content
        bag._source = source
        return bag

    @property
    def n_tiles(self):
        """Number of tiles, known without reading them."""
        return self._content.shape[0]

    @property
    def n_features(self):
        """Number of features per tile, known without reading them."""
        return self._content.shape[1]

    @property
    def features(self):
        """Read-only array of shape (n_tiles, n_features), float32 or float16; a file-backed bag reads it at each access."""
        return _as_features(self._content.read_features())

    @property
    def coords(self):
        """Read-only array of shape (n_tiles, 2), or None."""
        return _as_coords(self._content.read_coords(), self.n_tiles)

    @property
    def source(self):
        """Where the tiles come from, or None."""
        return self._source

    @property
    def is_file_backed(self):
        """Whether the tiles are read from a file when they are used."""
        return not isinstance(self._content, _Arrays)

    def map(self, function, n_features=None):
        """Apply a function to the features; lazily, at each read, if the bag is file-backed.

        Parameters
        ----------
        function : callable
            Takes the features, of shape (n_tiles, n_features), and returns as many rows. It should be picklable (not a lambda)
            if a file-backed bag is to travel to worker processes.

        n_features : int, default=None
            Number of features that `function` returns. None means as many as it is given for a file-backed bag, and whatever it
            returns for a bag in memory.

        Returns
        -------
        Bag
            The bag with the new features and the same coordinates and source.

        Raises
        ------
        ValueError
            If `function` returns another number of tiles or features than announced. A file-backed bag raises it when it is
            read.
        """
        if self.is_file_backed:
            content = _Mapped(self._content, function, (self.n_tiles, n_features or self.n_features))
        else:
            features = _as_features(function(self.features))
            _check_mapped(features, (self.n_tiles, n_features or features.shape[1]), function, self.source)
            content = _Arrays(features, self._content.read_coords())
        return self._from_content(content, self.source)

    def __repr__(self):
        return f"Bag({self.n_tiles} tiles x {self.n_features} features)"

    def __eq__(self, other):
        if not isinstance(other, Bag):
            return NotImplemented
        if self._content.shape != other._content.shape:
            return False
        if self._content is other._content or (self.is_file_backed and self._content == other._content):
            return True
        return _same(self.features, other.features) and _same(self.coords, other.coords)

    def __hash__(self):
        # One tile is enough to tell most bags apart and spares reading a whole slide. Adding 0.0 makes -0.0 equal to 0.0,
        # and nan_to_num makes every NaN alike, as __eq__ has it.
        tile = np.nan_to_num(self.features[0]) + 0.0
        return hash((self.n_tiles, tile.dtype.str, tile.tobytes()))


class _Arrays:
    """Content of a bag in memory."""

    __slots__ = ("_coords", "_features")

    def __init__(self, features, coords):
        self._features = features
        self._coords = coords

    def __reduce__(self):
        # numpy forgets that an array was read-only when it is pickled
        return _restore_arrays, (self._features, self._coords)

    @property
    def shape(self):
        return self._features.shape

    def read_features(self):
        return self._features

    def read_coords(self):
        return self._coords


def _restore_arrays(features, coords):
    return _Arrays(_read_only(features), None if coords is None else _read_only(coords))


@dataclass(frozen=True, slots=True)
class _Mapped:
    """Content of a file, passed through a function at each read."""

    content: "FeatureFile | _Mapped"
    function: Callable
    shape: tuple

    def read_features(self):
        features = _as_features(self.function(_as_features(self.content.read_features())))
        _check_mapped(features, self.shape, self.function, self.path)
        return features

    def read_coords(self):
        return self.content.read_coords()

    @property
    def path(self):
        return self.content.path


def _check_mapped(features, shape, function, source):
    if features.shape != shape:
        raise ValueError(
            f"{getattr(function, '__name__', function)} must return features of shape {shape} for the bag from {source!r}, "
            f"got {features.shape}. Pass n_features to Bag.map if it changes their number."
        )


def _read_only(array):
    # a view, so that the flags of the caller's array stay as they are
    array = array.view()
    array.flags.writeable = False
    return array


def _as_features(features):
    features = np.asarray(features)
    if features.dtype.kind not in "fiub":
        raise ValueError(f"features must be numbers, got dtype {features.dtype}.")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"features must be a non-empty array of shape (n_tiles, n_features), got shape {features.shape}."
        )
    dtype = np.float16 if features.dtype == np.float16 else np.float32
    return _read_only(features.astype(dtype, copy=False))


def _as_coords(coords, n_tiles):
    if coords is None:
        return None
    coords = np.asarray(coords)
    if coords.dtype.kind not in "fiu":
        raise ValueError(f"coords must be numbers, got dtype {coords.dtype}.")
    if coords.shape != (n_tiles, 2):
        raise ValueError(f"coords must have shape ({n_tiles}, 2), one row per tile, got {coords.shape}.")
    return _read_only(coords)


def _same(one, other):
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
