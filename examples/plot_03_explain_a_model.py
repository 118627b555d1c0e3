"""
What does a fused model rest on?
================================

A fused model predicts a bit better than the others, or seems to. Before anyone believes it, four questions want an
answer: **which modality carries the prediction, was the fusion worth it, which genes drive the risk, and can the
probabilities be trusted?** All answers come from patients that the model was not trained on.

Run it with ``python examples/plot_03_explain_a_model.py --output demo_output``. It takes less than a minute on two
cores and downloads nothing.
"""  # noqa: D400

# %%
import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import CrossModalAttention, Mean
from sksurv_mmf.inspection import CalibrationDisplay, feature_importance, fusion_audit, modality_importance
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import CoxElasticNetSelector, make_modality_transformer

parser = argparse.ArgumentParser(description="Explain a fused survival model.")
parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the figures")
options = parser.parse_args()
options.output.mkdir(parents=True, exist_ok=True)
pd.set_option("display.width", 120)

# %%
# A cohort whose truth is known
# -----------------------------
# Four of 40 genes matter, and so do a few tiles of each slide. The image has the larger effect on the hazard, but is
# harder to read.

cohort = make_multimodal_survival(
    n_patients=300, n_genes=40, n_informative_genes=4, n_tiles=(10, 20), image_effect=1.5, random_state=0
)
X, y = cohort.X, cohort.y
folds = SurvivalKFold(4, shuffle=True, random_state=0)

prepare = {"wsi": "passthrough", "rna": make_pipeline(StandardScaler(), CoxElasticNetSelector(cv=5, random_state=0))}


def network(*modalities, fusion):
    """Let an ensemble of five networks read some modalities; ten, the default, would take twice the time."""
    transformer = make_modality_transformer(**{name: prepare[name] for name in modalities}, remainder="drop")
    return make_pipeline(transformer, FusionSurvivalAnalysis(fusion=fusion, n_estimators=5, random_state=0))


fused = network("wsi", "rna", fusion=CrossModalAttention())

# %%
# Which modality carries the prediction?
# --------------------------------------
# The blocks of each modality are shuffled among the test patients of each fold. With four folds the interval is wide:
# that is what four folds know.

importance = modality_importance(fused, X, y, cv=folds, n_repeats=5, random_state=0, n_jobs=2)
print("Drop of the C-index when a modality is shuffled:\n")
print(importance.table.round(3).to_string())

# %%
# Was the fusion worth it?
# ------------------------
# The rival is the best single modality, on the same folds. What counts is what is left of the gain at the lower end of
# its interval. A modality may be worth much to a model that reads it, and the model hardly more than one without: the
# table above and this one answer different questions.

models = {"fused": fused, "wsi": network("wsi", fusion=Mean()), "rna": network("rna", fusion=Mean())}
comparison = compare_models(models, X, y, folds, scoring="harrell", n_jobs=2)
audit = fusion_audit(comparison, "fused", random_state=0)
print(f"\nThe fused model against the best single one, {audit.single}:\n")
print(audit.tests.round(3).to_string())
print("\nThe patients whose rank changes most:\n")
print(audit.reranked.head(5).round(2).to_string())

# %%
# Which genes drive the risk?
# ---------------------------
# Integrated gradients on the test patients of each fold. The column ``top_k`` is the share of folds that agree.

genes = feature_importance(fused, X, y, cv=folds, modality="rna", top_k=4, n_jobs=2)
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
# The figures
# -----------

figures = {
    "modality_importance": importance.plot().figure_,
    "fusion_audit": audit.plot().figure_,
    "gene_importance": genes.plot(n_features=10).figure_,
    "calibration": calibration.figure_,
}
print("\nFigures:")
for name, figure in figures.items():
    path = options.output / f"explain_{name}.png"
    figure.savefig(path, dpi=200)
    print(f"  {path}")
