"""From the files of portals to tables by patient, each with a report of what was done to get there."""

from ._expression import read_expression
from ._report import ReadReport

__all__ = ["ReadReport", "read_expression"]
