"""Models find what simulated cohorts hold, and nothing where there is nothing."""

import numpy as np
import pytest
from chance import margin_of_chance
from sklearn.metrics import roc_auc_score

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.fusions import (
    Bilinear,
    CoAttention,
    Concat,
    CrossModalAttention,
    GatedAttention,
    Mean,
    SurvPath,
)
from sksurv_mmf.objectives import CoxPH

SEED = 0
N_TEST = 200


def simulate(n_training=200, **effects):
    """Patients with small bags, ten genes of which three matter, and little censoring."""
    return make_multimodal_survival(
        n_patients=n_training + N_TEST,
        n_genes=10,
        n_informative_genes=3,
        n_tiles=(5, 15),
        n_tile_features=8,
        censoring=0.2,
        random_state=SEED,
        **effects,
    )


def train(cohort, fusion, **params):
    """Fit on the first patients, with the default training but fewer weights and a learning rate to match."""
    encoders = [("wsi", AttentionMIL(32, 16, dropout=0.0)), ("rna", SNN(32, dropout=0.0))]
    settings = {"n_estimators": 1, "max_epochs": 30, "lr": 0.003, "device": "cpu", "random_state": SEED} | params
    model = FusionSurvivalAnalysis(encoders, fusion, **settings)
    return model.fit(cohort.X.iloc[:-N_TEST], cohort.y[:-N_TEST])


def c_index_of_others(model, cohort):
    return model.score(cohort.X.iloc[-N_TEST:], cohort.y[-N_TEST:])


def margin_of_others(model, cohort):
    """How far their C-index is from 0.5 by chance."""
    return margin_of_chance(cohort.y[-N_TEST:], model.predict(cohort.X.iloc[-N_TEST:]))


@pytest.fixture(scope="module")
def image_cohort():
    return simulate(image_effect=2.0, rna_effect=0.0)


@pytest.fixture(scope="module")
def image_model(image_cohort):
    return train(image_cohort, CrossModalAttention(), attention_lr=1.0)


class TestAttention:
    def test_it_prefers_the_modality_that_has_an_effect(self, image_cohort, image_model):
        genes_cohort = simulate(image_effect=0.0, rna_effect=2.0)
        genes_model = train(genes_cohort, CrossModalAttention(), attention_lr=1.0)
        weights = {}
        for model, cohort, modality in [(image_model, image_cohort, "wsi"), (genes_model, genes_cohort, "rna")]:
            assert c_index_of_others(model, cohort) > 0.5 + margin_of_others(model, cohort)
            weights[modality] = model.modality_attention(cohort.X.iloc[-N_TEST:])[modality].mean()
        assert min(weights.values()) > 0.5
        assert sum(weights.values()) > 1.1

    def test_witness_tiles_have_more_of_it(self, image_cohort, image_model):
        attention = image_model.tile_attention(image_cohort.X.iloc[-N_TEST:])["attention"]
        areas = [
            roc_auc_score(image_cohort.witness_tiles[patient], weights)
            for patient, weights in attention.groupby("patient")
        ]
        assert len(areas) == N_TEST
        assert np.mean(areas) > 0.8


def test_a_pure_interaction_is_found_by_products_and_not_by_means():
    # A linear layer behind a mean adds up what each modality says. CoxPH has one output, so that the risk is that sum.
    cohort = simulate(n_training=300, witness_rate=0.4, image_effect=0.0, rna_effect=0.0, interaction=2.0)
    cox = {"objective": CoxPH(), "batch_size": 32}
    products, means = [train(cohort, one, **cox) for one in (Bilinear(scale=1, hidden_dim=32, dropout=0.0), Mean())]
    assert c_index_of_others(products, cohort) > 0.5 + margin_of_others(products, cohort)
    assert abs(c_index_of_others(means, cohort) - 0.5) < margin_of_others(means, cohort)


NO_EFFECT = [
    Bilinear(scale=2, hidden_dim=16),
    CoAttention(n_heads=4, n_layers=1, feedforward_dim=16, hidden_dim=16),
    Concat(16),
    CrossModalAttention(),
    GatedAttention(),
    Mean(),
    SurvPath(),
]


@pytest.mark.parametrize("fusion", NO_EFFECT, ids=lambda fusion: type(fusion).__name__)
def test_nothing_is_found_where_nothing_is(fusion):
    cohort = simulate(image_effect=0.0, rna_effect=0.0)
    model = train(cohort, fusion, max_epochs=5)
    assert abs(c_index_of_others(model, cohort) - 0.5) < margin_of_others(model, cohort)
