"""Patients in memory or on disk, and batches of them."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from ..bags._array import BagArray
from ..bags._bag import Bag
from ..bags._packed import PackedBags

LARGEST = 1e15
"""Inputs and embeddings beyond are not used: a normalisation squares them, and where float32 ends it returns zeros."""


@dataclass(frozen=True)
class Batch:
    """Some patients, ready for the network.

    Attributes
    ----------
    inputs : tuple of (Tensor, PackedBags or None)
        For each modality the patients who have it, and only those; None where nobody does.
    rows : tuple of (Tensor or None)
        For each modality the positions of these patients in the batch; None where all have it.
    present : Tensor of bool, shape (n_patients, n_modalities)
        Who has what.
    share : float
        Share of the batch among the patients of its optimizer step.
    ends_step : bool
        Whether the optimizer steps after this batch.
    """

    inputs: tuple
    rows: tuple
    present: Tensor
    share: float = 1.0
    ends_step: bool = True

    def __len__(self) -> int:
        return len(self.present)

    def to(self, device: torch.device) -> "Batch":
        """Copy to `device`; bags are float32 there."""
        inputs, rows = to_device(self.inputs, device), to_device(self.rows, device)
        return Batch(inputs, rows, self.present.to(device), self.share, self.ends_step)


def to_device(parts: tuple, device: torch.device) -> tuple:
    """Copies of tensors or bags; None stays None."""
    return tuple(None if one is None else one.to(device) for one in parts)


class VectorColumn:
    """A numeric modality: float32 rows of equal width. The names of the modality and its columns are for messages."""

    def __init__(self, values: np.ndarray, name: str = "features", columns: Iterable[Hashable] | None = None):
        self.name = name
        self.columns = list(range(values.shape[1]) if columns is None else columns)
        self.values = as_tensor(values)  # (n_patients, n_features)
        self.n_tiles = np.zeros(len(values), dtype=int)
        self.on_disk = False

    def inputs(self, rows: np.ndarray) -> Tensor:
        """What encoders learn from."""
        return self.take(rows)

    def take(self, rows: np.ndarray) -> Tensor:
        """The vectors of some patients."""
        return self.values.index_select(0, torch.from_numpy(rows))


class BagColumn:
    """A bag modality: tiles in memory, or read when a batch asks for them."""

    def __init__(self, name: str, bags: BagArray, patients: Iterable[Hashable]):
        self.name = name
        self.patients = list(patients)
        self.n_tiles = np.asarray(bags.n_tiles)
        bags = list(bags)
        self.on_disk = any(isinstance(bag, Bag) and bag.is_file_backed for bag in bags)
        self.bags = bags if self.on_disk else [self._read(i, bag) for i, bag in enumerate(bags)]

    def inputs(self, rows: np.ndarray) -> "BagReader":
        """What encoders learn from."""
        return BagReader(self, rows)

    def read(self, row: int) -> Tensor | None:
        """The tiles of one patient."""
        return self._read(row, self.bags[row]) if self.on_disk else self.bags[row]

    def _read(self, row: int, bag) -> Tensor | None:
        if not isinstance(bag, Bag):
            return None
        try:
            tiles = as_tensor(bag.features)
        except ValueError as error:
            raise ValueError(
                f"The bag of patient {self.patients[row]!r} in modality {self.name!r} cannot be read: {error}"
            ) from error
        if not all_within(tiles, LARGEST):
            raise ValueError(self._why_unusable(row, bag, tiles))
        return tiles

    def _why_unusable(self, row, bag, tiles):
        tile = int((~(tiles.float().abs() <= LARGEST).all(1)).nonzero()[0])
        source = bag.source_of(tile)
        whose = f"The bag of patient {self.patients[row]!r} in modality {self.name!r}"
        where = "" if source is None else f", first in tile {tile}, which is from {source}"
        if torch.isfinite(tiles).all():
            return (
                f"{whose} has tile features up to {float(tiles.abs().max()):.3g}{where}, more than the {LARGEST:g} "
                "that a network can take. Repair the file, or bring tile features to a common scale, for example with "
                "BagTransformer(StandardScaler())."
            )
        return (
            f"{whose} has NaN or infinite tile features{where}. Impute or remove them first, for example with "
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


class Patients:
    """The modalities of a cohort and, for training, what is to be learnt.

    Parameters
    ----------
    columns : list of VectorColumn or BagColumn
        One for each modality.
    present : ndarray of bool, shape (n_patients, n_modalities)
        Who has what.
    target : tuple of Tensor, default=None
        One row per patient.
    names : sequence of hashable, default=None
        Names of the patients for messages; None is their positions.
    """

    def __init__(
        self,
        columns: list,
        present: np.ndarray,
        target: tuple[Tensor, ...] | None = None,
        names: Sequence[Hashable] | None = None,
    ):
        self.names = range(len(present)) if names is None else names
        self.columns = columns
        self.present = present
        self.complete = present.all(axis=0).tolist()
        self.target = target
        self.n_tiles = sum(column.n_tiles for column in columns)
        self.on_disk = any(column.on_disk for column in columns)

    def __len__(self) -> int:
        return len(self.present)

    def batch(self, rows: np.ndarray, **step) -> Batch:
        """Gather patients; `step` may set ``share`` and ``ends_step``."""
        present = self.present[rows]
        inputs, positions = [], []
        for m, column in enumerate(self.columns):
            has_it = present[:, m]
            if self.complete[m] or has_it.all():
                inputs.append(column.take(rows))
                positions.append(None)
            else:
                inputs.append(column.take(rows[has_it]) if has_it.any() else None)
                positions.append(torch.from_numpy(np.flatnonzero(has_it)))
        return Batch(tuple(inputs), tuple(positions), torch.from_numpy(present), **step)

    def inputs(self, m: int):
        """What a modality is of the patients who have it, for an encoder to be fitted to."""
        return self.columns[m].inputs(np.flatnonzero(self.present[:, m]))

    def target_of(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """The targets of some patients."""
        rows = torch.from_numpy(rows)
        return tuple(one.index_select(0, rows) for one in self.target)


def prefetched(read, requests: Iterable) -> Iterator:
    """``map(read, requests)`` with the next result read while the current one is used."""
    reader, coming = ThreadPoolExecutor(1), None
    try:
        for request in requests:
            current, coming = coming, reader.submit(read, request)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()
    finally:
        # An interrupt waits for nothing that is being read.
        reader.shutdown(wait=False, cancel_futures=True)


class TrainingBatches:
    """Batches of one epoch, in a new random order each time.

    Parameters
    ----------
    patients : Patients
        All patients.
    rows : ndarray of int
        Those to train on.
    batch_size : int
        Patients per batch; the last batch may be smaller.
    gradient_accumulation : int, default=1
        Batches per optimizer step; the last step of an epoch may have fewer.
    weights : ndarray of shape (n_rows,), default=None
        Draw patients with replacement and these weights instead of each once.
    shuffle : bool, default=True
        Whether the order is random.
    """

    def __init__(self, patients, rows, batch_size, gradient_accumulation=1, weights=None, shuffle=True):
        self.patients = patients
        self.rows = rows
        self.batch_size = batch_size
        self.per_step = batch_size * gradient_accumulation
        self.weights = None if weights is None else torch.as_tensor(weights)
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return self.rows
        if self.weights is None:
            return self.rows[torch.randperm(len(self.rows)).numpy()]
        return self.rows[torch.multinomial(self.weights, len(self.rows), replacement=True).numpy()]

    def _requests(self):
        order = self._order()
        for start in range(0, len(order), self.batch_size):
            stop = min(start + self.batch_size, len(order))
            step_start = start - start % self.per_step
            step_stop = min(step_start + self.per_step, len(order))
            yield order[start:stop], (stop - start) / (step_stop - step_start), stop == step_stop

    def _read(self, request):
        rows, share, ends_step = request
        return self.patients.batch(rows, share=share, ends_step=ends_step), self.patients.target_of(rows)

    def __iter__(self):
        read_all = prefetched if self.patients.on_disk else map
        return iter(read_all(self._read, self._requests()))


@dataclass(frozen=True)
class Step:
    """The patients of one optimizer step, whose batches can be read more than once.

    Attributes
    ----------
    patients : Patients
        All patients.
    rows : ndarray of int
        Those of the step.
    batch_size : int
        Patients per batch; the last batch may be smaller.
    """

    patients: Patients
    rows: np.ndarray
    batch_size: int
    ends_step = True

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        requests = (self.rows[i : i + self.batch_size] for i in range(0, len(self), self.batch_size))
        read_all = prefetched if self.patients.on_disk else map
        return iter(read_all(self.patients.batch, requests))


class TrainingSteps(TrainingBatches):
    """Whole steps of one epoch, for a loss that does not decompose over patients.

    Parameters
    ----------
    informs : callable
        Tells from the targets of a step whether it teaches anything. A step that does not takes in the next one, and
        the last ones of an epoch join the step before.
    *args, **kwargs
        As of TrainingBatches.
    """

    def __init__(self, informs, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.informs = informs

    __len__ = None  # depends on the order

    def _steps(self) -> list[np.ndarray]:
        order, steps, start = self._order(), [], 0
        for stop in [*range(self.per_step, len(order), self.per_step), len(order)]:
            # A patient drawn twice is no second patient.
            if self.informs(self.patients.target_of(np.unique(order[start:stop]))):
                steps.append(order[start:stop])
                start = stop
        if not steps:
            raise ValueError(
                f"None of {len(order)} patients to train or validate on has an event while another one is at risk, so "
                "they teach nothing. Use more patients or, with early_stopping, another validation_fraction."
            )
        steps[-1] = np.concatenate([steps[-1], order[start:]])
        return steps

    def __iter__(self):
        for rows in self._steps():
            yield Step(self.patients, rows, self.batch_size), self.patients.target_of(rows)


def hold_out(event: np.ndarray, fraction: float, seed: int) -> list[np.ndarray]:
    """Rows to train on and rows to validate on, stratified by event."""
    try:
        return train_test_split(np.arange(len(event)), test_size=fraction, stratify=event, random_state=seed)
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out validation_fraction={fraction} of {len(event)} patients with "
            f"{event.sum()} events: {str(error).rstrip('.')}. Change validation_fraction, use more patients or "
            "early_stopping=False."
        ) from error


def prediction_batches(patients: Patients, max_tiles: int = 20_000, max_patients: int = 256) -> Iterator[Batch]:
    """All patients in order, as many at a time as have `max_tiles` tiles together, at least one."""

    def requests():
        start = 0
        while start < len(patients):
            tiles = patients.n_tiles[start : start + max_patients].cumsum()
            stop = start + max(1, int(np.searchsorted(tiles, max_tiles, side="right")))
            yield np.arange(start, stop)
            start = stop

    read_all = prefetched if patients.on_disk else map
    yield from read_all(patients.batch, requests())
