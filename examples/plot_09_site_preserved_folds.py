"""
Random folds, and folds that keep hospitals together
====================================================

Slides of one hospital share a scanner, a stain and a way of cutting, and hospitals differ in their patients and in how
these fare. A model can therefore recognise the hospital on a slide and predict what is usual there. Random folds reward
that, for every hospital is on both sides of them; another hospital will not. **How much of a C-index is the hospital?**

Run it with ``python examples/plot_09_site_preserved_folds.py --output demo_output``. It takes less than a minute and
downloads nothing: the hospitals are simulated. What the same comparison gives on lung adenocarcinoma of TCGA is at the
end.
"""  # noqa: D400

# %%
import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.presets import baselines

parser = argparse.ArgumentParser(description="Compare random folds with folds that keep hospitals together.")
parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the figure")
options = parser.parse_args()
options.output.mkdir(parents=True, exist_ok=True)

# %%
# Hospitals that can be seen on the slide
# ---------------------------------------
# 300 patients of 15 hospitals have a vector of 40 numbers per slide. One of them shows how aggressive the tumour is.
# The stain of the hospital shifts all of them, by a direction of its own, and has nothing to do with the tumour. In the
# first cohort hospitals differ in how their patients fare, in the second they do not.

N_PATIENTS, N_SITES, N_FEATURES = 300, 15, 40


def simulate(site_effect, seed):
    """Patients, their outcome and their hospitals."""
    rng = np.random.default_rng(seed)
    site = rng.integers(N_SITES, size=N_PATIENTS)
    features = rng.normal(size=(N_PATIENTS, N_FEATURES))
    risk = 0.5 * features[:, 0] + site_effect * rng.normal(size=N_SITES)[site]
    stain = rng.normal(size=(N_SITES, N_FEATURES))
    time, censored = rng.exponential(np.exp(-risk)), rng.exponential(2.0, N_PATIENTS)
    X = pd.DataFrame(features + stain[site], [f"P{i}" for i in range(N_PATIENTS)]).add_prefix("slide__")
    y = Surv.from_arrays(time <= censored, np.minimum(time, censored))
    return X, y, pd.Series(site, X.index, name="hospital")


# %%
# The same model on both kinds of folds
# -------------------------------------
# :class:`~sksurv_mmf.model_selection.SurvivalKFold` takes ``groups`` and keeps them together, while events and times
# stay as balanced as that allows; with TCGA, :func:`~sksurv_mmf.model_selection.tissue_source_site` makes them of the
# barcodes. The model is a ridge Cox, whose penalty is chosen inside each fold.

model = baselines(image=None, rna="slide", clinical=None)["Ridge Cox"]
KINDS = ("random", "by hospital")


def measure(X, y, groups, seed):
    """C-index of each kind of folds, the mean of five."""
    cv = SurvivalKFold(5, shuffle=True, random_state=seed)
    means = {}
    for kind, own in zip(KINDS, (None, groups)):
        folds = [
            (clone(model).fit(X.iloc[train], y[train]).predict(X.iloc[test]), y[test])
            for train, test in cv.split(X, y, own)
        ]
        means[kind] = np.mean([concordance_index_censored(y["event"], y["time"], risk)[0] for risk, y in folds])
    return means


rows = [
    {"cohort": name, "seed": seed, **measure(*simulate(site_effect, seed), seed)}
    for name, site_effect in [("hospitals differ", 1.0), ("hospitals are alike", 0.0)]
    for seed in range(6)
]
scores = pd.DataFrame(rows)
scores["difference"] = scores["random"] - scores["by hospital"]
print(scores.groupby("cohort", sort=False)[[*KINDS, "difference"]].mean().round(3).to_string())

# %%
# What the picture shows
# ----------------------
# A line is a cohort. Where hospitals differ, random folds promise what no other hospital would see; where they are
# alike, both kinds of folds say the same, so that folds by hospital cost nothing.

figure, axes = plt.subplots(1, 2, figsize=(6.2, 3.0), sharey=True, layout="constrained")
for ax, (name, own) in zip(axes, scores.groupby("cohort", sort=False)):
    ax.plot(KINDS, own[[*KINDS]].T.to_numpy(), "o-", color="#0072B2", alpha=0.6)
    ax.axhline(0.5, color="0.6", ls=":")
    ax.set(title=name, xlabel="folds", xlim=(-0.3, 1.3))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("C-index, mean of 5 folds")
path = options.output / "site_preserved_folds.png"
figure.savefig(path, dpi=200)
print(f"\nFigure: {path}")

# %%
# A real cohort
# -------------
# Lung adenocarcinoma of TCGA: 434 patients with slides, 153 deaths, 32 hospitals, of which one has 90 patients. Means
# over repetitions of five folds, ten of ridge Cox and four of the default network, with the 95 % interval of the mean
# over repetitions, which says how far the dealing of folds moves it and not what other patients would do:
#
# ===========  =====================  ===============  ===============  ===============
# model        modalities             random           by hospital      difference
# ===========  =====================  ===============  ===============  ===============
# ridge Cox    image                  0.579 +- 0.010   0.569 +- 0.006   0.010 +- 0.007
# network      image                  0.608 +- 0.016   0.581 +- 0.013   0.027 +- 0.014
# ridge Cox    image, RNA, clinical   0.684 +- 0.005   0.684 +- 0.005   0.000 +- 0.005
# network      image, RNA, clinical   0.698 +- 0.010   0.692 +- 0.002   0.006 +- 0.008
# ===========  =====================  ===============  ===============  ===============
#
# The image features are human-interpretable ones, such as counts of cells; features of deep networks know more of a
# stain. ``benchmarks/site_folds.py`` repeats it on the files of :func:`~sksurv_mmf.datasets.load_tcga_nsclc`.
