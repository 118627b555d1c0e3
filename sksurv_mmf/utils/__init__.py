"""Helpers of all parts, and checks for survival estimators (see `estimator_checks`)."""
