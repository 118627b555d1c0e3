"""Check that an estimator keeps the contracts of scikit-learn and of survival analysis."""

from ._check_estimator import check_survival_estimator, parametrize_with_survival_checks, survival_checks_generator
from ._sklearn_checks import EXCLUDED_CHECKS

__all__ = [
    "EXCLUDED_CHECKS",
    "check_survival_estimator",
    "parametrize_with_survival_checks",
    "survival_checks_generator",
]
