"""What any survival estimator is asked, and what it answers."""

from ._survival_table import predict_survival_table
from ._survival_times import median_survival_time, restricted_mean_survival_time

__all__ = ["median_survival_time", "predict_survival_table", "restricted_mean_survival_time"]
