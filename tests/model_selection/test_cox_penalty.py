"""The path of penalties chooses what a grid search chooses, and both give the same model."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.model_selection._cox_penalty import CoxPenaltySearch

ALPHAS = np.geomspace(1e-3, 1, 7)


def cohort_of(seed, n_patients=80, n_columns=30, effect=0.5):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_patients, n_columns))
    time = rng.exponential(np.exp(-effect * values[:, :3].sum(axis=1)))
    X = pd.DataFrame(values, columns=[f"x{i}" for i in range(n_columns)])
    return X, Surv.from_arrays(rng.random(n_patients) < 0.7, time)


def grid_search(alphas):
    cox = CoxnetSurvivalAnalysis(l1_ratio=1e-4, fit_baseline_model=True)
    return GridSearchCV(cox, {"alphas": [[alpha] for alpha in alphas]}, cv=SurvivalKFold(5))


@pytest.mark.parametrize("seed", range(4))
def test_chooses_as_a_grid_search_does(seed):
    X, y = cohort_of(seed)
    grid, path = grid_search(ALPHAS).fit(X, y), CoxPenaltySearch(ALPHAS).fit(X, y)
    assert path.alpha_ == grid.best_params_["alphas"][0]
    # A pair of patients may change its order within the tolerance of the solver.
    assert_allclose(path.scores_, grid.cv_results_["mean_test_score"], atol=0.003)
    assert_array_equal(path.predict(X), grid.predict(X))
    expected = grid.best_estimator_.predict_survival_function(X, return_array=True)
    assert_array_equal(path.predict_survival_function(X, return_array=True), expected)
    assert path.best_estimator_.feature_names_in_.tolist() == list(X)


def test_the_order_of_penalties_does_not_matter():
    X, y = cohort_of(0)
    shuffled = np.random.default_rng(0).permutation(7)
    one, two = CoxPenaltySearch(ALPHAS).fit(X, y), CoxPenaltySearch(ALPHAS[shuffled]).fit(X, y)
    assert_allclose(two.scores_, one.scores_[shuffled])
    assert two.alpha_ == one.alpha_


def test_of_equally_good_penalties_the_first_is_taken():
    X, y = cohort_of(1, n_columns=1, effect=2.0)  # a single column orders patients alike at every penalty
    for alphas in (ALPHAS, ALPHAS[::-1]):
        path, grid = CoxPenaltySearch(alphas).fit(X, y), grid_search(alphas).fit(X, y)
        assert path.alpha_ == alphas[0] == grid.best_params_["alphas"][0]


def test_a_penalty_at_which_the_solver_fails_takes_no_other_along(monkeypatch):
    X, y = cohort_of(2)
    fit = CoxnetSurvivalAnalysis.fit

    def fail_at_the_smallest(self, *args):
        if min(self.alphas) < 2e-3:
            raise ArithmeticError("infinite")
        return fit(self, *args)

    whole = CoxPenaltySearch(ALPHAS).fit(X, y)
    monkeypatch.setattr(CoxnetSurvivalAnalysis, "fit", fail_at_the_smallest)
    path = CoxPenaltySearch(ALPHAS).fit(X, y)
    assert np.isnan(path.scores_[0])
    assert_allclose(path.scores_[1:], whole.scores_[1:], atol=0.003)
    with pytest.raises(ValueError, match=r"The solver failed at each of the penalties \[0.001\]"):
        CoxPenaltySearch([1e-3]).fit(X, y)


def test_folds_that_cannot_be_judged_are_left_out():
    X, _ = cohort_of(3, n_patients=20, n_columns=3)
    last = Surv.from_arrays(np.arange(20) > 14, np.arange(20.0) + 1)  # nobody is followed beyond an event
    with pytest.raises(ValueError, match="In none of 5 folds can two patients be compared"):
        CoxPenaltySearch([1.0, 0.3]).fit(X, last)


def test_unfitted():
    with pytest.raises(NotFittedError):
        CoxPenaltySearch(ALPHAS).predict(np.zeros((2, 3)))
