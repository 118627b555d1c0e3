"""
May a decision rest on this probability?
========================================

"Six of ten patients like you live three years from now." Before anyone says so, three things want a look: **is the
probability right, how far does it depend on chance in training, and would acting on it do more good than harm?** A
C-index answers none of them.
"""  # noqa: D400

# %%
# A model and new patients
# ------------------------
# 300 simulated patients train, 500 judge. A Cox model of the genes alone is the rival.

import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.evaluation import DecisionCurveDisplay
from sksurv_mmf.inspection import CalibrationDisplay

genes = {"n_genes": 20, "n_informative_genes": 4}
cohort = make_multimodal_survival(n_patients=800, n_tiles=(10, 20), image_effect=1.3, **genes, random_state=0)
X, y = cohort.X[:300], cohort.y[:300]
X_new, y_new = cohort.X[300:], cohort.y[300:]
rna = [name for name in X if name.startswith("rna__")]
model = FusionSurvivalAnalysis(random_state=0).fit(X, y)
rival = make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1)).fit(X[rna], y)

# %%
# Probabilities at times of interest
# ----------------------------------
# One row per patient and time. ``lower`` and ``upper`` hold the middle 95 % of the ensemble's networks: how much the
# probability owes to which patients were seen, and to chance in training. They are no interval for the truth.

table = model.predict_survival_table(X_new, [12, 36])
print(table.head(6).round(2).to_string())

# %%
# Is it right?
# ------------
# Patients are grouped by their prediction, and each group's mean is compared with what came to pass in it. On the
# diagonal, of those who were given 60 % six of ten survive. Groups of a hundred patients have intervals as wide as
# these; with twenty, nothing can be said.

calibration = CalibrationDisplay.from_estimator(model, X_new, y_new, time=36, time_unit="months")
print("\nPredicted and observed survival at 36 months:\n")
print(calibration.table.round(2).to_string())

# %%
# Would acting on it do good?
# ---------------------------
# Suppose that patients get a harsher treatment from some probability of dying within 36 months on. A threshold of 30 %
# says that seven patients may be treated in vain for three in need. The net benefit counts the true positives per
# patient and takes off the false ones at that rate. A model is worth using where it lies above "all" and "none".

survival = table["survival"].unstack()[36].loc[X_new.index]
rival_survival = pd.Series([curve(36) for curve in rival.predict_survival_function(X_new[rna])], X_new.index)
decisions = DecisionCurveDisplay.from_predictions(
    y_new, {"fused": 1 - survival, "Cox of genes": 1 - rival_survival}, horizon=36, time_unit="months"
)
