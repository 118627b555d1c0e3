"""C-index against the number of training patients: the default network, ridge Cox, a forest, gradient boosting.

Run with ``python benchmarks/growing_cohorts.py``. Simulated patients have an image and RNA, each a table of 20 columns
of which four matter, and a hazard with an interaction of the two, which no linear model can express. Cohorts of all
sizes are parts of one population, and are tested on the same patients, whom no model has seen. "Truth" is the C-index
of the true risk. Written are ``scores.csv`` and ``c_against_n.png``, which shows it.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from sksurv.metrics import concordance_index_censored
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.presets import baselines

mpl.use("agg")
from matplotlib import pyplot as plt

NETWORK, TRUTH = "CM-MMF", "Truth"
RIVALS = ("Ridge Cox", "Random survival forest", "Gradient boosting")


def make_models(n_patients, args):
    """Unfitted models by name."""
    # Of two tables, that of the image takes the place that genes have among the baselines.
    rivals = baselines(image=None, rna="wsi", clinical="rna", random_state=0)
    network = FusionSurvivalAnalysis(device="cpu", random_state=0)
    names = RIVALS if n_patients <= args.trees_up_to else RIVALS[:1]
    return {NETWORK: network, **{name: rivals[name] for name in names}}


def simulate(seed, args):
    """A population: training patients first, test patients last."""
    return make_multimodal_survival(
        n_patients=max(args.patients) + args.test_patients,
        n_genes=20,
        n_informative_genes=4,
        n_tile_features=20,
        image_as="table",
        interaction=args.interaction,
        random_state=seed,
    )


def c_index(y, risk):
    return concordance_index_censored(y["event"], y["time"], np.asarray(risk))[0]


def evaluate(seed, args, bar):
    """Rows of seed, patients, model, C-index and CPU seconds of the fit."""
    cohort = simulate(seed, args)
    X, y = cohort.X.iloc[-args.test_patients :], cohort.y[-args.test_patients :]
    yield {"cohort": seed, "model": TRUTH, "c_index": c_index(y, cohort.risk.iloc[-args.test_patients :])}
    for n in args.patients:
        for name, model in make_models(n, args).items():
            start = time.process_time()
            model.fit(cohort.X.iloc[:n], cohort.y[:n])
            seconds = time.process_time() - start
            row = {"cohort": seed, "patients": n, "model": name, "c_index": c_index(y, model.predict(X))}
            bar.update()
            yield row | {"seconds": seconds}


def draw(scores, path):
    """C-index against patients, one line per model."""
    _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    fitted = scores[scores["model"] != TRUTH]
    for (name, rows), marker in zip(fitted.groupby("model", sort=False), "osD^"):
        by_size = rows.groupby("patients")["c_index"].mean()
        ax.plot(by_size.index, by_size, marker=marker, label=name)
    ax.axhline(scores.loc[scores["model"] == TRUTH, "c_index"].mean(), color="black", ls=":", label="True risk")
    ax.set(xscale="log", xlabel="Training patients", ylabel="C-index of test patients")
    ax.set_xticks(sorted(fitted["patients"].unique()), [f"{int(n):,}" for n in sorted(fitted["patients"].unique())])
    ax.minorticks_off()
    ax.legend(frameon=False)
    ax.figure.savefig(path, dpi=200)


def main():
    """Fit all models to cohorts of all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, nargs="+", default=[200, 500, 1000, 5000, 20000])
    parser.add_argument("--cohorts", type=int, default=2)
    parser.add_argument("--test-patients", type=int, default=2000)
    parser.add_argument("--interaction", type=float, default=1.0, help="log hazard per product of both scores")
    parser.add_argument(
        "--trees-up-to", type=int, default=5000, help="patients; time of forests grows with their square"
    )
    parser.add_argument("--output", type=Path, default=Path("growing_cohorts"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    n_fits = args.cohorts * sum(len(make_models(n, args)) for n in args.patients)
    with tqdm(total=n_fits, desc="training", unit="fit") as bar:
        for seed in range(args.cohorts):
            for row in evaluate(seed, args, bar):
                rows.append(row)
                pd.DataFrame(rows).to_csv(args.output / "scores.csv", index=False)
    scores = pd.DataFrame(rows)
    draw(scores, args.output / "c_against_n.png")
    for value in ("c_index", "seconds"):
        print(f"\n{value}")
        print(scores.pivot_table(index="patients", columns="model", values=value, sort=False).round(4).to_string())
    print(f"\n{TRUTH}: {scores.loc[scores['model'] == TRUTH, 'c_index'].mean():.4f}")


if __name__ == "__main__":
    main()
