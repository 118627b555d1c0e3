"""
Can I bring my own encoder, fusion and objective?
=================================================

An idea for a network is often an idea for one part of it. **A part is a class with its hyper-parameters and one method
that builds a torch module**; ensembles, missing modalities, folds, searches and survival curves are there already. Here
an encoder, a fusion and an objective, a dozen lines each.
"""  # noqa: D400

# %%
# An encoder
# ----------
# The mean of the tiles that answer most: between attention, which weighs all, and the maximum, which sees one. Bags
# come packed, as all tiles of a batch one below the other with the number of each patient.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import Encoder
from sksurv_mmf.fusions import Fusion
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.objectives import Objective


class TopTilesModule(nn.Module):
    def __init__(self, n_tiles, n_features, embedding_dim):
        super().__init__()
        self.n_tiles, self.out_dim = n_tiles, embedding_dim
        self.embed = nn.Sequential(nn.Linear(n_features, embedding_dim), nn.ReLU())

    def forward(self, bags):
        embedded = self.embed(bags.values).split(bags.lengths, dim=-2)
        tops = [tiles.topk(min(self.n_tiles, len(tiles)), dim=-2).values for tiles in embedded]
        return torch.stack([top.mean(dim=-2) for top in tops])


class TopTiles(Encoder):
    """Mean of the highest activations over the tiles."""

    reads = "bag"

    def __init__(self, n_tiles=5):
        self.n_tiles = n_tiles

    def build(self, n_features, embedding_dim):
        return TopTilesModule(self.n_tiles, n_features, embedding_dim)


# %%
# A fusion
# --------
# The largest of the modalities in every dimension. ``present`` says who has what: a modality that a patient lacks must
# not count, and its vector is zero, not absent.


class MaximumModule(nn.Module):
    def __init__(self, out_dim):
        super().__init__()
        self.out_dim = out_dim

    def forward(self, vectors, present):
        stacked = torch.stack(vectors, dim=-2)
        return stacked.masked_fill(~present.unsqueeze(-1), -torch.inf).amax(dim=-2), None


class Maximum(Fusion):
    """Element-wise maximum of the modalities that a patient has."""

    def build(self, dims, bags=()):
        return MaximumModule(next(iter(dims.values())))


# %%
# An objective
# ------------
# A hazard that is constant in time, the exponential of the network's output. The loss is the negative log-likelihood of
# censored exponential times; risk and cumulative hazard follow.


class ConstantHazard(Objective):
    """Exponential survival times."""

    def fit(self, event, time):
        self.n_outputs_, self.unique_times_ = 1, np.linspace(0, time.max(), 200)
        self.initial_outputs_ = np.log(event.sum() / time.sum())
        return self

    def encode(self, event, time):
        return torch.as_tensor(event, dtype=torch.float32), torch.as_tensor(time, dtype=torch.float32)

    def strata(self, event, time):
        return event.astype(int)

    def losses(self, outputs, target):
        event, time = target
        return outputs[..., 0].exp() * time - outputs[..., 0] * event

    def risk(self, outputs):
        return outputs[..., 0]

    def cumulative_hazard(self, outputs):
        return outputs.exp() * torch.as_tensor(self.unique_times_, dtype=outputs.dtype)


# %%
# Side by side
# ------------
# Every part replaces one of the default model, on the same folds. Parts of one's own train network by network; three
# networks instead of ten keep the page quick.

cohort = make_multimodal_survival(n_patients=150, n_genes=20, n_informative_genes=4, n_tiles=(8, 15), random_state=0)
settings = {"n_estimators": 3, "random_state": 0}
models = {
    "as it comes": FusionSurvivalAnalysis(**settings),
    "own encoder": FusionSurvivalAnalysis(encoders={"wsi": TopTiles()}, **settings),
    "own fusion": FusionSurvivalAnalysis(fusion=Maximum(), **settings),
    "own objective": FusionSurvivalAnalysis(objective=ConstantHazard(), **settings),
}
folds = SurvivalKFold(3, shuffle=True, random_state=0)
comparison = compare_models(models, cohort.X, cohort.y, folds, scoring=["harrell", "ibs"], random_state=0)
print(comparison.summary()["mean"].unstack("model")[list(models)].round(3).to_string())

# %%
# Names of parameters reach into own parts as into all others: ``GridSearchCV(model, {"wsi__n_tiles": [1, 5, 20]})``.
#
# The picture
# -----------
# Left the scores by fold. Right the curves of one patient: the constant hazard cannot but fall exponentially.

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
comparison.plot("harrell", ax=axes[0])
for name, color in [("as it comes", "#0072B2"), ("own objective", "#D55E00")]:
    curve = models[name].fit(cohort.X, cohort.y).predict_survival_function(cohort.X[:1])[0]
    axes[1].step(curve.x, curve.y, where="post", color=color, label=name)
axes[1].set(xlabel="Time (months)", ylabel="Predicted survival", ylim=(0, 1.02))
axes[1].legend(frameon=False, fontsize="small")
axes[1].spines[["top", "right"]].set_visible(False)
