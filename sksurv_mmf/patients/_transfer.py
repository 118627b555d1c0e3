"""How patients get to a GPU: once for all epochs where they fit, else batch by batch, each ahead of its use."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ._batch import Batch
from ._patients import Patients

SHARE = 0.5
"""Largest share of a GPU's free memory that patients may take; the rest is for what a network makes of them."""


def way_to(device: str, n_bytes: float, n_free: int) -> str:
    """How `n_bytes` of patients get to a kind of device with `n_free` bytes: "none" is needed, "once" or "ahead"."""
    if device != "cuda":
        return "none"
    return "once" if n_bytes <= SHARE * n_free else "ahead"


def bring(patients: Patients, device: str) -> Patients:
    """The same patients, whose batches are on `device` before they are used, if that is a GPU."""
    device = torch.device(device)
    n_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    n_bytes = math.inf if patients.on_disk else sum(column.n_bytes for column in patients.columns)
    way = way_to(device.type, n_bytes, n_free)
    if way == "none":
        return patients
    return resident(patients, device) if way == "once" else sent_ahead(patients, OwnStream(device))


def resident(patients: Patients, device: torch.device) -> Patients:
    """The same patients with their numbers and tiles on `device`, in the type that they are stored in."""
    return patients.with_columns([column.to(device) for column in patients.columns])


def sent_ahead(patients: Patients, send: Callable[[Batch], Batch]) -> Patients:
    """The same patients, of whom each batch is given to `send` while the batch before is used."""
    return Patients(patients.columns, patients.present, patients.names, send)


@dataclass(frozen=True)
class SentBatch(Batch):
    """A batch on its way to a GPU.

    Attributes
    ----------
    arrived : torch.cuda.Event
        What has happened once it is there.
    """

    arrived: torch.cuda.Event | None = None

    def to(self, device: torch.device) -> Batch:
        """Let the GPU, and not the CPU, wait until the batch is there."""
        stream = torch.cuda.current_stream(device)
        stream.wait_event(self.arrived)

        def in_use(one: Tensor) -> Tensor:
            # The memory is that of the other stream, which would give it away while this one still reads.
            one.record_stream(stream)
            return one

        return self.map(in_use)


class OwnStream:
    """Sends batches to a GPU beside what it computes."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> SentBatch:
        # Only from pinned memory is a copy made while the CPU goes on.
        pinned = batch.map(Tensor.pin_memory)
        with torch.cuda.stream(self.stream):
            moved = pinned.to(self.device)
        return SentBatch(**vars(moved), arrived=self.stream.record_event())
