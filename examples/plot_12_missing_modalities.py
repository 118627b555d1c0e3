"""
What is predicted for a patient without a slide?
================================================

Slides get lost, RNA is degraded, and a new patient has what she has. **Leaving out whoever is incomplete costs
patients; filling in costs honesty.** A fused model here does neither: it trains on all, and predicts from what is
there. How much worse are predictions without the slide, and does training on incomplete patients help the others?
"""  # noqa: D400

# %%
# A cohort with gaps
# ------------------
# 300 patients train, of whom four in ten lack the slide and two in ten the genes. ``NA`` in the column of bags, NaN in
# all columns of the genes: that is how a missing modality looks, and what ``join_modalities(..., how="outer")`` makes.

import matplotlib.pyplot as plt
import pandas as pd

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.plotting import modality_colors

sizes = {"n_patients": 700, "n_genes": 20, "n_informative_genes": 4, "n_tiles": (10, 20), "image_effect": 1.3}
gaps = make_multimodal_survival(**sizes, missing={"wsi": 0.4, "rna": 0.2}, random_state=1)
whole = make_multimodal_survival(**sizes, random_state=1)  # the same patients, without gaps
train, test = slice(300), slice(300, None)

X, y = gaps.X[train], gaps.y[train]
has = pd.DataFrame({"wsi": X["wsi__tiles"].notna(), "rna": X["rna__G0000"].notna()})
print(has.value_counts().rename("patients").to_frame().to_string())

# %%
# All patients, or the complete ones alone
# ----------------------------------------
# Both models are the same but for the patients that they see. ``modality_dropout``, on by default, hides a modality of
# some patients in each step of training, so that the network learns to do without.

complete = has.all(axis=1).to_numpy()
models = {
    f"all {len(X)} patients": FusionSurvivalAnalysis(random_state=0).fit(X, y),
    f"{complete.sum()} complete ones": FusionSurvivalAnalysis(random_state=0).fit(X[complete], y[complete]),
}

# %%
# New patients
# ------------
# 400 new patients have both. We take something away from all of them and predict again.

X_new, y_new = whole.X[test], whole.y[test]
genes = [name for name in X_new if name.startswith("rna__")]
views = {
    "slide and genes": X_new,
    "genes only": X_new.assign(wsi__tiles=pd.Series(pd.NA, X_new.index, dtype="bag")),
    "slide only": X_new.assign(**dict.fromkeys(genes, float("nan"))),
}
scores = pd.DataFrame(
    {name: {view: model.score(X, y_new) for view, X in views.items()} for name, model in models.items()}
)
print("\nC-index of 400 new patients:\n")
print(scores.round(3).to_string())

# %%
# One patient, three predictions
# ------------------------------
# What is missing has no influence on the prediction, and its weight is exactly zero. The curve moves towards that of
# the average patient, as it should: less is known.

model = next(iter(models.values()))
patient = X_new.index[model.predict(X_new).argmax()]
weights = pd.concat({view: model.modality_attention(X.loc[[patient]]).iloc[0] for view, X in views.items()}, axis=1).T
print(f"\nWeights of the modalities for {patient}:\n")
print(weights.round(2).to_string())

# %%
# The picture
# -----------

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", width_ratios=[1.1, 1])
colors = dict(zip(views, ["black", *modality_colors(["rna", "wsi"]).values()]))
for row, view in enumerate(reversed(list(views))):
    for name, marker in zip(models, "os"):
        filled = colors[view] if marker == "o" else "white"
        axes[0].plot(scores.loc[view, name], row, marker, color=colors[view], markerfacecolor=filled, markersize=8)
for name, marker, filled in zip(models, "os", ["0.3", "white"]):
    axes[0].plot([], [], marker, color="0.3", markerfacecolor=filled, label=f"trained on {name}")
axes[0].set(yticks=range(3), yticklabels=reversed(list(views)), ylim=(-0.5, 2.5), xlabel="C-index, 400 new patients")
axes[0].legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))
for view, X in views.items():
    curve = model.predict_survival_function(X.loc[[patient]])[0]
    axes[1].step(curve.x, curve.y, where="post", color=colors[view], label=f"{patient}, {view}")
average = model.predict_survival_function(X_new, return_array=True).mean(axis=0)
axes[1].step(model.unique_times_, average, ":", where="post", color="0.4", label="mean of all new patients")
axes[1].set(xlabel="Time (months)", ylabel="Predicted survival", xlim=(0, 100), ylim=(0, 1.02))
axes[1].legend(frameon=False, fontsize="small")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
