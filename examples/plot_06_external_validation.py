"""
Another hospital's patients
===========================

A model was chosen by cross-validation at one hospital. Another hospital asks: **does it order our patients, are its
probabilities right here, and would decisions by it do more good than harm?** These are three questions, and the
answers differ.

The script takes less than a minute on two cores, downloads nothing and leaves its pictures and a page in
``demo_output``.
"""  # noqa: D400

# %%
# Two hospitals
# -------------
# The cohort is simulated, with image and RNA as tables. The first hospital trains the model. At the second one, a new
# treatment lets patients live 1.6 times as long; who dies first depends on image and RNA as before. A Cox model of the
# RNA alone is the rival: the image has to be worth its scanner.

from pathlib import Path

from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.evaluation import recalibrate, validate

cohort = make_multimodal_survival(
    n_patients=900, n_genes=20, n_informative_genes=4, n_tile_features=20, image_as="table", random_state=0
)
X, y = cohort.X, cohort.y.copy()
home, away, later = slice(300), slice(300, 600), slice(600, None)
y["time"][300:] *= 1.6

rna = [name for name in X if name.startswith("rna__")]
model = FusionSurvivalAnalysis(random_state=0).fit(X[home], y[home])
rival = CoxPHSurvivalAnalysis(alpha=1).fit(X.loc[X.index[home], rna], y[home])

# %%
# Three questions, one call
# -------------------------
# Risk groups have cut-offs that were learnt at the first hospital: with ``X_train`` and ``y_train``, from risks of
# patients whom five clones of the model had not seen. Intervals come from drawing the second hospital's patients anew.

settings = {"rivals": {"RNA alone": rival}, "name": "Fused", "time_unit": "months", "random_state": 0}
settings |= {"n_bootstrap": 200, "X_train": X[home], "y_train": y[home]}
validation = validate(model, X[away], y[away], horizons=[24, 48], **settings)
shown = ["Harrell's C-index", "AUC at 48 months", "Scaled Brier score at 48 months"]
shown += ["Observed/expected at 48 months", "Slope at 48 months"]
print(validation.summary().loc[shown, ["Fused", "RNA alone"]].to_string())

figure = validation.plot()
Path("demo_output").mkdir(exist_ok=True)
figure.savefig("demo_output/external_validation.png", dpi=150)

# %%
# The order of patients carries over, and the risk groups part. But of the events that the model expects, six in ten
# come: the calibration curves lie below the diagonal, a scaled Brier score of about 0 says that one curve for everybody
# would do as well, and by its decision curve the model cries wolf. At higher thresholds it is hardly better to treat by
# it than to treat nobody.
#
# One number mends that
# ---------------------
# ``recalibrate`` multiplies all hazards by one number, which 300 patients tell. Patients who come later judge whether
# it helped; those by whom it was learnt cannot.

recalibrated = recalibrate(model, X[away], y[away], horizon=48)
print("\n", recalibrated.corrections_.round(2).to_string())
settings = {"rivals": {"Recalibrated": recalibrated}, "name": "As it came", "time_unit": "months", "random_state": 0}
again = validate(model, X[later], y[later], horizons=48, n_bootstrap=200, cutoffs=validation.cutoffs, **settings)
print("\n", again.summary().loc[shown].drop(columns="Kaplan-Meier").to_string())
again.plot().savefig("demo_output/recalibrated.png", dpi=150)

# %%
# The order, and so the C-index, is the same, and the level is right now. The slope is not 1: an ensemble is cautious,
# and patients differ more than it says. ``method="slope"`` mends that, too, if there are events enough. What the right
# level is worth is in the decision curves:

benefit = again.decisions[again.decisions["threshold"].round(2).isin([0.2, 0.3, 0.4, 0.5, 0.6])]
table = benefit.pivot(index="threshold", columns="model", values="net_benefit")
print("\nNet benefit at 48 months, in true positives per patient:\n")
print(table.round(3).to_string())

# %%
# Everything on one page, for whoever has to decide.

page = again.to_html("demo_output/external_validation.html", title="A model of another hospital", overwrite=True)
print(f"\nSee {page}.")
