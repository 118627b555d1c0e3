"""
From four files to a report
===========================

Expression from UCSC Xena, clinical data from cBioPortal, a folder of slide features from CLAM, and a table that another
hospital has sent: **what is the fused model worth, and does it hold elsewhere?** The answer is a page of HTML that
reads like a paper's supplement: who the patients were, what was done, what came out, and what the authors have yet to
write.

The script takes about a minute on two cores, downloads nothing and leaves its page in ``demo_output``. The files are
simulated, in the shapes of real downloads, with normal tissue among the samples, two slides of some patients, none of
others, and outcomes that are not known.
"""  # noqa: D400

import pandas as pd

from sksurv_mmf import join_modalities, read_bags
from sksurv_mmf.datasets import write_portal_files
from sksurv_mmf.evaluation import validate
from sksurv_mmf.model_selection import compare_models, tissue_source_site
from sksurv_mmf.portals import read_cohort
from sksurv_mmf.presets import baselines, super_learner
from sksurv_mmf.report import study_report

# %%
# Read the files. A model of image, RNA and clinical data is compared with simpler ones, on folds that keep the patients
# of a hospital together.

files = write_portal_files("demo_output/portal")
clinical = pd.read_csv(files.clinical, sep="\t", comment="#", index_col="PATIENT_ID")[["AGE", "GRADE"]]
modalities = {"wsi": read_bags(files.features), "rna": files.expression, "clinical": clinical}
X, y, cohort = read_cohort(modalities, files.clinical, how="outer")
cohort.plot()
models = {"Fused": super_learner(random_state=0), **baselines(random_state=0)}
models = {name: models[name] for name in ("Kaplan-Meier", "Clinical Cox", "Ridge Cox", "Fused")}
asked = {"horizons": [24, 48], "random_state": 0}
comparison = compare_models(models, X, y, 3, groups=tissue_source_site, reference="Clinical Cox", **asked)

# %%
# The other hospital has no slides. The models that read tables and bags alike predict for its patients all the same.

other = pd.read_csv(files.other_hospital, index_col="patient")
outcome, small = other[["event", "months"]], other[["AGE", "GRADE"]]
X_new = join_modalities({"rna": other.drop(columns=[*outcome, *small]), "clinical": small})
fused, rivals = models["Fused"].fit(X, y), {"Clinical Cox": models["Clinical Cox"].fit(X, y)}
validation = validate(fused, X_new, outcome, rivals=rivals, X_train=X, time_unit="months", **asked)

# %%
# Everything on one page.

shown = {"by": tissue_source_site(X.index), "time_unit": "months", "title": "Image, RNA and clinical data for survival"}
parts = {"cohort": cohort, "validation": validation, "figures": "demo_output/portal_figures", "overwrite": True}
print(f"See {study_report('demo_output/portal_study.html', comparison, X, **parts, **shown)}.")
