"""Event and time of each patient as one value."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Outcome:
    """Event and time of patients, which travel together and do not change.

    Unpacks into the two: ``event, time = outcome``.

    Attributes
    ----------
    event : ndarray of bool, shape (n_patients,)
        Whether the event was observed. Read-only.
    time : ndarray of float, shape (n_patients,)
        Time of the event or of censoring. Read-only.
    """

    event: np.ndarray
    time: np.ndarray

    def __post_init__(self):
        for name, dtype in {"event": bool, "time": float}.items():
            # A copy, for the user's own array is to stay writable.
            values = np.array(getattr(self, name), dtype=dtype)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.event.shape != self.time.shape or self.event.ndim != 1:
            raise ValueError(f"event has shape {self.event.shape} and time {self.time.shape}; one each per patient.")

    @classmethod
    def of(cls, y) -> "Outcome":
        """The outcome of a structured array that `align_outcome` has checked."""
        return cls(*(y[name] for name in y.dtype.names))

    def __len__(self) -> int:
        return len(self.event)

    def __iter__(self) -> Iterator[np.ndarray]:
        # Copies, because torch warns of arrays that nobody may write to.
        return iter((self.event.copy(), self.time.copy()))

    @property
    def n_events(self) -> int:
        """Number of patients with an observed event."""
        return int(self.event.sum())

    def take(self, rows: np.ndarray) -> "Outcome":
        """The outcome of some patients, in the order of `rows`."""
        return Outcome(self.event[rows], self.time[rows])


def check_teaches(outcome, patients):
    """Refuse an outcome from which nothing can be learnt.

    Parameters
    ----------
    outcome : Outcome
        Event and time.
    patients : Index of shape (n_patients,)
        The patients, for messages.

    Raises
    ------
    ValueError
        If nobody has an event, if there is one patient only, or if event and time are swapped.
    """
    if len(outcome) == 1:
        raise ValueError(f"X has one sample only, patient {patients[0]!r}, so there is no order to learn.")
    if not outcome.n_events:
        raise ValueError(
            f"None of the {len(outcome)} patients has an event: all samples are censored, so there is nothing to learn."
        )
    # Of a few test patients this may be so by chance.
    if len(outcome) > 2 and outcome.event.all() and set(np.unique(outcome.time)) == {0, 1}:
        raise ValueError(
            f"All {len(outcome)} patients have the event, at times 0 or 1, as if event and time were swapped. The "
            "event comes first, as True or False, then the time."
        )
