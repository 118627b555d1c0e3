"""Within an epoch nothing asks a device for a value, for which a GPU would have to finish and wait.

Torch's device "meta" has shapes and no values: whatever asks for one there, a number, a mask's size or a copy to the
CPU, raises.
"""

import pandas as pd
import pytest

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN, AttentionMIL, DeepAttnMISL, MaxMIL, MeanMIL, TileTokens, TransformerMIL
from sksurv_mmf.fusions import Bilinear, CoAttention, Concat, CrossModalAttention, GatedAttention, Mean, SurvPath
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.training._net import SurvivalNet

SMALL = {"n_estimators": 1, "embedding_dim": 8, "random_state": 0, "max_epochs": 1, "batch_size": 8, "device": "cpu"}
PARTS = {
    "default": {},
    "noise": {"input_noise": 0.1, "normalization": "minmax"},
    "attention": {"encoders": {"wsi": AttentionMIL(8, 4, dropout=0.5, input_dropout=0.1), "rna": SNN(8, dropout=0.5)}},
    "batch norm": {"encoders": {"wsi": AttentionMIL(8, 4, batch_norm=True)}},
    "mean": {"encoders": {"wsi": MeanMIL(8)}},
    "max": {"encoders": {"wsi": MaxMIL(8)}},
    "misl": {"encoders": {"wsi": DeepAttnMISL(2, hidden_dim=8)}},
    "transformer": {"encoders": {"wsi": TransformerMIL(8, n_inducing=2)}},
    "concat": {"fusion": Concat(4)},
    "mean fusion": {"fusion": Mean(0.5)},
    "bilinear": {"fusion": Bilinear()},
    "gated": {"fusion": GatedAttention()},
    "raw scores": {"fusion": CrossModalAttention(normalize=False)},
    "survpath": {"fusion": SurvPath(), "encoders": {"wsi": TileTokens()}},
    "co-attention": {"fusion": CoAttention(hidden_dim=8), "encoders": {"wsi": TileTokens()}},
    "weibull": {"objective": Weibull()},
    "per bin": {"objective": DiscreteHazard(4, proportional=False, alpha=0.3)},
}


def step_without_values(make_cohort, monkeypatch, missing=False, **params):
    """The last training step of one network, taken once more on a device without values."""
    cohort, seen = make_cohort(n_patients=16), []
    if missing:
        cohort.X.iloc[::3, 0] = pd.NA
    train = SurvivalNet.train_step

    def keep(net, batch, **kwargs):
        seen.append(batch)
        return train(net, batch, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(SurvivalNet, "train_step", keep)
        net = FusionSurvivalAnalysis(**(SMALL | params)).fit(cohort.X, cohort.y).net_
    net.module_.to("meta")
    net.device = "meta"
    net.optimizer_.param_groups.clear()
    net.optimizer_.add_param_group({"params": list(net.module_.parameters())})
    return net.train_step(seen[-1])


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_a_step_of_one_network_reads_no_value(make_cohort, monkeypatch, name, missing):
    assert step_without_values(make_cohort, monkeypatch, missing, **PARTS[name])["loss"].is_meta


def test_a_step_that_reads_a_value_is_found(make_cohort, monkeypatch):
    # This loss is computed on the CPU, where additions have a fixed order.
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        step_without_values(make_cohort, monkeypatch, objective=CoxPH())
