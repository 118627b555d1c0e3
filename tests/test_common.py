"""Every estimator keeps every contract; where one does not, the reason is here."""

import numpy as np
import sksurv
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from sksurv.ensemble import RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.encoders import (
    MLP,
    SNN,
    AttentionMIL,
    DeepAttnMISL,
    Encoder,
    Identity,
    MaxMIL,
    MeanMIL,
    PathwaySNN,
    TileTokens,
    TransformerMIL,
)
from sksurv_mmf.fusions import Bilinear, CoAttention, Concat, CrossModalAttention, GatedAttention, Mean, SurvPath
from sksurv_mmf.model_selection import KaplanMeier
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Objective, Weibull
from sksurv_mmf.preprocessing import (
    BagPooling,
    BagTransformer,
    CoxElasticNetSelector,
    MinMaxNormalizer,
    PresentPatients,
    make_modality_transformer,
)
from sksurv_mmf.utils.estimator_checks import parametrize_with_survival_checks

IN_PLACE = (
    "A Pipeline fits its steps in place and so changes its parameter `steps`; check_fit_keeps_parameters looks at the "
    "parameters of the steps."
)

IGNORES_X = "It looks at nobody's columns, and so neither refuses what they hold nor orders patients."

EXPECTED_FAILURES = {
    KaplanMeier: {
        "check_estimators_nan_inf": IGNORES_X,
        "check_infinite_values": IGNORES_X,
        "check_risk_score": IGNORES_X,
        "check_outcome_errors": "The curve of patients without an event is 1, which is no error.",
    },
    CoxnetSurvivalAnalysis: {
        "check_non_transformer_estimators_n_iter": "It has max_iter but does not report n_iter_.",
    },
    RandomSurvivalForest: {
        "check_sample_weight_equivalence_on_dense_data": "Which patients a tree sees is drawn by their number, so a "
        "weight of two is not the same draw as two patients. scikit-learn's forests fail as well.",
        "check_estimator_sparse_tag": "It accepts sparse X, but its tags deny it.",
        "check_requires_y_none": "For y=None it raises ValueError, but not in the words of scikit-learn.",
        "check_curves_belong_together": "Its survival function is a mean of Kaplan-Meier curves and its cumulative "
        "hazard a mean of Nelson-Aalen curves.",
    },
    Pipeline: {
        "check_estimators_overwrite_params": IN_PLACE,
        "check_dont_overwrite_parameters": IN_PLACE,
        "check_supervised_y_no_nan": "It raises ValueError, but of classes that live in scikit-learn, such as "
        "Pipeline, scikit-learn's own words are asked.",
    },
}

if parse_version(sksurv.__version__) < parse_version("0.28"):
    EXPECTED_FAILURES[RandomSurvivalForest] |= dict.fromkeys(
        ["check_sample_weights_list", "check_sample_weights_not_an_array", "check_sample_weights_pandas_series"],
        "Before scikit-survival 0.28 its weights must be an array of float64.",
    )


FRAME_AFTER_ARRAY = dict.fromkeys(
    ["check_set_output_transform_pandas", "check_global_output_transform_pandas"],
    "It makes the frame that it expects from what transform returns without set_output, taking that for an array. "
    "FusionSurvivalAnalysis always returns a frame; behind a step that returns arrays its index is the row number.",
)


def expected_failures(estimator):
    expected = EXPECTED_FAILURES.get(type(estimator), {})
    is_composed = isinstance(estimator, Pipeline) and isinstance(estimator[-1], FusionSurvivalAnalysis)
    return expected | FRAME_AFTER_ARRAY if is_composed else expected


def fusion(*modalities, **params):
    """A network that is small and yet learns within a few steps."""
    tiny = {"n_estimators": 1, "embedding_dim": 8, "max_epochs": 8, "lr": 0.05, "batch_size": 24, "device": "cpu"}
    return FusionSurvivalAnalysis(list(modalities), **(tiny | params))


class LinearEncoder(Encoder):
    """The smallest encoder that a user can write."""

    reads = "vector"

    def build(self, n_features, embedding_dim):
        module = nn.Linear(n_features, embedding_dim)
        module.out_dim = embedding_dim
        return module


class ConstantHazard(Objective):
    """The smallest objective that a user can write: one output, the logarithm of the hazard."""

    def fit(self, event, time):
        self.scale_ = time.mean()
        self.n_outputs_, self.unique_times_ = 1, np.linspace(0, time.max(), 5)
        return self

    def encode(self, event, time):
        return torch.as_tensor(event), torch.as_tensor(time / self.scale_)

    def strata(self, event, time):
        return event.astype(int)

    def loss(self, outputs, target):
        event, time = target
        return (outputs[:, 0].exp() * time - outputs[:, 0] * event).mean()

    def risk(self, outputs):
        return outputs[:, 0]

    def cumulative_hazard(self, outputs):
        return outputs.exp() * torch.as_tensor(self.unique_times_ / self.scale_)


SNN_ENCODER = SNN(8, n_layers=1, dropout=0.0)
PATHWAY_ENCODER = PathwaySNN({"one": ["g0", "g1"], "two": ["g1", "g2", "g3"]}, hidden_dim=8, dropout=0.0, min_genes=2)
MLP_ENCODER = MLP(8, n_layers=1, dropout=0.0)
AMIL_ENCODER = AttentionMIL(8, 4, dropout=0.0)

