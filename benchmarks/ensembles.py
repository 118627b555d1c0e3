"""What ten networks cost: the fit of one network beside that of ten, the same number of epochs each.

Run with ``python benchmarks/ensembles.py``. A cohort of the size of LUAD is simulated: 434 patients, about five image
regions of 113 features each, 1,555 genes. For each part of the package, CPU seconds of fits that alternate, the least
of several rounds, and their ratios to one network.
"""

import argparse
import time

import pandas as pd
import torch
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import MLP, DeepAttnMISL, MeanMIL, TileTokens, TransformerMIL
from sksurv_mmf.fusions import Bilinear, CoAttention, Concat, GatedAttention, Mean, SurvPath
from sksurv_mmf.objectives import CoxPH, Weibull

PARTS = {
    "default": {},
    "Mean": {"fusion": Mean()},
    "Concat": {"fusion": Concat()},
    "GatedAttention": {"fusion": GatedAttention()},
    "Bilinear": {"fusion": Bilinear()},
    "SurvPath, TileTokens": {"fusion": SurvPath(), "encoders": {"wsi": TileTokens()}},
    "CoAttention, TileTokens": {"fusion": CoAttention(), "encoders": {"wsi": TileTokens()}},
    "MeanMIL": {"encoders": {"wsi": MeanMIL(32)}},
    "DeepAttnMISL": {"encoders": {"wsi": DeepAttnMISL()}},
    "TransformerMIL": {"encoders": {"wsi": TransformerMIL(32)}},
    "MLP": {"encoders": {"rna": MLP()}},
    "CoxPH": {"objective": CoxPH()},
    "Weibull": {"objective": Weibull()},
}
WAYS = {"one": {"n_estimators": 1}, "ten": {"n_estimators": 10}}


def seconds(cohort, params, epochs):
    """CPU seconds of a fit."""
    model = FusionSurvivalAnalysis(max_epochs=epochs, average_epochs=False, random_state=0, device="cpu", **params)
    start = time.process_time()
    model.fit(cohort.X, cohort.y)
    return time.process_time() - start


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patients", type=int, default=434)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cohort = make_multimodal_survival(
        n_patients=args.patients, n_genes=1555, n_tiles=(3, 7), n_tile_features=113, random_state=0
    )
    rows = {}
    for part in tqdm(args.parts):
        found = [
            [seconds(cohort, {**PARTS[part], **way}, args.epochs) for way in WAYS.values()] for _ in range(args.rounds)
        ]
        rows[part] = pd.DataFrame(found, columns=list(WAYS)).min()
    table = pd.DataFrame(rows).T
    table["ten / one"] = table["ten"] / table["one"]
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
