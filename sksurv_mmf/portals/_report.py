"""What was done to a file on its way to a table by patient."""

from dataclasses import dataclass

import pandas as pd

from ..utils._validation import shorten


@dataclass(frozen=True, eq=False)
class ReadReport:
    """What became of a file: numbers, sentences, and a table of all rows or samples. `print` shows it.

    Made by the readers of :mod:`sksurv_mmf.portals`; not made by hand.

    Parameters
    ----------
    title : str
        What was read, and from where.
    numbers : dict of str to int
        Counts by name, such as "patients" and "missing values".
    notes : list of str
        Sentences on what was found, chosen, cut and left out.
    samples : DataFrame, default=None
        A row per sample, or per patient of an outcome: who it belongs to and what became of it, in the column "status".

    Examples
    --------
    >>> from sksurv_mmf.portals import ReadReport
    >>> print(ReadReport("expression of rna.tsv", {"patients": 2}, ["Genes are in rows."]))
    expression of rna.tsv
      patients: 2
      - Genes are in rows.
    """

    title: str
    numbers: dict
    notes: list
    samples: pd.DataFrame | None = None

    def __str__(self):
        counts = ", ".join(f"{name}: {number}" for name, number in self.numbers.items())
        return "\n".join([self.title, f"  {counts}", *(f"  - {note}" for note in self.notes)])


def note_some(names, what):
    """A list of one sentence that counts `names` and shows some; none if there are none."""
    return [f"{len(names)} {what}: {shorten(names, 3)}."] if len(names) else []
