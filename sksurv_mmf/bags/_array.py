"""A pandas column of bags."""

import numbers
import zlib

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray, ExtensionDtype, register_extension_dtype, take
from pandas.api.indexers import check_array_indexer
from pandas.api.types import is_list_like, is_scalar

from ._bag import Bag
from ._checks import describe_widths
from ._tiling import UNKNOWN, WAY_OUT, disagreement, join_tilings


@register_extension_dtype
class BagDtype(ExtensionDtype):
    """The pandas dtype of a column of bags, registered as ``"bag"``.

    See Also
    --------
    BagArray : The array that holds the bags.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import BagDtype
    >>> pd.Series([np.ones((3, 2)), None], dtype="bag").dtype == BagDtype()
    True
    """

    name = "bag"
    type = Bag
    kind = "O"
    na_value = pd.NA

    @classmethod
    def construct_array_type(cls):
        """Return the array type that belongs to this dtype.

        Returns
        -------
        type
            `BagArray`.
        """
        return BagArray

    def __repr__(self):
        return "BagDtype()"


class BagArray(ExtensionArray):
    """A pandas extension array whose elements are bags of tiles, one per patient.

    Taking rows from it copies references, never tiles. All bags have the same number of features, and tiles of one
    feature extractor and size as far as that is known.

    Parameters
    ----------
    bags : sequence of Bag, array-like of shape (n_tiles, n_features), or missing
        One element per patient; None, NaN and ``pandas.NA`` say that the patient has no bag.

    copy : bool, default=False
        Whether to copy the sequence. The tiles are never copied.

    Raises
    ------
    TypeError
        If an element is neither a bag, an array nor missing.
    ValueError
        If an array is not a matrix of numbers, or the bags differ in their number of features or are known to be of
        different feature extractors or tile sizes, see `Tiling`.

    See Also
    --------
    Bag : The tiles of one patient.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import BagArray
    >>> bags = BagArray([np.ones((3, 2)), None, np.zeros((5, 2))])
    >>> bags.n_tiles
    array([3, 0, 5])
    >>> pd.Series(bags, index=["A", "B", "C"])
    A    Bag(3 tiles x 2 features)
    B                         <NA>
    C    Bag(5 tiles x 2 features)
    dtype: bag
    """

    # pandas 3 sets this on arrays that a column shares with its caller; older pandas hands out no such array.
    _readonly = False

    def __init__(self, bags, copy=False):
        if isinstance(bags, BagArray):
            self._bags = bags._bags.copy() if copy else bags._bags
            return
        self._bags = np.empty(len(bags), dtype=object)
        for position, bag in enumerate(bags):
            try:
                self._bags[position] = _as_cell(bag)
            except (TypeError, ValueError) as error:
                raise type(error)(f"Element {position} cannot be a bag: {error}") from error
        _check_alike(self._bags)

    @classmethod
    def _wrap(cls, bags):
        array = cls.__new__(cls)
        array._bags = bags
        return array

    @classmethod
    def _from_sequence(cls, scalars, *, dtype=None, copy=False):
        return cls(scalars, copy=copy)

    @classmethod
    def _from_scalars(cls, scalars, *, dtype):
        # Unlike the constructor this must not make bags of arrays: column.map(lambda bag: bag.features) is no
        # column of bags.
        if not all(isinstance(scalar, Bag) or _is_missing(scalar) for scalar in scalars):
            raise TypeError("Not all of these are bags.")
        return cls(scalars)

    @classmethod
    def _from_factorized(cls, values, original):
        return cls(values)

    @classmethod
    def _concat_same_type(cls, to_concat):
        bags = np.concatenate([array._bags for array in to_concat])
        _check_alike(bags)
        return cls._wrap(bags)

    @property
    def dtype(self):
        """The dtype, `BagDtype`."""
        return BagDtype()

    @property
    def nbytes(self):
        """Bytes held in memory, those of in-memory tiles included."""
        return self._bags.nbytes + sum(bag.features.nbytes for bag in self._present() if not bag.is_file_backed)

    @property
    def n_tiles(self):
        """Number of tiles of each bag, 0 where the bag is missing."""
        return np.array([0 if bag is pd.NA else bag.n_tiles for bag in self._bags], dtype=np.int64)

    @property
    def n_features(self):
        """Number of features per tile, None if all bags are missing."""
        return next((bag.n_features for bag in self._present()), None)

    @property
    def tiling(self):
        """What is known of the feature extractor and the size of the tiles, a `Tiling`."""
        return join_tilings([bag.tiling for bag in self._present()] or [UNKNOWN])

    def _present(self):
        return (bag for bag in self._bags if bag is not pd.NA)

    def __len__(self):
        return len(self._bags)

    def __getitem__(self, item):
        if isinstance(item, numbers.Integral):
            return self._bags[item]
        item = check_array_indexer(self, item)
        result = self._bags[item]
        if not isinstance(result, np.ndarray):
            return result
        result = self._wrap(result)
        if np.shares_memory(result._bags, self._bags):
            result._readonly = self._readonly
        return result

    def __setitem__(self, key, value):
        if self._readonly:
            raise ValueError("Cannot modify read-only array.")
        key = check_array_indexer(self, key)
        if not isinstance(key, numbers.Integral) and _is_sequence_of_cells(value):
            value = type(self)(value)._bags
        else:
            value = _as_cell(value)
        bags = self._bags.copy()
        bags[key] = value
        _check_alike(bags)
        self._bags[:] = bags

    def __eq__(self, other):
        if isinstance(other, pd.Series | pd.DataFrame | pd.Index):
            return NotImplemented
        others = other if is_list_like(other) else [other] * len(self)
        if len(others) != len(self):
            raise ValueError(f"Lengths must match to compare, got {len(self)} and {len(others)}.")
        pairs = zip(self._bags, others)
        return np.array(
            [isinstance(one, Bag) and isinstance(two, Bag) and one == two for one, two in pairs], dtype=bool
        )

    def __ne__(self, other):
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else ~equal

    def __array__(self, dtype=None, copy=None):
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(f"Bags can become an array of dtype object only, not {np.dtype(dtype)}.")
        if copy:
            return self._bags.copy()
        bags = self._bags.view()
        bags.flags.writeable = not self._readonly
        return bags

    def isna(self):
        """Tell which bags are missing.

        Returns
        -------
        ndarray of bool
            True where the patient has no bag.
        """
        return np.array([bag is pd.NA for bag in self._bags], dtype=bool)

    def take(self, indices, *, allow_fill=False, fill_value=None):
        """Take elements by position, without copying tiles.

        Parameters
        ----------
        indices : sequence of int
            The positions.

        allow_fill : bool, default=False
            Whether -1 stands for a missing bag, instead of the last one.

        fill_value : Bag, default=None
            What to fill in; None means ``pandas.NA``.

        Returns
        -------
        BagArray
            The elements.
        """
        fill_value = _as_cell(fill_value) if allow_fill else None
        return self._wrap(take(self._bags, indices, allow_fill=allow_fill, fill_value=fill_value))

    def copy(self):
        """Return a copy that shares the tiles.

        Returns
        -------
        BagArray
            The copy.
        """
        return self._wrap(self._bags.copy())

    def value_counts(self, dropna=True):
        """Count equal bags, as `describe` does; pandas before 3 asks the array for it and has no method of its own.

        Parameters
        ----------
        dropna : bool, default=True
            Whether to leave out missing bags.

        Returns
        -------
        Series of int
            How often each bag occurs, in the order of first occurrence; its index holds the bags.
        """
        counts = pd.Series(self._bags).value_counts(sort=False, dropna=dropna)
        return counts.set_axis(counts.index.astype(self.dtype))

    def _values_for_factorize(self):
        return self._bags, pd.NA

    def _hash_pandas_object(self, *, encoding, hash_key, categorize):
        # pandas would hash what is printed, which is the same for all bags of one size.
        checksums = [0 if bag is pd.NA else _checksum(bag) for bag in self._bags]
        return pd.util.hash_array(np.array(checksums, dtype=np.uint64))

    def _values_for_json(self):
        # pandas would write out every tile, reading all files for a text that cannot be turned back into bags.
        return np.array([None if bag is pd.NA else str(bag) for bag in self._bags], dtype=object)

    def _formatter(self, boxed=False):
        return str


