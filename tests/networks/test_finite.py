"""Predictions are numbers, or an error says whose fault it is."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import BagArray
from sksurv_mmf.encoders import SNN, Identity, TransformerMIL
from sksurv_mmf.inspection import integrated_gradients
from sksurv_mmf.networks._modality_encoder import Standardize
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.persistence import load_model, save_model

TINY = {"n_estimators": 1, "embedding_dim": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}
METHODS = [
    "predict",
    "predict_survival_function",
    "predict_cumulative_hazard_function",
    "transform",
    "modality_attention",
]


@pytest.fixture(scope="module", params=[DiscreteHazard, CoxPH, Weibull], ids=lambda objective: objective.__name__)
def fitted(request, make_cohort):
    cohort = make_cohort()
    return FusionSurvivalAnalysis(objective=request.param(), **TINY).fit(cohort.X, cohort.y), cohort.X


def with_tiles(X, row, factor):
    bags = [
        bag.map(lambda tiles: tiles * np.float32(factor)) if i == row else bag for i, bag in enumerate(X.iloc[:, 0])
    ]
    return X.assign(wsi__tiles=pd.Series(BagArray(bags), index=X.index))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [1e30, -1e25, 1e17])
def test_a_value_far_out_names_patient_and_column(fitted, method, value):
    model, X = fitted
    X = X.copy()
    X.iloc[3, 2] = value
    with pytest.raises(ValueError, match=r"patient 'P003' .*column 'rna__G1' is .* standard deviations") as caught:
        getattr(model, method)(X)
    assert "tile" not in str(caught.value)


def test_a_whole_column_far_out_counts_the_patients(fitted):
    model, X = fitted
    with pytest.raises(ValueError, match=r"patient 'P000' \(and for 29 others\).*'rna__G2'"):
        model.predict(X.assign(rna__G2=1e30))


def test_ordinary_outliers_are_no_error(fitted):
    model, X = fitted
    assert np.isfinite(model.predict(X.assign(rna__G2=1e4))).all()
    assert np.isfinite(model.predict(with_tiles(X, 2, 1e3))).all()


@pytest.mark.parametrize("method", [*METHODS, "tile_attention"])
@pytest.mark.parametrize("factor", [1e20, 1e37])
def test_tiles_far_out_name_the_patient(fitted, method, factor):
    model, X = fitted
    with pytest.raises(ValueError, match=r"patient 'P004' in modality 'wsi' has .*BagTransformer") as caught:
        getattr(model, method)(with_tiles(X, 4, factor))
    assert "column" not in str(caught.value)


def test_a_normalisation_inside_an_encoder_hides_no_overflow(make_cohort):
    cohort = make_cohort()
    encoder = TransformerMIL(4, n_heads=2, n_layers=1, n_inducing=2)
    model = FusionSurvivalAnalysis([("wsi", encoder)], **TINY).fit(cohort.X[["wsi__tiles"]], cohort.y)
    with pytest.raises(ValueError, match="'P001'"):
        model.predict(with_tiles(cohort.X[["wsi__tiles"]], 1, 1e19))


@pytest.mark.parametrize("normalization", [None, "layer", "minmax"])
def test_the_normalisation_of_vectors_hides_no_overflow(make_cohort, normalization):
    cohort = make_cohort()
    genes = cohort.X.iloc[:, 1:]
    model = FusionSurvivalAnalysis([("rna", Identity())], normalization=normalization, **TINY).fit(genes, cohort.y)
    with pytest.raises(ValueError, match="'rna__G0'"):
        model.predict(genes.assign(rna__G0=1e22))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("columns", [slice(None), slice(1, None)], ids=["tiles and table", "table"])
def test_a_last_step_that_diverges_is_noticed(make_cohort, optimizer, columns):
    """One step per fit: its loss is that of the untrained network."""
    cohort = make_cohort()
    params = TINY | {"lr": 1e30, "batch_size": 30, "optimizer": optimizer, "weight_decay": 0.0, "zero_start": False}
    with pytest.raises(ValueError, match=r"Training diverged: .*Lower lr, which is 1e\+30\.$") as caught:
        FusionSurvivalAnalysis(**params).fit(cohort.X.iloc[:, columns], cohort.y)
    assert "tile" not in str(caught.value)


def test_the_advice_names_the_column_that_is_far_out(make_cohort):
    cohort = make_cohort()
    genes = cohort.X.iloc[:, 1:].copy()
    genes.iloc[5, 1] = 1e14
    with pytest.raises(ValueError, match=r"Training diverged.*Column 'rna__G1' is 1e\+14: .*standardize=True"):
        FusionSurvivalAnalysis(standardize=False, lr=1e4, **TINY).fit(genes, cohort.y)


def test_a_value_beside_which_all_others_are_alike_is_not_learnt_from(make_cohort):
    cohort = make_cohort()
    for value in (1e20, -1e30, 2.0**62):
        X = cohort.X.copy()
        X.iloc[5, 2] = value
        with pytest.raises(ValueError, match=r"Patient 'P005' has .* in column 'rna__G1', more than the 1e\+15"):
            FusionSurvivalAnalysis(**TINY).fit(X, cohort.y)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"weight_decay": 1e30}, r"Lower weight_decay, which is 1e\+30"),
        ({"input_noise": 3e38}, "Lower input_noise, which"),
    ],
)
def test_the_advice_names_the_setting(make_cohort, settings, advice):
    cohort = make_cohort()
    with pytest.raises(ValueError, match=f"Training diverged.*{advice}"):
        FusionSurvivalAnalysis(**{**TINY, "max_epochs": 3, **settings}).fit(cohort.X, cohort.y)


def test_the_advice_names_the_tiles_that_are_far_out(make_cohort):
    cohort = make_cohort()
    X = cohort.X[["wsi__tiles"]]
    X = X.assign(wsi__tiles=BagArray([bag.map(lambda tiles: tiles * np.float32(1e14)) for bag in X["wsi__tiles"]]))
    with pytest.raises(ValueError, match=r"Training diverged.*of modality 'wsi'.*BagTransformer\(StandardScaler"):
        FusionSurvivalAnalysis(lr=100.0, **TINY).fit(X, cohort.y)


class NanAbove(Identity):
    """Returns NaN for patients whose first feature is above a limit, where `nan_in` says so."""

    def __init__(self, limit=0.0):
        self.limit = limit

    def build(self, n_features, embedding_dim):
        inner, limit = super().build(n_features, embedding_dim), self.limit

        class Module(nn.Module):
            out_dim = inner.out_dim

            def forward(self, vectors):
                return torch.where(vectors[:, :1] > limit, torch.nan, inner(vectors))

        return Module()


def test_a_module_of_ones_own_that_returns_nan_is_named(make_cohort):
    cohort = make_cohort()
    genes = cohort.X.iloc[:, 1:]
    model = FusionSurvivalAnalysis([("rna", NanAbove(50.0))], **TINY).fit(genes, cohort.y)
    genes = genes.copy()
    genes.iloc[7, 0] = 200.0
    with pytest.raises(ValueError, match=r"patient 'P007' .* the encoder of modality 'rna' \(Module\)"):
        model.predict(genes)
    assert np.isfinite(model.predict(genes.drop(index="P007"))).all()
    with pytest.raises(ValueError, match="The first loss was no number already, so lr is not the cause"):
        FusionSurvivalAnalysis([("rna", NanAbove(-50.0))], **TINY).fit(genes, cohort.y)


class LogOfRisk(DiscreteHazard):
    def risk(self, outputs):
        return torch.log(super().risk(outputs))  # of a negative number


def test_an_objective_of_ones_own_that_returns_nan_is_named(make_cohort):
    cohort = make_cohort()
    model = FusionSurvivalAnalysis(objective=LogOfRisk(), **TINY).fit(cohort.X, cohort.y)
    with pytest.raises(ValueError, match=r"patient 'P000' \(and for 29 others\).* the objective"):
        model.predict(cohort.X)
    assert np.isfinite(model.predict_survival_function(cohort.X, return_array=True)).all()


@pytest.mark.parametrize("name", ["head.weight", "encoders.1.standardize.scale"])
def test_weights_and_standard_deviations_that_are_nan_are_named(make_cohort, name):
    cohort = make_cohort()
    model = FusionSurvivalAnalysis(**TINY).fit(cohort.X, cohort.y)
    model.net_.module_.state_dict()[name].ravel()[0] = torch.nan
    with pytest.raises(ValueError, match=f"weights that are NaN or infinite, '{name}'"):
        model.predict(cohort.X)
    with pytest.raises(ValueError, match="NaN or infinite"):
        integrated_gradients(model, cohort.X)


class Masked(SNN):
    """Its network keeps a mask, as attention does."""

    def build(self, n_features, embedding_dim):
        network = super().build(n_features, embedding_dim)
        network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        return network


def test_a_mask_of_minus_infinity_is_no_weight(make_cohort, tmp_path):
    cohort = make_cohort()
    X = cohort.X.drop(columns="wsi__tiles")
    model = FusionSurvivalAnalysis([("rna", Masked(4))], **TINY).fit(X, cohort.y)
    save_model(model, tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip", trusted=[Masked])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_standardisation_of_numbers_whose_squares_overflow():
    values = torch.tensor([[1e25, 3e38, 7e30], [2e25, 2e38, 7e30], [3e25, 3e38, 7e30]])
    scaled = Standardize(values)(values)
    expected = (values.double() - values.double().mean(0)) / values.double().std(0, correction=0)
    torch.testing.assert_close(scaled[:, :2].double(), expected[:, :2], rtol=1e-5, atol=1e-5)
    assert (scaled[:, 2] == 0).all()  # constant
