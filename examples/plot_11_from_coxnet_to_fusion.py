"""
What must I change in a script of scikit-survival?
==================================================

A script that cross-validates an elastic net Cox model of genes and clinical variables: **one line makes a fused
network of it**, because the estimators have the same methods. One more column, and it reads slides, too. Whether the
change pays is another question, and the answer need not be yes.
"""  # noqa: D400

# %%
# The script as it was
# --------------------
# 198 women with breast cancer, four clinical variables and 76 genes in one table. Nothing of it is of this package
# but the loader, which names columns by modality: ``clinical__age``, ``rna__207118_s_at``.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.metrics import as_integrated_brier_score_scorer

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort
from sksurv_mmf.model_selection import SurvivalKFold

cohort = load_breast_cancer_cohort()
X, y = cohort.X, cohort.y
prepare = make_pipeline(SimpleImputer(), StandardScaler()).set_output(transform="pandas")
coxnet = make_pipeline(
    prepare,
    CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[0.1], fit_baseline_model=True),
)

# %%
# The line that changes
# ---------------------
# The network finds the modalities in the names of the columns. ``set_output`` above keeps these names.

fusion = make_pipeline(
    prepare,
    FusionSurvivalAnalysis(random_state=0),
)

# %%
# The rest of the script stays
# ----------------------------
# Folds, cross-validation and scikit-survival's metrics take either. :class:`~sksurv_mmf.model_selection.SurvivalKFold`
# keeps events and times alike in all folds; any splitter of scikit-learn will do.

folds = SurvivalKFold(5, shuffle=True, random_state=0)
times = np.quantile(y["time"][y["event"]], np.linspace(0.2, 0.8, 7))
rows = {}
for name, model in {"Coxnet": coxnet, "fusion": fusion}.items():
    c_index = cross_validate(model, X, y, cv=folds)["test_score"]
    wrapped = as_integrated_brier_score_scorer(model, times=times)
    rows[name] = pd.DataFrame({"C-index": c_index, "Brier": -cross_validate(wrapped, X, y, cv=folds)["test_score"]})
scores = pd.concat(rows, names=["model", "fold"])
print(scores.groupby("model", sort=False).agg(["mean", "std"]).round(3).to_string())

# %%
# The picture
# -----------
# Every line is a fold, on which both were trained and tested. Five of them are few: the page :doc:`/real_cohorts` has
# thirty folds of this cohort, a Cox model whose penalty is chosen in each, and a smaller difference.
# :func:`~sksurv_mmf.model_selection.compare_models` says whether a difference is more than chance.

figure, axes = plt.subplots(1, 2, figsize=(6.5, 2.8), layout="constrained")
for ax, score, better in zip(axes, scores, ["higher is better", "lower is better"]):
    ax.plot(scores[score].unstack("fold").loc[list(rows)], "o-", color="0.6", markersize=4, linewidth=1)
    ax.plot(scores[score].groupby("model", sort=False).mean(), "D", color="#D55E00", label="mean")
    ax.set(title=f"{score} ({better})", xlim=(-0.3, 1.3))
    ax.title.set_fontsize("medium")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, fontsize="small")

# %%
# A slide is one more column
# --------------------------
# ``join_modalities({"wsi": read_bags("features/"), "rna": rna})`` adds a column ``wsi__tiles`` whose cells are bags of
# tiles; the model above reads it without another word. An imputer or a scaler of tables must then be told its columns,
# which :func:`~sksurv_mmf.preprocessing.make_modality_transformer` does.
