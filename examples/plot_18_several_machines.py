"""
How are folds spread over several machines?
===========================================

Cross-validation, grid search and comparisons are many fits that do not wait for each other. **dask hands them to
worker processes, here two of this machine; on a cluster one line differs.** Results are those of one process.

Needs ``pip install 'sksurv_mmf[dask]'``; the page :doc:`/several_machines` has what to know of clusters.
"""  # noqa: D400

# %%
# A cohort that travels light
# ---------------------------
# Bags in memory would travel with every task. Packed into a store they travel as paths; on a cluster the folder is on
# storage that all machines see.

import os
import tempfile
import time

import joblib
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client
from sklearn.model_selection import cross_val_score

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import pack_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.model_selection.dask_backend import DaskBackend

folds = SurvivalKFold(6, shuffle=True, random_state=0)
model = FusionSurvivalAnalysis(n_estimators=2, random_state=0)


def make_cohort(folder):
    """X and y, with a store of the bags in the folder."""
    cohort = make_multimodal_survival(n_patients=100, n_genes=20, n_tiles=(5, 10), random_state=0)
    return cohort.X.assign(wsi__tiles=pack_bags(cohort.X["wsi__tiles"], f"{folder}/store")), cohort.y


# %%
# The fits
# --------
# ``Client("scheduler:8786")`` would reach a cluster. The scorer is the C-index, and writes down which process computed
# it and when. Workers are new processes that read this file: without the line ``if __name__`` each would start workers
# of its own.


def score_and_sign(estimator, X, y):
    """C-index; a line in the file tells process and time."""
    with open(os.environ["FITS"], "a") as file:
        file.write(f"{os.getpid()} {time.time()}\n")
    return estimator.score(X, y)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FITS"] = f"{folder}/fits"
        X, y = make_cohort(folder)
        with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
            # Every worker gets one copy of the table; without `scatter` it would come with each of the six tasks.
            with joblib.parallel_config(backend=DaskBackend(client, scatter=[X, y])):
                start = time.time()
                spread = cross_val_score(model, X, y, cv=folds, scoring=score_and_sign)
        fits = np.loadtxt(os.environ["FITS"])
        alone = cross_val_score(model, X, y, cv=folds)
    print("C-index on two workers:", spread.round(3))
    print("in this process:       ", alone.round(3))

# %%
# The picture
# -----------
# Six folds, each a bar from the end of the worker's last fit to the end of its own. The first ones are long: workers
# import torch then.

if __name__ == "__main__":
    figure, ax = plt.subplots(figsize=(6, 1.8), layout="constrained")
    for row, worker in enumerate(np.unique(fits[:, 0])):
        ends = np.sort(fits[fits[:, 0] == worker, 1]) - start
        starts = np.append(0, ends[:-1])
        ax.barh(row, ends - starts, left=starts, color="#0072B2", edgecolor="white")
    ax.set(yticks=[0, 1], yticklabels=["worker 1", "worker 2"], xlabel="Seconds since the start")
    ax.spines[["top", "right"]].set_visible(False)
