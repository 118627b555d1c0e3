"""
How much does a C-index owe to genes selected on all patients?
==============================================================

A cohort has thousands of genes and some hundred patients, so that genes are selected before a survival model is
fitted. If that is done once, on all patients, and the model is cross-validated afterwards, the genes have seen the
outcomes of the test patients. The C-index is then too good, and nobody sees it: no new patients are there to
disappoint. **How large is this leak**, on genes that mean nothing, and on real ones?
"""  # noqa: D400

# %%
# Two kinds of genes
# ------------------
# The patients, their times and their events are real: 198 women with breast cancer. Only the genes change. *Noise* are
# 1000 random numbers per patient, from which nothing can be predicted: an honest C-index is 0.5. With some fifty events
# a single draw of them may be lucky or unlucky, so there are four. *Signature* are 76 genes of a signature that was
# found on other patients.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf.datasets import load_breast_cancer_cohort
from sksurv_mmf.inspection import ComparisonDisplay
from sksurv_mmf.model_selection import SurvivalKFold, selection_leakage
from sksurv_mmf.preprocessing import CoxElasticNetSelector

cohort = load_breast_cancer_cohort()
y = cohort.y
signature = cohort.X.filter(regex="^rna__")


def draw_noise(seed):
    """1000 random numbers for every patient."""
    values = np.random.default_rng(seed).normal(size=(len(y), 1000))
    return pd.DataFrame(values, signature.index, [f"noise{i}" for i in range(1000)])


noise = [draw_noise(seed) for seed in range(4)]

# %%
# The model, and how it is judged
# -------------------------------
# The elastic net selects genes, and a Cox model with a ridge penalty is fitted to them.
# :func:`~sksurv_mmf.model_selection.selection_leakage` takes this pipeline as it would be used, and runs it twice on
# the same folds: once with the selection inside, where it belongs, and once with the selection done beforehand.
# ``min_features=10`` makes the selector choose genes also where it would rightly choose none.

model = make_pipeline(
    StandardScaler().set_output(transform="pandas"),
    CoxElasticNetSelector(cv=3, n_alphas=20, alpha_min_ratio=0.3, min_features=10, random_state=0),
    CoxPHSurvivalAnalysis(alpha=10),
)
folds = SurvivalKFold(5, shuffle=True, random_state=0)


def measure_leak(X):
    """Both ways of selecting, on the same folds."""
    return selection_leakage(model, X, y, folds, random_state=0)


signature_leak = measure_leak(signature)
noise_leaks = [measure_leak(X) for X in noise]
by_draw = pd.concat(
    [
        leak.scores.groupby("model", sort=False)["value"].mean().reset_index().assign(fold=draw)
        for draw, leak in enumerate(noise_leaks)
    ]
)

# %%
# What the table says
# -------------------
# The leak is the difference of the two C-indices. On noise, an honest cross-validation finds a C-index near 0.5 on
# average, as it must. Selected beforehand, the same noise looks like a strong signature in every single draw: better
# than the real signature does when it is judged honestly. Neither a test set nor more folds help, as long as the
# selection has seen the test patients.

rows = {f"noise, mean of {len(noise)} draws": by_draw.groupby("model")["value"].mean()}
rows["signature of 76 genes"] = signature_leak.summary().loc["harrell", "mean"]
table = pd.DataFrame(rows).T[["selection beforehand", "selection inside folds"]]
table["leak"] = table["selection beforehand"] - table["selection inside folds"]
print(f"\n{len(y)} patients, {y['event'].sum()} events: C-index, mean of 5 folds\n")
print(table.to_string(float_format="{:.3f}".format))
per_draw = by_draw.pivot(index="fold", columns="model", values="value")
print(f"\nNoise, draw by draw:\n{per_draw.T.to_string(header=False, float_format='{:.2f}'.format)}")

# %%
# What the picture shows
# ----------------------
# In the upper panel a dot is a draw of noise, in the lower one a fold; a bar is the confidence interval of the mean,
# the dotted line a model that knows nothing. Draws are independent, hence ``test_ratio=0``; folds are not, and their
# intervals are the wider for it.

figure, axes = plt.subplots(2, 1, figsize=(3.5, 4.6), sharex=True, layout="constrained")
ComparisonDisplay.from_predictions(by_draw, reference="selection inside folds", test_ratio=0, chance=0.5, ax=axes[0])
signature_leak.plot(ax=axes[1])
axes[0].set_title("1000 random numbers", fontsize="small", loc="left")
axes[1].set_title("Signature of 76 genes", fontsize="small", loc="left")
axes[0].set_xlabel("")
