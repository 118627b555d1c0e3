"""One page per study, as a paper's supplement: who the patients were, what was done, what came out, what is to say."""

from ._baseline import baseline_table
from ._study_report import study_report

__all__ = ["baseline_table", "study_report"]
