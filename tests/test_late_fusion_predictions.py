"""Late fusion refuses what its estimators predict if it cannot be ranked."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis


class FirstGene(BaseEstimator):
    """Takes the first column as the risk, and gives something else where that is above `limit`."""

    def __init__(self, wrong=None, limit=50.0):
        self.wrong = wrong
        self.limit = limit

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        risk = X.iloc[:, 0].to_numpy()
        return self.wrong(risk) if (risk > self.limit).any() else risk


WRONG = {
    "nan": (lambda risk: np.where(risk > 50, np.nan, risk), "NaN or infinity for 1 patients, for example for 'P003'"),
    "inf": (lambda risk: np.where(risk > 50, -np.inf, risk), "NaN or infinity for 1 patients, for example for 'P003'"),
    "masked": (lambda risk: np.ma.masked_greater(risk, 50), "masked values, 1 of 30"),
    "complex": (lambda risk: risk + 1j, "dtype complex128"),
    "column": (lambda risk: risk[:, np.newaxis], r"shape \(30, 1\) for 30 patients"),
    "short": (lambda risk: risk[:7], r"shape \(7,\) for 30 patients"),
    "text": (lambda risk: risk.astype(str), "real numbers are needed"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("combine", ["rank", "stack"])
def test_predictions_that_cannot_be_ranked_name_modality_and_patient(cohort, combine, wrong, message):
    genes = cohort.X.iloc[:, 1:]
    model = LateFusionSurvivalAnalysis([("rna", FirstGene(wrong))], combine=combine).fit(genes, cohort.y)
    assert np.isfinite(model.predict(genes)).all()
    genes = genes.copy()
    genes.iloc[3, 0] = 99.0
    message = f"modality 'rna' cannot predict: predict of FirstGene returned .*{message}"
    for method in ("predict", "predict_survival_function", "predict_cumulative_hazard_function", "modality_ranks"):
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(genes)


def test_predictions_for_the_training_patients_that_cannot_be_ranked(cohort):
    model = LateFusionSurvivalAnalysis([("rna", FirstGene(lambda risk: risk * np.nan, limit=-50.0))])
    with pytest.raises(
        ValueError, match="estimator of modality 'rna' cannot be fitted: predict of FirstGene returned NaN"
    ):
        model.fit(cohort.X.iloc[:, 1:], cohort.y)


def test_a_network_within_names_patient_and_column(cohort):
    network = FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0)
    genes = cohort.X.iloc[:, 1:]
    model = LateFusionSurvivalAnalysis([("rna", network)], cv=2).fit(genes, cohort.y)
    genes = genes.copy()
    genes.iloc[4, 2] = 1e30
    with pytest.raises(ValueError, match=r"modality 'rna' cannot predict: .*patient 'P004'.*'rna__G2'"):
        model.predict(genes)
