"""Check that an estimator keeps the contracts of scikit-learn and of survival analysis.

The counterpart of :mod:`sklearn.utils.estimator_checks` for estimators whose y is a structured array of event and
time. Two groups of checks run:

- scikit-learn's own, with their numeric y read as survival times. Of its checks for regressors, those that have a
  meaning here run too; `EXCLUDED_CHECKS` lists the others with the reason.
- survival contracts: the sign of the risk, the shape of the curves, independence of the order of patients and tiles,
  seeds, pickles, names of columns, errors for unusable y.
"""

from functools import partial, wraps
from unittest import SkipTest

from sklearn.base import BaseEstimator

from ._cohorts import make_check_cohort
from ._sklearn_checks import sklearn_checks_for
from ._survival_checks import survival_checks_for


def survival_checks_generator(estimator, *, bags=False):
    """Yield all checks for an estimator.

    Use it to write another runner; most users want `check_survival_estimator` or, in pytest,
    `parametrize_with_survival_checks`.

    Parameters
    ----------
    estimator : estimator object
        An unfitted survival estimator, or a transformer that learns from event and time. An estimator without
        `predict` gets scikit-learn's checks only.
    bags : bool, default=False
        Whether the estimator is checked on a cohort of one bag column, ``wsi__tiles``, and four numeric ones named
        ``rna__g0`` and so on. It then gets those of scikit-learn's checks that need no data, because the others
        make a plain numeric table. False is such a table for all checks.

    Yields
    ------
    check : callable
        A function of the estimator that raises if the estimator breaks the contract. Its ``__name__`` is that of
        the check.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.utils.estimator_checks import survival_checks_generator
    >>> model = CoxPHSurvivalAnalysis(alpha=0.1)
    >>> for check in survival_checks_generator(model):
    ...     if check.__name__ == "check_survival_function":
    ...         check(model)
    """
    if isinstance(estimator, type) or not isinstance(estimator, BaseEstimator):
        raise TypeError(f"estimator must be an instance of a scikit-learn estimator, got {estimator!r}.")
    yield from sklearn_checks_for(estimator, with_data=not bags)
    if not hasattr(estimator, "predict"):
        return
    cohort = make_check_cohort(bags)
    for check in survival_checks_for(estimator, cohort):
        yield wraps(check)(partial(_run, check, cohort))


def _run(check, cohort, estimator):
    check(type(estimator).__name__, estimator, cohort)


def check_survival_estimator(estimator, *, bags: bool = False, expected_failures=None) -> list[dict]:
    """Check that an estimator keeps the contracts of scikit-learn and of survival analysis.

    Run it in the tests of a survival estimator, or when one behaves strangely in a search or a pipeline.

    Parameters
    ----------
    estimator : estimator object
        An unfitted survival estimator, quick to fit: it is fitted more than a hundred times.
    bags : bool, default=False
        Whether to check on a cohort with a column of tile bags instead of a plain numeric table, see
        `survival_checks_generator`.
    expected_failures : dict of str to str, default=None
        Names of checks that the estimator is known to fail, with the reason.

    Returns
    -------
    results : list of dict
        For each check its "check_name", "status" ("passed", "failed as expected" or "skipped") and "reason".

    Raises
    ------
    AssertionError
        Or what else a check raises, for the first contract that is broken; also if a check passes that is expected
        to fail, so that the list of exceptions cannot go stale.
    ValueError
        If `expected_failures` names a check that does not exist.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.utils.estimator_checks import check_survival_estimator
    >>> results = check_survival_estimator(CoxPHSurvivalAnalysis(alpha=0.1))
    >>> {result["status"] for result in results} <= {"passed", "skipped"}
    True
    """
    expected = expected_failures or {}
    checks = list(survival_checks_generator(estimator, bags=bags))
    _refuse_unknown(expected, checks)
    results = [_result(check, estimator, expected.get(check.__name__)) for check in checks]
    failed = {result["check_name"] for result in results if result["status"] == "failed as expected"}
    stale = sorted(expected.keys() - failed)
    assert not stale, f"{type(estimator).__name__} passes {stale}: take these out of expected_failures."
    return results


def _result(check, estimator, known_reason):
    status, reason = "passed", None
    try:
        check(estimator)
    except SkipTest as skip:
        status, reason = "skipped", str(skip)
    except Exception:
        if known_reason is None:
            raise
        status, reason = "failed as expected", known_reason
    return {"check_name": check.__name__, "status": status, "reason": reason}


def _refuse_unknown(expected, checks):
    unknown = sorted(expected.keys() - {check.__name__ for check in checks})
    if unknown:
        raise ValueError(
            f"expected_failures names {unknown}, which are no checks of this estimator. "
            "survival_checks_generator yields those that are."
        )


def parametrize_with_survival_checks(estimators, *, bags=False, expected_failures=None):
    """Make one pytest test of every check on every estimator.

    Parameters
    ----------
    estimators : list of estimator
        Unfitted survival estimators.
    bags : bool, default=False
        Whether to check on a cohort with a column of tile bags instead of a plain numeric table, see
        `survival_checks_generator`.
    expected_failures : callable, default=None
        Takes an estimator and returns the names of the checks that it is known to fail, with the reasons. These
        tests are marked as strict expected failures: they have to fail.

    Returns
    -------
    decorator : MarkDecorator
        Decorates a test with the arguments ``estimator`` and ``check``.

    Examples
    --------
    >>> from sksurv.ensemble import RandomSurvivalForest
    >>> from sksurv_mmf.utils.estimator_checks import parametrize_with_survival_checks
    >>> @parametrize_with_survival_checks([RandomSurvivalForest(n_estimators=5)])
    ... def test_contracts(estimator, check):
    ...     check(estimator)
    """
    import pytest

    params = []
    for i, estimator in enumerate(estimators):
        expected = expected_failures(estimator) if expected_failures else {}
        checks = list(survival_checks_generator(estimator, bags=bags))
        _refuse_unknown(expected, checks)
        for check in checks:
            reason = expected.get(check.__name__)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            params.append(
                pytest.param(estimator, check, marks=marks, id=f"{i}-{type(estimator).__name__}-{check.__name__}")
            )
    return pytest.mark.parametrize(("estimator", "check"), params)
