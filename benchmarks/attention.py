"""Does attention pay where modalities are not equally good in all patients? CM-MMF against its own mean vector.

Run with ``python benchmarks/attention.py --kind tables --patients 400`` or ``--kind bags``. In 40 % of the simulated
patients one modality is noise and shows it. Every cohort is simulated afresh; its first patients train, the others,
who come from the same population, test. Printed are the test C-index of each model, its difference to the mean vector
with a t-interval over cohorts, and how well attention finds the intact modality of patients with a corrupted one: the
AUC of the weight of the image, which should be high if the RNA is corrupted and low if the image is. The row "Known"
is the risk that follows from the true scores of what is intact, which no model is expected to exceed.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sksurv.metrics import concordance_index_censored
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN
from sksurv_mmf.fusions import CrossModalAttention, Mean
from sksurv_mmf.presets import table2

KINDS = {  # two modalities of 20 features
    "tables": {"image_as": "table"},
    "bags": {"n_tiles": (20, 60)},
}
REFERENCE, CEILING = "Mean vector", "Known"


def make_models(kind, with_table2):
    """Unfitted models by name."""
    params = {"device": "cpu", "random_state": 0}
    models = {
        "CM-MMF": FusionSurvivalAnalysis(fusion=CrossModalAttention(), **params),
        REFERENCE: FusionSurvivalAnalysis(fusion=Mean(), **params),
    }
    if with_table2:
        for name, model in table2(**params).items():
            if kind == "tables":  # the table's encoders expect tiles
                model.set_params(fuse__modalities=[("wsi", SNN()), ("rna", SNN())])
            models[name] = model
    return models


def simulate(seed, args):
    """The training patients of a cohort, and the test patients."""
    cohort = make_multimodal_survival(
        n_patients=args.patients + args.test_patients,
        n_genes=20,
        n_informative_genes=4,
        n_tile_features=20,
        image_effect=args.effect,
        rna_effect=args.effect,
        corrupted=args.corrupted,
        random_state=seed,
        **KINDS[args.kind],
    )
    return cohort, slice(args.patients), slice(args.patients, None)


def evaluate(seed, name, args):
    """C-index of one model on one cohort, the AUC of its attention, and the seconds of the fit."""
    torch.set_num_threads(1)  # the networks are small; the cores work on different fits
    cohort, train, test = simulate(seed, args)
    X, y, start = cohort.X.iloc[test], cohort.y[test], time.perf_counter()
    row = {"cohort": seed, "model": name, "auc": np.nan, "seconds": np.nan}
    if name == CEILING:
        return row | {"c_index": c_index(y, cohort.known_risk[test])}
    model = make_models(args.kind, args.table2)[name].fit(cohort.X.iloc[train], cohort.y[train])
    row["seconds"] = time.perf_counter() - start
    return row | {"c_index": c_index(y, model.predict(X)), "auc": attention_auc(model, X, cohort.corrupted[test])}


def c_index(y, risk):
    return concordance_index_censored(y["event"], y["time"], np.asarray(risk))[0]


def attention_auc(model, X, corrupted):
    """How well the weight of the image tells patients with corrupted RNA from those with a corrupted image."""
    if isinstance(model, Pipeline):
        X, model = model[:-1].transform(X), model[-1]
    if not hasattr(model, "modality_attention"):
        return np.nan
    shown = corrupted.notna().to_numpy()
    return roc_auc_score(corrupted[shown] == "rna", model.modality_attention(X[shown])["wsi"])


def summarise(scores):
    """One row per model: means over cohorts, and the difference to the reference with its interval."""
    c = scores.pivot(index="cohort", columns="model", values="c_index")[scores["model"].unique()]
    differences = c.sub(c[REFERENCE], axis=0)
    margin = stats.t.ppf(0.975, len(c) - 1) * differences.sem()
    table = pd.DataFrame({"C": c.mean(), "difference": differences.mean()})
    table["lower"], table["upper"] = table["difference"] - margin, table["difference"] + margin
    table.loc[REFERENCE, ["difference", "lower", "upper"]] = np.nan
    by_model = scores.groupby("model")
    return table.assign(**{"AUC of attention": by_model["auc"].mean(), "seconds": by_model["seconds"].mean()})


def main():
    """Fit all models on all cohorts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(KINDS), default="tables", help="what the image is")
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--patients", type=int, default=400, help="training patients of a cohort")
    parser.add_argument("--test-patients", type=int, default=2000)
    parser.add_argument("--corrupted", type=float, default=0.4, help="share of patients with a corrupted modality")
    parser.add_argument("--effect", type=float, default=1.25, help="log hazard ratio per standard deviation of a score")
    parser.add_argument("--table2", action="store_true", help="also the four variants of presets.table2")
    parser.add_argument("--jobs", type=int, default=2, help="fits at the same time")
    parser.add_argument("--output", help="CSV file for the scores of each cohort")
    args = parser.parse_args()
    if args.cohorts < 2:
        parser.error("--cohorts must be at least 2, because an interval over cohorts is printed.")
    names = [*make_models(args.kind, args.table2), CEILING]
    tasks = [(seed, name) for seed in range(args.cohorts) for name in names]
    results = Parallel(args.jobs, return_as="generator")(delayed(evaluate)(*task, args) for task in tasks)
    scores = pd.DataFrame(tqdm(results, total=len(tasks), desc="training", unit="fit"))
    if args.output:
        scores.to_csv(args.output, index=False)
    print(f"{args.cohorts} cohorts, {args.kind}, {args.patients} patients for training; test C-index")
    print(summarise(scores).round(4).to_string(na_rep=""))


if __name__ == "__main__":
    main()
