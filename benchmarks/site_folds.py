"""C-index over random folds and over folds that keep hospitals together: TCGA lung adenocarcinoma.

Run with ``SKSURV_MMF_DATA=... OMP_NUM_THREADS=1 python benchmarks/site_folds.py``. Sites are the tissue source sites of
the barcodes. Both kinds of folds are shuffled anew in each repetition. "gain" is what random folds show more than those
by site; its interval comes from the repetitions as a whole, because folds of one repetition share patients, and so says
how far the shuffling moves it, not what other patients would.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.base import clone
from sksurv.metrics import concordance_index_censored

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_tcga_nsclc
from sksurv_mmf.model_selection import SurvivalKFold, tissue_source_site
from sksurv_mmf.presets import baselines, super_learner

KINDS = ("random", "by site")
ARGUMENTS = {"image": "wsi", "rna": "rna", "clinical": "clinical"}


def make_models(names, modalities):
    """Unfitted models by name; the default network reads modalities prepared as the preset does it."""
    absent = {argument: None for argument, name in ARGUMENTS.items() if name not in modalities}
    network = FusionSurvivalAnalysis(device="cpu", random_state=0)
    prepared = super_learner(**absent, remainder="drop", handle_missing="ignore", network=network)["fuse"].get_params()[
        "network"
    ]
    models = baselines(**absent, remainder="drop", handle_missing="ignore", random_state=0)
    return {name: prepared if name == "Network" else models[name] for name in names}


def evaluate(model, X, y, groups, args):
    """Rows of kind, repetition, fold and C-index."""
    for seed in range(args.repeats):
        cv = SurvivalKFold(args.splits, shuffle=True, random_state=seed)
        for kind, own in zip(KINDS, (None, groups)):
            for fold, (train, test) in enumerate(cv.split(X, y, own)):
                risk = clone(model).fit(X.iloc[train], y[train]).predict(X.iloc[test])
                c = concordance_index_censored(y["event"][test], y["time"][test], np.asarray(risk))[0]
                yield {"kind": kind, "repeat": seed, "fold": fold, "c_index": c}


def interval(values):
    """Half the width of the 95 % interval of a mean."""
    return t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def main():
    """Compare both kinds of folds for all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=["Ridge Cox", "Network"], help="of the preset baselines, and Network"
    )
    parser.add_argument("--modalities", nargs="+", default=["wsi", "rna", "clinical"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--output", default="site_folds.csv")
    args = parser.parse_args()
    cohort = load_tcga_nsclc(modalities=args.modalities)
    sites = tissue_source_site(cohort.X.index)
    events = pd.Series(cohort.y["event"], sites.to_numpy()).groupby(level=0).agg(["size", "sum"])
    print(f"{len(cohort.X)} patients, {cohort.y['event'].sum()} events, {len(events)} sites")
    print(events.sort_values("size", ascending=False).head(5).to_string())
    rows = []
    for name, model in make_models(args.models, args.modalities).items():
        for row in evaluate(model, cohort.X, cohort.y, sites, args):
            rows.append({"model": name, **row})
            pd.DataFrame(rows).to_csv(args.output, index=False)
        own = pd.DataFrame(rows).query("model == @name")
        means = own.groupby(["kind", "repeat"])["c_index"].mean().unstack("kind")[list(KINDS)]
        means["gain"] = means[KINDS[0]] - means[KINDS[1]]
        for what, values in means.items():
            print(f"{name}, {what}: {values.mean():.3f} +- {interval(values):.3f}", flush=True)


if __name__ == "__main__":
    main()
