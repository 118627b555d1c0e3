"""Splitting cohorts and comparing models."""

from ._split import RepeatedSurvivalKFold, SurvivalKFold

__all__ = ["RepeatedSurvivalKFold", "SurvivalKFold"]
