"""
What does a fused model rest on?
================================

A fused model predicts a bit better than the others, or seems to. Before anyone believes it, four questions want an
answer: **which modality carries the prediction, was the fusion worth it, which genes drive the risk, and can the
probabilities be trusted?** All answers come from patients that the model was not trained on.
"""  # noqa: D400

# %%
# A cohort whose truth is known
# -----------------------------
# Four of 40 genes matter, and so do a few tiles of each slide. The image has the larger effect on the hazard, but is
# harder to read.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import CrossModalAttention, Mean
from sksurv_mmf.inspection import (
    CalibrationDisplay,
    ModalityAttentionDisplay,
    TileAttentionDisplay,
    feature_importance,
    fusion_audit,
    modality_importance,
)
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import CoxElasticNetSelector, make_modality_transformer

pd.set_option("display.width", 120)
cohort = make_multimodal_survival(
    n_patients=240, n_genes=40, n_informative_genes=4, n_tiles=(10, 20), image_effect=1.5, random_state=0
)
X, y = cohort.X, cohort.y
folds = SurvivalKFold(3, shuffle=True, random_state=0)

prepare = {"wsi": "passthrough", "rna": make_pipeline(StandardScaler(), CoxElasticNetSelector(cv=5, random_state=0))}


def network(*modalities, fusion):
    """Let an ensemble of three networks read some modalities; ten, the default, would take longer."""
    transformer = make_modality_transformer(**{name: prepare[name] for name in modalities}, remainder="drop")
    return make_pipeline(transformer, FusionSurvivalAnalysis(fusion=fusion, n_estimators=3, random_state=0))


fused = network("wsi", "rna", fusion=CrossModalAttention())

# %%
# Which modality carries the prediction?
# --------------------------------------
# The blocks of each modality are shuffled among the test patients of each fold. With three folds the interval is wide:
# that is what three folds know.

importance = modality_importance(fused, X, y, cv=folds, n_repeats=3, random_state=0)
print("Drop of the C-index when a modality is shuffled:\n")
print(importance.table.round(3).to_string())

# %%
# Was the fusion worth it?
# ------------------------
# The rival is the best single modality, on the same folds. What counts is what is left of the gain at the lower end of
# its interval. A modality may be worth much to a model that reads it, and the model hardly more than one without: the
# table above and this one answer different questions.

models = {"fused": fused, "wsi": network("wsi", fusion=Mean()), "rna": network("rna", fusion=Mean())}
comparison = compare_models(models, X, y, folds, scoring="harrell")
audit = fusion_audit(comparison, "fused", random_state=0)
print(f"\nThe fused model against the best single one, {audit.single}:\n")
print(audit.tests.round(3).to_string())
print("\nThe patients whose rank changes most:\n")
print(audit.reranked.head(5).round(2).to_string())

# %%
# Which genes drive the risk?
# ---------------------------
# Integrated gradients on the test patients of each fold. The column ``top_k`` is the share of folds that agree.

genes = feature_importance(fused, X, y, cv=folds, modality="rna", top_k=4)
print("\nGenes by integrated gradients; the four that matter are marked:\n")
print(genes.table.head(8).assign(matters=lambda table: table.index.isin(cohort.genes)).round(2).to_string())

# %%
# Can the probabilities be trusted?
# ---------------------------------
# The right order of patients is one thing, the right probability another. Probabilities of different folds have the
# same scale, so that all patients are shown together, each predicted by the model that has not seen her.

survival = comparison.survival["fused"]
probability = pd.Series({patient: float(curve(24)) for (_, patient), curve in survival.items()}).loc[X.index]
calibration = CalibrationDisplay.from_predictions(y, probability, time=24, time_unit="months")
print("\nPredicted and observed survival at 24 months:\n")
print(calibration.table.round(2).to_string())

# %%
# Where does it look?
# -------------------
# Attention needs no test: it is what the model did. Left how it weighs the modalities of patients who did not train it,
# right the tiles of one of them, with those outlined that carry the signal. Attention says where a model looks, not
# that looking there helps; the first two tables say that.

train, test = next(folds.split(X, y))
fused.fit(X.iloc[train], y[train])
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
ModalityAttentionDisplay.from_estimator(fused, X.iloc[test], ax=axes[0])
patient = X.index[test][fused.predict(X.iloc[test]).argmax()]
marks = {"highlight": cohort.witness_tiles[patient], "highlight_label": "tiles with signal"}
TileAttentionDisplay.from_estimator(fused, X, patient=patient, **marks, ax=axes[1])

# %%
# Importance, audit and genes
# ---------------------------

figure, axes = plt.subplots(1, 3, figsize=(10.5, 4), layout="constrained", width_ratios=[1, 1, 1])
importance.plot(ax=axes[0])
audit.plot(ax=axes[1])
genes.plot(n_features=10, ax=axes[2])
