"""The tiles of one patient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..utils._real_numbers import filled
from ._checks import COORD_UNITS, MAX_RATIO, check_coords, check_features, check_numbers, check_places
from ._files import open_feature_file
from ._tiling import UNKNOWN, check_is_tiling


class Bag:
    """The tiles of one patient: a matrix of features and, where known, the place of each tile.

    A bag is the cell of a pandas column of dtype ``"bag"``. It is either in memory, made from an array, or
    file-backed, made by `read_bags`, `open_bags` or `Bag.from_file`. A file-backed bag knows its size from the
    header of its file, reads its tiles each time they are asked for, keeps none of them and pickles as the path
    of its file, so it costs nothing in a cross-validation or on the way to a worker process. Use file-backed
    bags for whole slides.

    Parameters
    ----------
    features : array-like of shape (n_tiles, n_features)
        One row per tile. Type float16 stays, any other type of numbers becomes float32. An array that already
        has one of these types is not copied. NaN is allowed, so that an imputer can mend it; estimators
        refuse it. Masked entries become NaN.

    coords : array-like of shape (n_tiles, 2), default=None
        Position of each tile as (x, y), of its upper left corner on a slide. Attention maps need it.

    source : str, default=None
        Where the tiles come from, for the user to read. It is the path if the bag is file-backed, or the paths.

    slides : dict of str to int, default=None
        Number of tiles of each slide, in the order of the tiles, where this is known.

    coord_unit : {"px", "um"}, default=None
        Unit of the coordinates: pixels of level 0, the finest of the slide, or micrometres. None says that it is not
        known; maps on a slide then take it for pixels.

    tiling : Tiling, default=None
        By which feature extractor the tiles were made and how large they are. None says that nothing of it is known.

    Raises
    ------
    ValueError
        If there are no tiles, or the shapes, types or the unit are not the ones above.

    See Also
    --------
    BagArray : A column of bags.
    read_bags : Makes a column of file-backed bags from feature files.

    Notes
    -----
    Bags are values: nothing changes a bag once it is made, and the arrays it hands out are read-only. Two
    bags are equal if their features, the type of these included, and their coordinates and unit are, wherever they
    are kept. So comparing file-backed bags reads them, unless both stand for the same file. The names of slides and
    sources do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.bags import Bag
    >>> bag = Bag(np.ones((120, 1024)), source="slide_1.svs")
    >>> bag
    Bag(120 tiles x 1024 features)
    >>> bag.map(np.log1p).features.dtype
    dtype('float32')
    """

    __slots__ = ("_content", "_source")

    def __init__(self, features, coords=None, source=None, slides=None, coord_unit=None, tiling=None):
        if coord_unit not in (None, *COORD_UNITS):
            raise ValueError(f"coord_unit must be None or one of {', '.join(COORD_UNITS)}, got {coord_unit!r}.")
        check_is_tiling(tiling)
        features = _as_features(features)
        n_tiles = len(features)
        places, slides = _as_coords(coords, n_tiles), _as_slides(slides, n_tiles)
        self._content = _Arrays(features, places, slides, coord_unit, UNKNOWN if tiling is None else tiling)
        self._source = source

    @classmethod
    def from_file(cls, path, format="auto", features_key=None, coords_key=None, max_ratio=MAX_RATIO, tiling=None):
        """Make a file-backed bag, reading the header of the file only.

        Parameters
        ----------
        path : str or path-like
            A feature file, as `read_bags` describes them. Types other than float16 and float32 are converted at
            each use.

        format : {"auto", "h5", "pt", "npy", "npz", "zarr", "parquet"}, default="auto"
            Format of the file; "auto" goes by the end of its name.

        features_key : str or list of str, default=None
            Name of the features in the file, as for `read_bags`.

        coords_key : str or list of str, default=None
            Name of the coordinates in the file, as for `read_bags`.

        max_ratio : int, default=100
            How many times the bytes of the file a compressed array may take in memory, as for `read_bags`.

        tiling : Tiling, default=None
            By which extractor the features were made and how large the tiles are. It replaces what the file says, as
            for `read_bags`.

        Returns
        -------
        Bag
            The bag.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file cannot be read, is truncated, damaged or locked, or does not hold a matrix of numbers with
            at least one row. Pickled objects are never loaded.

        Notes
        -----
        Uncompressed ``.npy`` and ``.npz`` files are memory-mapped while their tiles are used. Before each use the
        size and the time of the file are compared with those at the start, so that a file that was cut short is an
        error. One that is cut short *while* it is mapped ends the process, as the operating system has no other
        answer (SIGBUS); replace files by renaming new ones, never by writing into them.
        """
        check_is_tiling(tiling)
        file = open_feature_file(path, format, features_key, coords_key, max_ratio, tiling)
        return cls._from_content(file, file.path)

    @classmethod
    def _from_content(cls, content, source):
        bag = cls.__new__(cls)
        bag._content = content
        bag._source = source
        return bag

    @property
    def n_tiles(self):
        """Number of tiles; known without reading them."""
        return self._content.shape[0]

    @property
    def n_features(self):
        """Number of features per tile; known without reading them."""
        return self._content.shape[1]

    @property
    def features(self):
        """Features as a read-only array of shape (n_tiles, n_features), read from the file of a file-backed bag."""
        try:
            return _as_features(self._content.read_features())
        except MemoryError as error:
            n_gigabytes = self.n_tiles * self.n_features * 4 / 1e9
            raise MemoryError(
                f"Memory ran out while the {self.n_tiles} x {self.n_features} features of {self.source!r} were read, "
                f"which take {n_gigabytes:.3g} GB as float32. Choose a smaller batch_size, sample tiles once and for "
                "all, or have bags memory-mapped: pack_bags writes them so."
            ) from error

    @property
    def coords(self):
        """Positions as a read-only array of shape (n_tiles, 2), or None."""
        return _as_coords(self._content.read_coords(), self.n_tiles)

    @property
    def coord_unit(self):
        """Unit of the coordinates, "px" or "um", or None if it is not known."""
        return self._content.coord_unit

    @property
    def tiling(self):
        """What is known of the feature extractor and the size of the tiles, a `Tiling`."""
        return self._content.tiling

    @property
    def tile_sides(self):
        """Side of each tile in the unit of the coordinates, NaN where it is not known; None if none is known."""
        sides = self._content.sides
        if sides is None or all(side is None for side in sides):
            return None
        return np.repeat(np.array(sides, dtype=float), list(self._content.slides.values()))

    @property
    def source(self):
        """Where the tiles come from, or None."""
        return self._source

    @property
    def slides(self):
        """Number of tiles by name of the slide, in the order of the tiles, or None if the slides are not known."""
        slides = self._content.slides
        return None if slides is None else dict(slides)

    def source_of(self, tile):
        """Tell where one tile comes from, which matters for a bag of several slides.

        Parameters
        ----------
        tile : int
            Position of the tile in the bag.

        Returns
        -------
        str or None
            Path of the file that has the tile; of an in-memory bag, its source.
        """
        return self._content.source_of(tile) if self.is_file_backed else self.source

    @property
    def is_file_backed(self):
        """Whether the tiles are read from a file when they are used."""
        return not isinstance(self._content, _Arrays)

    def map(self, function, n_features=None):
        """Apply a function to the features: at once if they are in memory, at each use if the bag is file-backed.

        Parameters
        ----------
        function : callable
            Takes an array of shape (n_tiles, n_features) that is read-only, returns one with as many rows.
            For a file-backed bag to be picklable it must be too, so no lambda.

        n_features : int, default=None
            Number of features that `function` returns. A file-backed bag takes None to mean that it stays the
            same.

        Returns
        -------
        Bag
            A bag with new features and the same coordinates and source.

        Raises
        ------
        ValueError
            If `function` returns another shape than announced; from a file-backed bag at its first use.
        """
        if self.is_file_backed:
            width = self.n_features if n_features is None else n_features
            return self._from_content(_Mapped(self._content, function, (self.n_tiles, width)), self.source)
        features = _as_features(function(self.features))
        width = features.shape[1] if n_features is None else n_features
        _check_mapped(features, (self.n_tiles, width), function, self.source)
        same = self._content
        return self._from_content(
            _Arrays(features, self.coords, same.slides, self.coord_unit, same.tiling), self.source
        )

    def __float__(self):
        # Whatever wants numbers, such as scikit-learn's transformers, comes here with a column of bags.
        raise TypeError(
            "A bag of tiles is no number. Summarise its tiles with BagPooling, or transform them with "
            "BagTransformer(...); make_modality_transformer(<modality>=...) chooses the columns for a transformer."
        )

    def __repr__(self):
        return f"Bag({self.n_tiles} tiles x {self.n_features} features)"

    def __eq__(self, other):
        if not isinstance(other, Bag):
            return NotImplemented
        if self._content == other._content:
            return True
        return (
            self._content.shape == other._content.shape
            and self.coord_unit == other.coord_unit
            and _equal(self.coords, other.coords)
            and _equal(self.features, other.features)
        )

    def __hash__(self):
        # One tile tells most bags apart, and spares reading all tiles of a slide.
        return hash((self.n_tiles, _hashable(self.features[:1])))


class _Arrays:
    """Content of a bag in memory. Compares by identity; `Bag` compares the arrays."""

    __slots__ = ("_coords", "_features", "coord_unit", "slides", "tiling")

    sides = None

    def __init__(self, features, coords, slides, coord_unit, tiling):
        self._features = features
        self._coords = coords
        self.slides = slides
        self.coord_unit = coord_unit
        self.tiling = tiling

    def __reduce__(self):
        # An array that was pickled has forgotten that it was read-only.
        return _unpickle_arrays, (self._features, self._coords, self.slides, self.coord_unit, self.tiling)

    @property
    def shape(self):
        return self._features.shape

    def read_features(self):
        return self._features

    def read_coords(self):
        return self._coords


def _unpickle_arrays(features, coords, slides, coord_unit, tiling=UNKNOWN):  # of earlier releases, without it
    return _Arrays(_read_only(features), None if coords is None else _read_only(coords), slides, coord_unit, tiling)


@dataclass(frozen=True, slots=True)
class _Mapped:
    """Content of files, with a function applied to the features at each use."""

    content: object
    function: Callable
    shape: tuple

    @property
    def path(self):
        return self.content.path

    @property
    def slides(self):
        return self.content.slides

    @property
    def coord_unit(self):
        return self.content.coord_unit

    @property
    def tiling(self):
        return self.content.tiling

    @property
    def sides(self):
        return self.content.sides

    def source_of(self, tile):
        return self.content.source_of(tile)

    def read_features(self):
        features = _as_features(self.function(_as_features(self.content.read_features())))
        _check_mapped(features, self.shape, self.function, self.path)
        return features

    def read_coords(self):
        return self.content.read_coords()


def _as_features(features):
    features = np.asarray(filled(features))
    check_numbers(features.dtype)
    check_features(features.shape)
    dtype = np.float16 if features.dtype.type is np.float16 else np.float32
    with np.errstate(over="ignore"):  # becomes infinite, which estimators refuse with the patient
        return _read_only(features.astype(dtype, copy=False))


def _as_coords(coords, n_tiles):
    if coords is None:
        return None
    if np.ma.is_masked(coords):
        raise ValueError("coords must be known of all tiles, but some are masked.")
    coords = np.asarray(coords)
    check_numbers(coords.dtype)
    check_coords(coords.shape, n_tiles)
    check_places(coords)
    return _read_only(coords)


def _as_slides(slides, n_tiles):
    if slides is None:
        return None
    slides = {str(name): int(n) for name, n in slides.items()}
    if min(slides.values(), default=0) < 1 or sum(slides.values()) != n_tiles:
        raise ValueError(f"slides must give each slide its number of tiles, {n_tiles} together, got {slides}.")
    return slides


def _read_only(array):
    # A view, for the caller may go on writing to the array that he passed.
    array = array.view()
    array.flags.writeable = False
    return array


def _check_mapped(features, shape, function, source):
    if features.shape != shape:
        name = getattr(function, "__name__", function)
        raise ValueError(
            f"{name} must return features of shape {shape} for the bag from {source!r}, got shape {features.shape}; "
            "pass n_features to Bag.map if their number changes."
        )


def _equal(one, other):
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)


def _hashable(array):
    # Adding 0.0 turns -0.0 into 0.0 and nan_to_num makes all NaN alike, for these are equal, too.
    return (np.nan_to_num(array) + 0.0).tobytes()
