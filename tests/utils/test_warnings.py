"""Warnings point to the line of the user's, however many functions of others lie in between."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sksurv.linear_model import CoxPHSurvivalAnalysis

import sksurv_mmf
from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis

PARAMS = {"n_estimators": 1, "max_epochs": 1, "random_state": 0}
FITS = {
    "network": lambda X, y: FusionSurvivalAnalysis(**PARAMS).fit(X, y),
    "late fusion": lambda X, y: LateFusionSurvivalAnalysis([("rna", CoxPHSurvivalAnalysis(alpha=1))], cv=2).fit(X, y),
    "pipeline": lambda X, y: make_pipeline(FunctionTransformer(), FusionSurvivalAnalysis(**PARAMS)).fit(X, y),
    "cross-validation": lambda X, y: cross_val_score(FusionSurvivalAnalysis(**PARAMS), X, y, cv=3),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_those_of_fit_do(cohort, fit):
    X = pd.concat([cohort.X.filter(like="rna")] * 2)
    with pytest.warns(UserWarning, match="several rows in X") as caught:
        fit(X, np.concatenate([cohort.y, cohort.y]))
    assert {warning.filename for warning in caught} == {__file__}


def test_all_warnings_of_the_package_go_through_one_function():
    files = [path for path in Path(sksurv_mmf.__file__).parent.rglob("*.py") if "warnings.warn(" in path.read_text()]
    assert [path.name for path in files] == ["_warnings.py"]
