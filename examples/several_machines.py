"""
Folds on several machines
=========================

Cross-validation, grid search and comparisons are many fits that do not wait for each other. Here two worker processes
of this machine make them; on a cluster only the line that makes the client differs, ``Client("scheduler:8786")``.

Needs ``pip install 'sksurv_mmf[dask]'``. Run it with ``python examples/several_machines.py``.
"""  # noqa: D400

import tempfile

import joblib
import numpy as np
from distributed import Client
from sklearn.model_selection import cross_val_score

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import pack_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.model_selection.dask_backend import DaskBackend


def main(folder):
    """Cross-validate a model with and without workers."""
    cohort = make_multimodal_survival(n_patients=150, n_genes=20, random_state=0)
    # File-backed bags travel as paths. On a cluster the folder is on storage that all machines see.
    X = cohort.X.assign(wsi__tiles=pack_bags(cohort.X["wsi__tiles"], f"{folder}/store"))
    model = FusionSurvivalAnalysis(n_estimators=2, random_state=0)
    folds = SurvivalKFold(4, shuffle=True, random_state=0)

    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        # Every worker gets one copy of the table; without `scatter` it would come with each of the four tasks.
        with joblib.parallel_config(backend=DaskBackend(client, scatter=[X, cohort.y])):
            scores = cross_val_score(model, X, cohort.y, cv=folds)
    print("C-index on two workers:", np.round(scores, 3))
    print("in this process:       ", np.round(cross_val_score(model, X, cohort.y, cv=folds), 3))


# Workers are new processes that read this file: without this line each would start workers of its own.
if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(place)
