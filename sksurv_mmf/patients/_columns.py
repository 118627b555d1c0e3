"""A modality of all patients: rows of numbers, or bags in memory or on disk."""

from collections.abc import Hashable, Iterable, Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from ..bags._array import BagArray
from ..bags._bag import Bag
from ..layers._packed_bags import PackedBags
from ._tile_sample import TileSample

LARGEST = 1e15
"""Inputs and embeddings beyond are not used: a normalisation squares them, and where float32 ends it returns zeros."""


class VectorColumn:
    """A numeric modality: float32 rows of equal width. The names of the modality and its columns are for messages."""

    def __init__(self, values: np.ndarray, name: str = "features", columns: Iterable[Hashable] | None = None):
        self.name = name
        self.columns = list(range(values.shape[1]) if columns is None else columns)
        self.values = as_tensor(values)  # (n_rows, n_features)
        self.positions = np.arange(len(values))  # of the patients in `values`, which several cohorts may share
        self.n_tiles = np.zeros(len(values), dtype=int)
        self.on_disk = False

    def select(self, rows: np.ndarray) -> "VectorColumn":
        """The modality of some patients, without a copy of their numbers."""
        selected = copy(self)
        selected.positions, selected.n_tiles = self.positions[rows], self.n_tiles[rows]
        return selected

    @property
    def n_bytes(self) -> int:
        """Bytes of all numbers, which may be those of more patients."""
        return self.values.nbytes

    def to(self, device: torch.device) -> "VectorColumn":
        """The modality with its numbers on another device."""
        moved = copy(self)
        moved.values = self.values.to(device)
        return moved

    def sampled(self, sample: TileSample) -> "VectorColumn":
        """The same, for there are no tiles."""
        return self

    def inputs(self, rows: np.ndarray) -> Tensor:
        """What encoders learn from."""
        return self.take(rows)

    def take(self, rows: np.ndarray) -> Tensor:
        """The vectors of some patients."""
        return select_rows(self.values, self.positions[rows])


class BagColumn:
    """A bag modality: tiles in memory, or read when a batch asks for them."""

    sample = None  # which tiles are taken; None is all

    def __init__(self, name: str, bags: BagArray, patients: Iterable[Hashable]):
        self.name = name
        self.patients = list(patients)
        self.n_tiles = np.asarray(bags.n_tiles)
        bags = list(bags)
        self.on_disk = any(isinstance(bag, Bag) and bag.is_file_backed for bag in bags)
        self.bags = bags if self.on_disk else [self._read(i, bag) for i, bag in enumerate(bags)]

    def select(self, rows: np.ndarray) -> "BagColumn":
        """The modality of some patients, whose tiles, in memory or on disk, stay where they are."""
        selected = copy(self)
        selected.patients, selected.bags = [self.patients[row] for row in rows], [self.bags[row] for row in rows]
        selected.n_tiles = self.n_tiles[rows]
        return selected

    @property
    def n_bytes(self) -> int:
        """Bytes of the tiles in memory."""
        return sum(bag.nbytes for bag in self.bags if bag is not None)

    def to(self, device: torch.device) -> "BagColumn":
        """The modality with its tiles, which are in memory, on another device."""
        moved = copy(self)
        moved.bags = [None if bag is None else bag.to(device) for bag in self.bags]
        return moved

    def sampled(self, sample: TileSample) -> "BagColumn":
        """The modality with fewer tiles of large bags; mapped from a disk, the others are not read."""
        fewer = copy(self)
        fewer.sample, fewer.n_tiles = sample, np.minimum(self.n_tiles, sample.most)
        return fewer

    def inputs(self, rows: np.ndarray) -> "BagReader":
        """What encoders learn from."""
        return BagReader(self, rows)

    def read(self, row: int) -> Tensor | None:
        """The tiles of one patient."""
        bag = self.bags[row]
        if self.on_disk:
            n_tiles = bag.n_tiles if isinstance(bag, Bag) else 0
            return self._read(row, bag, self.sample and self.sample.of(row, n_tiles))
        chosen = None if self.sample is None or bag is None else self.sample.of(row, len(bag))
        return bag if chosen is None else select_rows(bag, chosen)

    def _read(self, row: int, bag, chosen: np.ndarray | None = None) -> Tensor | None:
        if not isinstance(bag, Bag):
            return None
        try:
            tiles = as_tensor(bag.features if chosen is None else bag.features[chosen])
        except ValueError as error:
            raise ValueError(
                f"The bag of patient {self.patients[row]!r} in modality {self.name!r} cannot be read: {error}"
            ) from error
        if not all_within(tiles, LARGEST):
            raise ValueError(self._why_unusable(row, bag, as_tensor(bag.features)))
        return tiles

    def _why_unusable(self, row, bag, tiles):
        tile = int((~(tiles.float().abs() <= LARGEST).all(1)).nonzero()[0])
        source = bag.source_of(tile)
        whose = f"The bag of patient {self.patients[row]!r} in modality {self.name!r}"
        where = "" if source is None else f", first in tile {tile}, which is from {source}"
        if not tiles.isnan().any():
            largest = float(tiles.abs().max())
            far = f"up to {largest:.3g}" if np.isfinite(largest) else "that are infinite or beyond 3.4e+38 (float32)"
            return (
                f"{whose} has tile features {far}{where}, more than the {LARGEST:g} that a network can take. Repair "
                "the file, or bring tile features to a common scale, for example with BagTransformer(StandardScaler())."
            )
        return (
            f"{whose} has NaN in tile features{where}. Impute or remove them first, for example with "
            "BagTransformer(SimpleImputer())."
        )

    def take(self, rows: np.ndarray) -> PackedBags:
        """The bags of some patients, packed."""
        tiles = [self.read(row) for row in rows]
        lengths = tuple(len(one) for one in tiles)
        return PackedBags(tiles[0] if len(tiles) == 1 else torch.cat(tiles), lengths)


class BagReader(Sequence):
    """The tiles of some patients, each read when it is asked for."""

    def __init__(self, column: BagColumn, rows: np.ndarray):
        self.column = column
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Tensor:
        return self.column.read(self.rows[i])


def select_rows(values: Tensor, rows: np.ndarray) -> Tensor:
    """Some rows, gathered on the device where the values are."""
    return values.index_select(0, torch.from_numpy(rows).to(values.device, non_blocking=True))


def as_tensor(array: np.ndarray) -> Tensor:
    """View `array` as a tensor, or copy it where it is read-only or reversed, which torch cannot express."""
    if min(array.strides) < 0:
        array = array.copy()
    if not array.flags.writeable:
        view = array.view()
        try:
            view.flags.writeable = True  # allowed where the owner of the memory is writeable
        except ValueError:
            view = array.copy()
        array = view
    return torch.from_numpy(array)


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; one pass without a temporary in the usual case."""
    total = values.sum(dtype=torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(values).all())


def all_within(values: Tensor, limit: float) -> bool:
    """Whether no value is NaN or beyond `limit` on either side; one pass without a temporary."""
    low, high = map(float, torch.aminmax(values))
    return -limit <= low and high <= limit
