"""The modalities of a cohort."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch

from ._batch import Batch
from ._tile_sample import TileSample


class Patients:
    """The modalities of a cohort.

    Parameters
    ----------
    columns : list of VectorColumn or BagColumn
        One for each modality.
    present : ndarray of bool, shape (n_patients, n_modalities)
        Who has what.
    names : sequence of hashable, default=None
        Names of the patients for messages; None is their positions.
    send : callable, default=None
        Takes each batch on its way to a GPU; None leaves it where it was gathered.
    """

    def __init__(
        self,
        columns: list,
        present: np.ndarray,
        names: Sequence[Hashable] | None = None,
        send: Callable[[Batch], Batch] | None = None,
    ):
        self.names = range(len(present)) if names is None else names
        self.columns = columns
        self.present = present
        self.complete = present.all(axis=0).tolist()
        self.n_tiles = sum(column.n_tiles for column in columns)
        self.on_disk = any(column.on_disk for column in columns)
        self.send = send

    def __len__(self) -> int:
        return len(self.present)

    def select(self, rows: np.ndarray) -> "Patients":
        """Some of the patients, in the order of `rows`; numbers and tiles are shared, not copied."""
        columns = [column.select(rows) for column in self.columns]
        return Patients(columns, self.present[rows], [self.names[row] for row in rows], self.send)

    def with_columns(self, columns: list) -> "Patients":
        """The same patients with other columns."""
        return Patients(columns, self.present, self.names, self.send)

    def sampled(self, sample: TileSample | None) -> "Patients":
        """The same patients with fewer tiles of large bags; None leaves them all."""
        if sample is None:
            return self
        return self.with_columns([column.sampled(sample) for column in self.columns])

    def batch(self, rows: np.ndarray, **step) -> Batch:
        """Gather patients; `step` may set ``share`` and ``ends_step``."""
        present = self.present[rows]
        inputs, positions = [], []
        for m, column in enumerate(self.columns):
            has_it = present[:, m]
            # None for "all" spares a copy of what the encoder returns, in the usual case of complete patients.
            if self.complete[m] or has_it.all():
                inputs.append(column.take(rows))
                positions.append(None)
            else:
                inputs.append(column.take(rows[has_it]) if has_it.any() else None)
                positions.append(torch.from_numpy(np.flatnonzero(has_it)))
        batch = Batch(tuple(inputs), tuple(positions), torch.from_numpy(present), **step)
        return batch if self.send is None else self.send(batch)

    def inputs(self, m: int):
        """What a modality is of the patients who have it, for an encoder to be fitted to."""
        return self.columns[m].inputs(np.flatnonzero(self.present[:, m]))
