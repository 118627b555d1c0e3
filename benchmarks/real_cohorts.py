"""Fusion networks and the baselines that they have to beat, on four real cohorts.

Run with ``python benchmarks/real_cohorts.py``. Every model is fitted in the same repeated five folds, for each of
several seeds; what is learnt or tuned from patients is learnt inside the training fold. Finished fits are kept in the
output folder, so that the same command goes on after an interruption. Empty the folder when you have changed code that
the models use. Tables are written cohort by cohort. The breast cancer cohort comes with scikit-survival; the others lie
in the folder ``--data``, and one that is not there is left out.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort, load_lung_mif, load_tcga_nsclc
from sksurv_mmf.fusions import Bilinear, Concat, GatedAttention, Mean
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, compare_models
from sksurv_mmf.objectives import CoxPH, Weibull
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer
from sksurv_mmf.presets import baselines, paper_protocol, super_learner, table1

mpl.use("agg")

COHORTS = {
    "breast": lambda folder: load_breast_cancer_cohort(),
    "lung_mif": load_lung_mif,
    "LUAD": lambda folder: load_tcga_nsclc(folder, cohort="LUAD"),
    "LUSC": lambda folder: load_tcga_nsclc(folder, cohort="LUSC"),
}
REFERENCE = "Ridge Cox"
SETS = ("baselines", "default", "fusions", "objectives", "single", "super", "paper")


def prepare(modalities):
    """The preparation of the baselines, except that bags remain bags."""
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    steps = {
        "wsi": BagTransformer(make_pipeline(impute, StandardScaler())),
        "rna": make_pipeline(impute, QuantileTransformer(n_quantiles=10), StandardScaler()),
        "clinical": make_pipeline(impute, StandardScaler()),
    }
    return make_modality_transformer(**{name: step for name, step in steps.items() if name in modalities})


def network(modalities, **params):
    """A network with the default settings, but for `params`."""
    fuse = FusionSurvivalAnalysis(**{"device": "cpu", "random_state": 0, **params})
    return Pipeline([("prepare", prepare(modalities)), ("fuse", fuse)])


def as_in_the_paper(modalities):
    """The network of the paper, with encoders of the published widths, for whatever modalities there are."""
    model = table1()["CM-MMF"][-1]
    published = dict(model.modalities)
    encoders = [(name, clone(published["wsi" if name == "wsi" else "rna"])) for name in modalities]
    return network(modalities, fusion=model.fusion, **paper_protocol()).set_params(fuse__modalities=encoders)


def make_models(modalities, sets):
    """The baselines and the networks for the modalities of a cohort."""
    names = {kind: name if name in modalities else None for kind, name in [("image", "wsi"), ("rna", "rna")]}
    settings = {**names, "handle_missing": "ignore", "random_state": 0}
    models = {
        "baselines": lambda: baselines(**settings),
        "default": lambda: {"CM-MMF": network(modalities)},
        "fusions": lambda: {
            "Mean vector": network(modalities, fusion=Mean()),
            "Concatenation": network(modalities, fusion=Concat()),
            "Gated attention": network(modalities, fusion=GatedAttention()),
            "Bilinear": network(modalities, fusion=Bilinear()),
        },
        "objectives": lambda: {
            "CM-MMF, Cox": network(modalities, objective=CoxPH()),
            "CM-MMF, Weibull": network(modalities, objective=Weibull()),
        },
        # Several, for what one of them scores is luck of its seed.
        "single": lambda: {
            f"CM-MMF, single network {seed}": network(modalities, n_estimators=1, random_state=seed)
            for seed in range(5)
        },
        "super": lambda: {"Super learner": super_learner(**settings)},
        "paper": lambda: {"CM-MMF, paper": as_in_the_paper(modalities)},
    }
    return {name: model for one in SETS if one in sets for name, model in models[one]().items()}


def calibration_slope(comparison, model):
    """Coefficient of a Cox model of log(-log S), S the held-out survival at the median event time; 1 is ideal."""
    event, time = (comparison.y[name] for name in comparison.y.dtype.names)
    at = np.median(time[event])
    rows, values = [], []
    for (_, test), prediction in zip(comparison.folds, comparison._predictions[model]):
        if isinstance(prediction.curves, str):
            return np.nan
        rows.append(test)
        values.append([curve(at) for curve in prediction.curves])
    survival = np.clip(np.concatenate(values), 1e-6, 1 - 1e-6)
    covariate = np.log(-np.log(survival)).reshape(-1, 1)
    if np.ptp(covariate) < 1e-9:
        return np.nan
    return float(CoxPHSurvivalAnalysis().fit(covariate, comparison.y[np.concatenate(rows)]).coef_[0])


def run(name, cohort, seed, args):
    """Compare models on the folds of a seed; write the table, the tests, a report and a figure."""
    start = time.perf_counter()
    folder = args.output / name / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    n_events = int(cohort.y["event"].sum())
    title = f"{name}, seed {seed}: {len(cohort.y)} patients, {n_events} events, {', '.join(cohort.modalities)}"
    print(f"\n{title}", flush=True)
    comparison = compare_models(
        make_models(cohort.modalities, args.models),
        cohort.X,
        cohort.y,
        RepeatedSurvivalKFold(5, args.repeats, random_state=seed),
        scoring=["harrell", "uno", "ibs"],
        reference=REFERENCE if "baselines" in args.models else None,
        cache=folder / "fits",
        n_jobs=args.n_jobs,
        random_state=0,
        verbose=args.verbose,
    )
    summary = comparison.summary()
    table = pd.DataFrame({score: summary.loc[score, "mean"] for score in ("harrell", "uno", "ibs")})
    table["sd"] = summary.loc["harrell", "sd"]
    table["slope"] = [calibration_slope(comparison, model) for model in table.index]
    if comparison.reference is not None:
        for score in ("harrell", "ibs"):
            pairs = comparison.pairwise(score).droplevel("other")
            for column in ("difference", "t_lower", "t_upper"):
                table[f"{score}_{column}"] = pairs[column]
    table["seconds"] = comparison.fits.groupby("model")["seconds"].mean()
    table.to_csv(folder / "table.csv")
    comparison.scores.to_csv(folder / "scores.csv", index=False)
    comparison.to_html(folder / "report.html", title=title, time_unit="days")
    comparison.plot("harrell").figure_.savefig(folder / "c_index.png", dpi=200)
    print(table[["harrell", "sd", "uno", "ibs", "slope", "seconds"]].round(3).to_string())
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes for this run.", flush=True)
    write_tables(args.output)


def read_tables(output):
    """All finished tables, with the levels cohort, seed and model."""
    paths = sorted(output.glob("*/seed*/table.csv"))
    tables = {
        (path.parts[-3], int(path.parts[-2].removeprefix("seed"))): pd.read_csv(path, index_col=0) for path in paths
    }
    return pd.concat(tables, names=["cohort", "seed", "model"])


def write_tables(output):
    """Means over the seeds, by cohort and over the cohorts, for the documentation."""
    means = read_tables(output).groupby(["cohort", "model"], sort=False).mean()
    cohorts = [name for name in COHORTS if name in means.index.get_level_values("cohort")]
    models = list(dict.fromkeys(means.index.get_level_values("model")))
    lines = [".. csv-table::", f"   :header: model, {', '.join(cohorts)}, mean", ""]
    for model in models:
        found = [means.loc[(cohort, model)] if (cohort, model) in means.index else None for cohort in cohorts]
        cells = ["" if one is None else f"{one.harrell:.3f} / {one.ibs:.3f}" for one in found]
        overall = ""
        if all(one is not None for one in found):
            harrell, ibs = (np.mean([one[score] for one in found]) for score in ("harrell", "ibs"))
            overall = f"{harrell:.3f} / {ibs:.4f}"
        lines.append("   " + ", ".join(f'"{text}"' for text in [model, *cells, overall]))
    means.round(4).to_csv(output / "means.csv")
    (output / "tables.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Run or resume the cohorts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", nargs="+", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--models", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of five folds")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 7], help="of the folds")
    parser.add_argument("--n-jobs", type=int, default=2, help="fits at the same time")
    parser.add_argument("--data", default="../shared/data", help="folder with tcga_nsclc and lung_mif")
    parser.add_argument("--output", type=Path, default=Path("real_cohorts"))
    parser.add_argument("--verbose", action="store_true", help="show progress")
    args = parser.parse_args()
    for name in args.cohorts:
        try:
            cohort = COHORTS[name](args.data)
        except FileNotFoundError as error:
            print(f"\n{name} is left out: {error}")
            continue
        for seed in args.seeds:
            run(name, cohort, seed, args)


if __name__ == "__main__":
    main()
