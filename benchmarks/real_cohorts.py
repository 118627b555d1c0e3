"""Fusion networks and the baselines that they have to beat, on four real cohorts.

Run with ``python benchmarks/real_cohorts.py``. Every model is fitted in the same repeated five folds; what is learnt or
tuned from patients is learnt inside the training fold. Finished fits are kept in the output folder, so that the same
command goes on after an interruption. Empty the folder when you have changed code that the models use. Tables are
written cohort by cohort. The breast cancer cohort comes with scikit-survival; the others lie in the folder ``--data``,
and one that is not there is left out.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort, load_lung_mif, load_tcga_nsclc
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer
from sksurv_mmf.presets import baselines

mpl.use("agg")

COHORTS = {
    "breast": lambda folder: load_breast_cancer_cohort(),
    "lung_mif": load_lung_mif,
    "LUAD": lambda folder: load_tcga_nsclc(folder, cohort="LUAD"),
    "LUSC": lambda folder: load_tcga_nsclc(folder, cohort="LUSC"),
}
REFERENCE = "CM-MMF"
SEARCH = {"fuse__lr": [0.0003, 0.001], "fuse__max_epochs": [10, 30]}


def prepare(modalities):
    """The preparation of the baselines, except that bags remain bags."""
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    steps = {
        "wsi": BagTransformer(make_pipeline(impute, StandardScaler())),
        "rna": make_pipeline(impute, QuantileTransformer(n_quantiles=10), StandardScaler()),
        "clinical": make_pipeline(impute, StandardScaler()),
    }
    return make_modality_transformer(**{name: step for name, step in steps.items() if name in modalities})


def network(modalities, fusion):
    """A network with the default settings."""
    fuse = FusionSurvivalAnalysis(fusion=fusion, device="cpu", random_state=0)
    return Pipeline([("prepare", prepare(modalities)), ("fuse", fuse)])


def make_models(modalities):
    """The baselines and the networks for the modalities of a cohort."""
    names = {kind: name if name in modalities else None for kind, name in [("image", "wsi"), ("rna", "rna")]}
    return {
        **baselines(**names, handle_missing="ignore", random_state=0),
        REFERENCE: network(modalities, CrossModalAttention()),
        "Concatenation": network(modalities, Concat()),
        "Mean vector": network(modalities, Mean()),
        f"{REFERENCE}, tuned": GridSearchCV(network(modalities, CrossModalAttention()), SEARCH, cv=SurvivalKFold(3)),
    }


def run(name, cohort, args):
    """Compare all models on a cohort; write the table, the tests, a report and a figure."""
    start = time.perf_counter()
    folder = args.output / name
    folder.mkdir(parents=True, exist_ok=True)
    n_events = int(cohort.y["event"].sum())
    print(f"\n{name}: {len(cohort.y)} patients, {n_events} events, {', '.join(cohort.modalities)}", flush=True)
    comparison = compare_models(
        make_models(cohort.modalities),
        cohort.X,
        cohort.y,
        RepeatedSurvivalKFold(5, args.repeats, random_state=0),
        scoring=["harrell", "ibs"],
        reference=REFERENCE,
        cache=folder / "fits",
        n_jobs=args.n_jobs,
        random_state=0,
        verbose=True,
    )
    differences = comparison.pairwise("harrell").droplevel("other")[["difference", "t_lower", "t_upper", "t_p_holm"]]
    table = comparison.summary().loc["harrell"].join(differences)
    table["ibs"] = comparison.summary().loc["ibs", "mean"]
    table["core minutes"] = comparison.fits.groupby("model")["seconds"].sum() / 60
    table.round(4).to_csv(folder / "table.csv")
    comparison.fits.to_csv(folder / "fits.csv", index=False)
    comparison.to_html(folder / "report.html", title=name, time_unit="days")
    comparison.plot("harrell").figure_.savefig(folder / "c_index.png", dpi=200)
    print(table.drop(columns=["n_missing"]).round(3).to_string())
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes for this run; tables and figure are in {folder}.")
    write_rst(args.output)


def write_rst(output):
    """The rows of all finished cohorts for the documentation."""
    tables = {name: output / name / "table.csv" for name in COHORTS}
    tables = {name: pd.read_csv(path, index_col=0) for name, path in tables.items() if path.exists()}
    models = dict.fromkeys(model for table in tables.values() for model in table.index)
    lines = [".. csv-table::", f"   :header: model, {', '.join(tables)}", ""]
    for model in models:
        cells = [cell(table.loc[model]) if model in table.index else "" for table in tables.values()]
        lines.append("   " + ", ".join(f'"{text}"' for text in [model, *cells]))
    (output / "tables.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def cell(row):
    """Mean, standard deviation and interval of a C-index."""
    if np.isnan(row["mean"]):
        return "failed"
    return f"{row['mean']:.3f} ± {row['sd']:.3f} ({row.lower:.2f} to {row.upper:.2f})"


def main():
    """Run or resume the cohorts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", nargs="+", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of five folds")
    parser.add_argument("--n-jobs", type=int, default=2, help="fits at the same time")
    parser.add_argument("--data", default="../shared/data", help="folder with tcga_nsclc and lung_mif")
    parser.add_argument("--output", type=Path, default=Path("real_cohorts"))
    args = parser.parse_args()
    for name in args.cohorts:
        try:
            cohort = COHORTS[name](args.data)
        except FileNotFoundError as error:
            print(f"\n{name} is left out: {error}")
            continue
        run(name, cohort, args)


if __name__ == "__main__":
    main()
