"""
Does attention find the noisy modality?
=======================================

A slide is out of focus, an RNA sample is degraded. A model that weighs both modalities alike in every patient reads the
noise; cross-modality attention (CM-MMF) could turn to the other one, **if it notices**, and if that pays. Real cohorts
do not tell which modality is noise in whom. Simulated ones do.
"""  # noqa: D400

# %%
# Patients of whom one modality is noise
# --------------------------------------
# In a fifth of the patients the image is noise, in another fifth the RNA. Quality features show it: there they are
# shifted by two standard deviations. Nobody tells the model what they mean; it sees numbers and outcomes. The image is
# either a table or, which is harder, a bag of tiles. 400 patients train, the others test.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import CrossModalAttention, Mean
from sksurv_mmf.plotting import modality_colors

sizes = {"n_patients": 1200, "n_genes": 20, "n_informative_genes": 4, "n_tile_features": 20, "n_tiles": (8, 16)}
effects = {"image_effect": 1.25, "rna_effect": 1.25, "corrupted": 0.4}
cohorts = {
    kind: make_multimodal_survival(**sizes, **effects, image_as=kind, random_state=0) for kind in ("table", "tiles")
}
train, new = slice(400), slice(400, None)

# %%
# The weights beside the truth
# ----------------------------
# The weight of the image should be high where the RNA is noise, and low where the image is. The area under the ROC
# curve (AUC) of that is 0.5 by chance and 1 if it is so without exception. Whether it pays is seen beside the mean
# vector, the same model without attention. ``oob_score_`` is the C-index of the *training* patients, each predicted by
# those networks of the ensemble that have not seen her: an estimate of the C-index of new patients that costs no fit.

models, weights, rows = {}, {}, []
for kind, cohort in cohorts.items():
    X, y = cohort.X[new], cohort.y[new]
    for name, fusion in {"CM-MMF": CrossModalAttention(), "mean vector": Mean()}.items():
        model = FusionSurvivalAnalysis(fusion=fusion, random_state=0).fit(cohort.X[train], cohort.y[train])
        rows.append({"image": kind, "model": name, "C, left out": model.oob_score_, "C, new": model.score(X, y)})
        if name == "CM-MMF":
            models[kind], weights[kind] = model, model.modality_attention(X)["wsi"]
            corrupted = cohort.corrupted[new].dropna()
            rows[-1]["AUC"] = roc_auc_score(corrupted == "rna", weights[kind][corrupted.index])

table = pd.DataFrame(rows).set_index(["image", "model"])
print(table.to_string(float_format="{:.3f}".format, na_rep=""))
for kind, one in table.groupby(level="image", sort=False):
    gain = one["C, new"].iloc[0] - one["C, new"].iloc[1]
    print(f"\nImage as {kind}: the AUC is {one['AUC'].iloc[0]:.2f}, and attention changes the C-index by {gain:+.3f}.")

# %%
# One cohort is an anecdote: a difference of 0.01 may turn around in the next one. ``benchmarks/attention.py`` simulates
# twenty.
#
# How sure is the ensemble?
# -------------------------
# ``return_std`` adds the spread of the survival curves between the networks of an ensemble. It tells how much a curve
# depends on which patients were seen, and on chance in training; not how far a patient's life may be off.

names = {"wsi": "image is noise", "none": "both intact", "rna": "RNA is noise"}
truth = {kind: cohort.corrupted[new].fillna("none").map(names) for kind, cohort in cohorts.items()}
model, X = models["table"], cohorts["table"].X[new]
survival, std = model.predict_survival_function(X, return_array=True, return_std=True)
times = model.unique_times_
at_24 = pd.Series(std[:, np.searchsorted(times, 24, side="right") - 1], X.index)
print("\nSpread of the probability to survive 24 months, mean over patients:\n")
print(at_24.groupby(truth["table"]).mean().to_string(header=False, float_format="{:.3f}".format))

# %%
# The picture
# -----------
# In the first two panels a dot is a new patient, a bar the median. In the third one are the patients with the lowest,
# a middling and the highest risk; a band is twice the spread to either side.

colors = {name: modality_colors(names, {"none": "0.45"})[which] for which, name in names.items()}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.6), layout="constrained")
rng = np.random.default_rng(0)
for ax, (kind, weight) in zip(axes, weights.items()):
    for row, (name, color) in enumerate(colors.items()):
        values = weight[truth[kind] == name]
        ax.plot(values, row + rng.uniform(-0.3, 0.3, len(values)), ".", color=color, alpha=0.4, markeredgewidth=0)
        ax.plot([values.median()] * 2, [row - 0.4, row + 0.4], color="black")
    ax.set(xlabel="Weight of the image", xlim=(0, 1), yticks=range(3), yticklabels=colors if ax is axes[0] else [])
    ax.set_title(f"Image as {kind}: AUC {table.loc[(kind, 'CM-MMF'), 'AUC']:.2f}", fontsize="medium")

order = model.predict(X).argsort()
for patient, color in zip(order[[0, len(order) // 2, -1]], colors.values()):
    low, high = survival[patient] - 2 * std[patient], survival[patient] + 2 * std[patient]
    axes[2].step(times, survival[patient], where="post", color=color)
    axes[2].fill_between(times, low.clip(0), high.clip(max=1), step="post", color=color, alpha=0.25, linewidth=0)
axes[2].set(xlabel="Months", ylabel="Survival", xlim=(0, 100), ylim=(0, 1.02))
axes[2].set_title("Lowest, middling, highest risk", fontsize="medium")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
