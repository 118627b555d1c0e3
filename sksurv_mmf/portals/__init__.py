"""From the files of portals to tables by patient, each with a report of what was done to get there."""

from ._cohort import CohortReport, read_cohort
from ._expression import read_expression
from ._mutations import read_mutations
from ._outcome import read_outcome
from ._report import ReadReport

__all__ = ["CohortReport", "ReadReport", "read_cohort", "read_expression", "read_mutations", "read_outcome"]