def _is_missing(value):
    return value is np.ma.masked or (is_scalar(value) and pd.isna(value))


def _as_cell(value):
    if isinstance(value, Bag):
        return value
    if _is_missing(value):
        return pd.NA
    if is_list_like(value):
        return Bag(value)
    raise TypeError(f"A column of bags holds Bag, 2-D arrays and missing values, got {type(value).__name__}.")


def _is_sequence_of_cells(value):
    # An array of numbers is a bag; anything else that is like a list has one bag per element.
    return is_list_like(value) and not (isinstance(value, np.ndarray) and value.dtype != object)


def _checksum(bag):
    # Adding 0 turns -0.0 into 0.0, which is equal.
    return zlib.crc32(b"".join((array + 0).tobytes() for array in (bag.features, bag.coords) if array is not None))


def _check_alike(bags):
    """Refuse bags whose tiles are known to be of different kinds."""
    widths = {position: bag.n_features for position, bag in enumerate(bags) if bag is not pd.NA}
    if len(set(widths.values())) > 1:
        found = describe_widths(widths.values(), widths, "bag")
        raise ValueError(
            f"All bags of a column must have the same number of features, but there are {found} (by position)."
        )
    tilings = {position: bag.tiling for position, bag in enumerate(bags) if bag is not pd.NA}
    found = disagreement(tilings.values(), tilings, "bag")
    if found:
        raise ValueError(
            "All bags of a column must have tiles of one feature extractor and one size, but there are "
            f"{found} (by position). {WAY_OUT}"
        )
