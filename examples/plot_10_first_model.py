"""
How do my own files become survival curves?
===========================================

A table of patients, a table of genes, a folder of feature files of slides: that is what most groups have. **From there
it is four steps to risk groups and survival curves of patients whom the model has not seen.** The files here are made
up on the spot, so that the page runs anywhere; with your own, begin at "Read and join".
"""  # noqa: D400

# %%
# Files as you may have them
# --------------------------
# ``clinical.csv`` has age, stage, and the outcome: whether the patient died and after how many months. ``rna.csv`` has
# one row per patient, one column per gene. The folder has one ``.h5`` file per slide in the layout of CLAM: features
# of the tiles, and where they lie.

import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.inspection import RiskGroupDisplay
from sksurv_mmf.preprocessing import make_modality_transformer

place = tempfile.TemporaryDirectory()
folder = Path(place.name)
made_up = make_multimodal_survival(n_patients=240, n_genes=30, n_informative_genes=5, n_tiles=(10, 30), random_state=0)
rng = np.random.default_rng(0)
clinical = pd.DataFrame(made_up.y, index=made_up.X.index).rename(columns={"event": "died", "time": "months"})
clinical["age"] = rng.normal(65, 9, len(clinical)).round()
clinical["stage"] = rng.integers(1, 4, len(clinical))
clinical.round(2).to_csv(folder / "clinical.csv")
made_up.X.filter(like="rna__").rename(columns=lambda name: name.removeprefix("rna__")).to_csv(folder / "rna.csv")
(folder / "features").mkdir()
for patient, bag in made_up.X["wsi__tiles"].items():
    with h5py.File(folder / "features" / f"{patient}_slide1.h5", "w") as file:
        file["features"], file["coords"] = bag.features, bag.coords

# %%
# Read and join
# -------------
# :func:`~sksurv_mmf.read_bags` reads headers only; a function tells the patient of a slide from its name.
# :func:`~sksurv_mmf.join_modalities` matches by patient, and names the columns ``wsi__...``, ``rna__...`` and so on.

clinical = pd.read_csv(folder / "clinical.csv", index_col="patient")
rna = pd.read_csv(folder / "rna.csv", index_col="patient")
bags = read_bags(folder / "features", patient=lambda slide: slide.split("_")[0])
X, y = join_modalities(
    {"wsi": bags, "rna": rna, "clinical": clinical[["age", "stage"]]}, outcome=clinical, event="died", time="months"
)
print(f"{X.shape[0]} patients, {y['event'].sum()} deaths, {X.shape[1]} columns: {', '.join(X.columns[:3])}, ...")

# %%
# Train
# -----
# A third of the patients is set aside. Scaling belongs into the pipeline, where it sees the training patients alone.

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y["event"], random_state=0)
prepare = make_modality_transformer(clinical=StandardScaler())
model = make_pipeline(prepare, FusionSurvivalAnalysis(random_state=0)).fit(X_train, y_train)
print(f"C-index of the {len(X_test)} patients set aside: {model.score(X_test, y_test):.2f}")

# %%
# Predict
# -------
# ``predict`` is a risk, which orders patients and has no unit. Survival curves have one.

curves = model.predict_survival_function(X_test)
risk = model.predict(X_test)
at_two_years = pd.Series([curve(24) for curve in curves], X_test.index, name="alive after 24 months")
print(at_two_years.head().round(2).to_string())

# %%
# The picture
# -----------
# Left the curves of three new patients, of low, middling and high risk; right the two halves of the new patients by
# risk, with what became of them. The bands are confidence intervals, and the log-rank test asks if the halves differ.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for row in risk.argsort()[[len(risk) // 10, len(risk) // 2, -len(risk) // 10]]:
    axes[0].step(curves[row].x, curves[row](curves[row].x), where="post", label=X_test.index[row])
axes[0].set(xlabel="Time (months)", ylabel="Predicted survival", ylim=(0, 1.02), xlim=(0, 120))
axes[0].legend(frameon=False, fontsize="small")
axes[0].spines[["top", "right"]].set_visible(False)
display = RiskGroupDisplay.from_predictions(
    y_test, risk, time_unit="months", max_time=120, risks_from="test patients", ax=axes[1]
)

# %%
# The files are no longer needed.

place.cleanup()
