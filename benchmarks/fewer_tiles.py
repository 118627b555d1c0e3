"""What `max_tiles` and `precision` do to predictions, where few tiles of a bag tell anything.

Run with ``python benchmarks/fewer_tiles.py``. Cohorts of images alone are simulated: 300 patients with 500 tiles of 64
features, of which one in fifty or one in five carries the signal. An ensemble is trained on two thirds of the patients;
concordance is that of the others. Their risks are compared with those of all tiles in float32 by rank correlation.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival

WAYS = {
    "all tiles": {},
    "max_tiles=250": {"max_tiles": 250},
    "max_tiles=100": {"max_tiles": 100},
    "max_tiles=25": {"max_tiles": 25},
    "bfloat16": {"precision": "bfloat16"},
    "another seed": {"random_state": 1},
}


def fit(cohort, half, params, n_estimators):
    """Risks and concordance of the patients who were left out, and CPU seconds of the fit."""
    settings = {"n_estimators": n_estimators, "random_state": 0, "device": "cpu", **params}
    model = FusionSurvivalAnalysis(**settings)
    X = cohort.X.filter(like="wsi")
    start = time.process_time()
    model.fit(X[half], cohort.y[half])
    seconds = time.process_time() - start
    return model.predict(X[~half]), model.score(X[~half], cohort.y[~half]), seconds


def main():
    """Measure and print a table for each share of witnesses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=5)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--witnesses", type=float, nargs="+", default=[0.02, 0.2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for rate in args.witnesses:
        rows = []
        for seed in tqdm(range(args.cohorts)):
            cohort = make_multimodal_survival(
                n_patients=300, n_genes=10, n_tiles=500, n_tile_features=64, witness_rate=rate, random_state=seed
            )
            half = np.arange(300) < 200
            found = {way: fit(cohort, half, params, args.networks) for way, params in WAYS.items()}
            usual = found["all tiles"][0]
            rows += [(way, c, s, spearmanr(usual, risk).statistic) for way, (risk, c, s) in found.items()]
        table = pd.DataFrame(rows, columns=["way", "C", "seconds", "correlation"])
        print(
            f"witness tiles: {rate:.0%}\n{table.groupby('way', sort=False).agg(['mean', 'std']).round(3).to_string()}"
        )


if __name__ == "__main__":
    main()
