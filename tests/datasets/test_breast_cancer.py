import numpy as np
import pandas as pd
from sksurv.datasets import load_breast_cancer
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf.datasets import load_breast_cancer_cohort


def test_same_patients_and_values_as_in_scikit_survival():
    cohort = load_breast_cancer_cohort()
    table, outcome = load_breast_cancer()
    np.testing.assert_array_equal(cohort.y["event"], outcome["e.tdm"])
    np.testing.assert_array_equal(cohort.y["time"], outcome["t.tdm"])
    rna = cohort.X[cohort.modalities["rna"]]
    np.testing.assert_array_equal(rna, table[[name.removeprefix("rna__") for name in rna.columns]])
    np.testing.assert_array_equal(cohort.X[["clinical__age", "clinical__size"]], table[["age", "size"]])


def test_categories_become_the_documented_numbers():
    X = load_breast_cancer_cohort().X
    table, _ = load_breast_cancer()
    pairs = pd.crosstab(table["er"].astype(str).to_numpy(), X["clinical__er"].to_numpy())
    assert pairs.to_dict() == {0.0: {"negative": 64, "positive": 0}, 1.0: {"negative": 0, "positive": 134}}
    assert X["clinical__grade"].value_counts(dropna=False).sort_index().to_list() == [30, 83, 83, 2]
    # grade is coded so that more is worse
    known = X["clinical__grade"].notna().to_numpy()
    cohort = load_breast_cancer_cohort()
    model = CoxPHSurvivalAnalysis().fit(X.loc[known, ["clinical__grade"]], cohort.y[known])
    assert model.coef_[0] > 0


def test_columns_are_the_two_modalities():
    cohort = load_breast_cancer_cohort()
    assert list(cohort.X.columns) == cohort.modalities["clinical"] + cohort.modalities["rna"]
    assert len(cohort.modalities["rna"]) == 76
    assert cohort.X.index.is_unique
    assert cohort.X.dtypes.eq(float).all()