NUMERIC = [
    CoxPHSurvivalAnalysis(alpha=0.1),
    CoxnetSurvivalAnalysis(fit_baseline_model=True),
    RandomSurvivalForest(n_estimators=5),
    make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=0.1)),
    fusion(("all", SNN_ENCODER)),
    fusion(("all", MLP_ENCODER), fusion=Concat(), normalization="layer"),
    fusion(("all", SNN_ENCODER), n_estimators=3, max_epochs=4),
    fusion(("all", LinearEncoder()), objective=ConstantHazard()),
    fusion(("all", SNN_ENCODER), objective=CoxPH()),
    fusion(("all", SNN_ENCODER), objective=Weibull()),
    fusion(
        ("all", SNN_ENCODER), objective=DiscreteHazard(3, alpha=0.1, interpolation="exponential", proportional=False)
    ),
    make_pipeline(MinMaxNormalizer(), fusion(("all", Identity()), fusion=Mean(), normalization=None)),
    LateFusionSurvivalAnalysis([("all", CoxPHSurvivalAnalysis(alpha=0.1))], cv=2),
    LateFusionSurvivalAnalysis([("all", CoxPHSurvivalAnalysis(alpha=0.1))], combine="curves", cv=2),
    KaplanMeier(),
]

WITH_BAGS = [
    fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), n_estimators=3, max_epochs=4),
    fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), fusion=CrossModalAttention(hidden_dim=4)),
    fusion(
        ("wsi", AttentionMIL(8, 4, gated=False, batch_norm=True, dropout=0.0)),
        ("rna", MLP_ENCODER),
        fusion=CrossModalAttention(shared=False, activation="relu", hidden_dim=4),
        balance=True,
    ),
    fusion(("wsi", MeanMIL(8, dropout=0.0)), ("rna", Identity()), fusion=Concat(), normalization="layer"),
    fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), fusion=GatedAttention(4)),
    fusion(("wsi", DeepAttnMISL(3, hidden_dim=8, attention_dim=4, dropout=0.0)), ("rna", SNN_ENCODER)),
    fusion(("wsi", TransformerMIL(8, n_heads=2, n_layers=1, n_inducing=2, dropout=0.0)), ("rna", SNN_ENCODER)),
    fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), fusion=Bilinear(scale=2, hidden_dim=8, dropout=0.0)),
    fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), fusion=SurvPath(hidden_dim=8, dropout=0.0)),
    fusion(("wsi", TileTokens()), ("rna", PATHWAY_ENCODER), fusion=SurvPath(hidden_dim=8, dropout=0.0)),
    fusion(("wsi", TileTokens("relu")), ("rna", PATHWAY_ENCODER), fusion=CrossModalAttention(hidden_dim=4)),
    fusion(
        ("wsi", AMIL_ENCODER),
        ("rna", SNN_ENCODER),
        fusion=CoAttention(n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=8, dropout=0.0),
    ),
    fusion(
        ("wsi", MaxMIL(8, dropout=0.0)),
        ("rna", SNN_ENCODER),
        fusion=Mean(),
        normalization=None,
        early_stopping=True,
        input_noise=0.1,
        modality_dropout=0.1,
    ),
    fusion(
        ("wsi", AMIL_ENCODER),
        ("rna", SNN_ENCODER),
        objective=CoxPH("breslow"),
        batch_size=6,
        gradient_accumulation=4,
        modality_dropout=0.1,
    ),
    make_pipeline(
        make_modality_transformer(
            rna=make_pipeline(StandardScaler(), CoxElasticNetSelector(n_alphas=5, cv=3)),
            wsi=BagTransformer(StandardScaler()),
        ),
        fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER), batch_size=12, gradient_accumulation=2),
    ),
    *(
        LateFusionSurvivalAnalysis(
            [
                ("wsi", make_pipeline(BagPooling(["mean", 0.9]), CoxPHSurvivalAnalysis(alpha=0.1))),
                ("rna", RandomSurvivalForest(n_estimators=5)),
            ],
            combine=combine,
            cv=2,
        )
        for combine in ("rank", "stack", "curves")
    ),
    LateFusionSurvivalAnalysis(
        [
            ("wsi", make_pipeline(BagPooling(), CoxPHSurvivalAnalysis(alpha=0.1))),
            ("network", fusion(("wsi", AMIL_ENCODER), ("rna", SNN_ENCODER)), ["wsi", "rna"]),
        ],
        combine="curves",
        weights=[1, 2],
        cv=None,
    ),
]

TRANSFORMERS = [
    MinMaxNormalizer(),
    PresentPatients(StandardScaler()),
    # The checks make targets without a signal, where no gene at all is the best model and an error without this.
    CoxElasticNetSelector(n_alphas=10, cv=3, min_features=1),
]
BAG_TRANSFORMERS = [BagTransformer(StandardScaler()), BagPooling(["mean", "std"])]


@parametrize_with_survival_checks(NUMERIC, expected_failures=expected_failures)
def test_numeric_table(estimator, check):
    check(estimator)


@parametrize_with_survival_checks(WITH_BAGS, bags=True)
def test_bags_and_numbers(estimator, check):
    check(estimator)


@parametrize_with_survival_checks(TRANSFORMERS, expected_failures=expected_failures)
def test_transformer(estimator, check):
    check(estimator)


@parametrize_with_survival_checks(BAG_TRANSFORMERS, bags=True)
def test_bag_transformer(estimator, check):
    check(estimator)


def test_expected_failures_are_of_estimators_that_run():
    assert EXPECTED_FAILURES.keys() <= {type(estimator) for estimator in [*NUMERIC, *TRANSFORMERS]}
    assert all(reason.strip() for reasons in EXPECTED_FAILURES.values() for reason in reasons.values())


def test_no_fusion_model_is_excused():
    models = [model for model in [*NUMERIC, *WITH_BAGS] if isinstance(model, FusionSurvivalAnalysis)]
    assert len(models) > 5
    assert not any(map(expected_failures, models))
