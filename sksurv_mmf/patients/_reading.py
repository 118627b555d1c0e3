"""Batches in order, read while the one before is used where that takes time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ._batch import Batch
from ._patients import Patients

MAX_PATIENTS = 256  # whose outputs are computed at once


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


def read_all(patients: Patients, read: Callable, requests: Iterable) -> Iterator:
    """``map(read, requests)``, ahead of its use if patients are on disk or on their way to a GPU."""
    return iter((prefetched if patients.on_disk or patients.send else map)(read, requests))


def prediction_batches(
    patients: Patients, max_tiles: int = 20_000, max_patients: int = MAX_PATIENTS
) -> Iterator[Batch]:
    """All patients in order, as many at a time as have `max_tiles` tiles together, at least one."""

    def requests():
        start = 0
        while start < len(patients):
            tiles = patients.n_tiles[start : start + max_patients].cumsum()
            stop = start + max(1, int(np.searchsorted(tiles, max_tiles, side="right")))
            yield np.arange(start, stop)
            start = stop

    yield from read_all(patients, patients.batch, requests())
