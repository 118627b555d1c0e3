"""The 14 rows of the paper's Tables 1 and 2 on the same folds, beside the figures that the paper reports.

Run with ``python benchmarks/reproduce_tables.py --cohort simulated --protocol paper``. Genes are selected inside each
fold. Fold scores are kept in a file as they come, so that the same command goes on after an interruption. The paper's
cohort is not public: its protocol can be repeated here, its figures cannot. The row "CM-MMF" of Table 1 and the row
"Shared, tanh" of Table 2 are one model, which is trained once.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from joblib import Memory, Parallel, delayed
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from sksurv_mmf.datasets import load_tcga_nsclc, make_multimodal_survival
from sksurv_mmf.model_selection import RepeatedSurvivalKFold
from sksurv_mmf.preprocessing import BagTransformer, CoxElasticNetSelector, make_modality_transformer
from sksurv_mmf.presets import paper_protocol, table1, table2

mpl.use("agg")
from matplotlib import pyplot as plt

PAPER = {  # mean and standard deviation of the C-index over five folds, arXiv:2308.09831
    ("Table 1", "AMIL, image only"): (0.5772, 0.0409),
    ("Table 1", "Custom-AMIL, image only"): (0.4906, 0.0430),
    ("Table 1", "SNN, RNA only"): (0.5885, 0.0259),
    ("Table 1", "Raw concatenation"): (0.6258, 0.0309),
    ("Table 1", "Concatenation"): (0.6167, 0.0361),
    ("Table 1", "Mean vector"): (0.5087, 0.0411),
    ("Table 1", "Bilinear"): (0.5816, 0.0294),
    ("Table 1", "Gated attention"): (0.6195, 0.0334),
    ("Table 1", "SurvPath"): (0.5427, 0.0271),
    ("Table 1", "CM-MMF"): (0.6587, 0.0266),
    ("Table 2", "Not shared, ReLU"): (0.6416, 0.0181),
    ("Table 2", "Shared, ReLU"): (0.5735, 0.0114),
    ("Table 2", "Not shared, tanh"): (0.6329, 0.0356),
    ("Table 2", "Shared, tanh"): (0.6587, 0.0266),
}
SAME = {("Table 2", "Shared, tanh"): ("Table 1", "CM-MMF")}

# Tiles have 64 (simulated) or 113 features instead of 1,024, and the networks are narrower in proportion.
WIDTHS = {
    "fuse__wsi__hidden_dim": 64,
    "fuse__wsi__attention_dim": 32,
    "fuse__rna__hidden_dim": 64,
    "fuse__fusion__hidden_dim": 64,
}

SELECT_GENES = {  # about 150 genes, as in the paper, whatever cross-validation would prefer
    "min_features": 120,
    "max_features": 180,
    "random_state": 0,
}


def simulated(data_home):
    """270 patients as in the paper, 19,000 genes, 30 to 120 tiles of 64 features each."""
    cohort = make_multimodal_survival(
        n_patients=270,
        n_genes=19_000,
        n_informative_genes=5,
        rna_effect=1.5,
        n_tiles=(30, 120),
        n_tile_features=64,
        random_state=0,
    )
    rna = make_pipeline(StandardScaler(), CoxElasticNetSelector(**SELECT_GENES))
    return cohort.X, cohort.y, {"rna": rna}


def tcga(cohort, data_home):
    """The patients of TCGA who have both tiles and RNA."""
    cohort = load_tcga_nsclc(data_home, cohort=cohort)
    X = cohort.X.loc[:, [column.startswith(("wsi__", "rna__")) for column in cohort.X.columns]]
    complete = ~X["wsi__tiles"].isna() & ~X.filter(like="rna__").isna().all(axis=1)
    prepared = make_pipeline(SimpleImputer(), StandardScaler())
    rna = make_pipeline(SimpleImputer(), StandardScaler(), CoxElasticNetSelector(**SELECT_GENES))
    return X[complete], cohort.y[complete], {"wsi": BagTransformer(prepared), "rna": rna}


COHORTS = {
    "simulated": simulated,
    "tcga_luad": lambda data_home: tcga("LUAD", data_home),
    "tcga_lusc": lambda data_home: tcga("LUSC", data_home),
}
PROTOCOLS = {"paper": paper_protocol, "default": dict}


def models(protocol):
    """All rows by table and name, unfitted."""
    params = PROTOCOLS[protocol]() | {"device": "cpu", "random_state": 0}
    tables = {"Table 1": table1(**params), "Table 2": table2(**params)}
    rows = {(table, name): model for table, rows in tables.items() for name, model in rows.items()}
    for model in rows.values():
        known = model.get_params()
        model.set_params(**{name: width for name, width in WIDTHS.items() if (known.get(name) or 0) > width})
    return rows


def prepare(cohort, data_home, fold, n_repeats):
    """Training and test patients of one fold, with whatever is learnt from the training patients applied to both."""
    X, y, transformers = COHORTS[cohort](data_home)
    splits = RepeatedSurvivalKFold(n_splits=5, n_repeats=n_repeats, random_state=0).split(X, y)
    train, test = list(splits)[fold]
    transformer = make_modality_transformer(**transformers).fit(X.iloc[train], y[train])
    return transformer.transform(X.iloc[train]), y[train], transformer.transform(X.iloc[test]), y[test]


def warm(cached, arguments):
    """Put a call into the cache."""
    if not cached.check_call_in_cache(*arguments):
        cached(*arguments)


def evaluate(key, model, fold, prepared):
    """C-index of one row on one fold, and the seconds that it took."""
    torch.set_num_threads(1)  # the networks are small; the cores work on different folds
    X_train, y_train, X_test, y_test = prepared()
    start = time.perf_counter()
    score = clone(model).fit(X_train, y_train).score(X_test, y_test)
    table, row = key
    return {"table": table, "row": row, "fold": fold, "c_index": score, "seconds": time.perf_counter() - start}


def run(args, folder):
    """Fold scores of all rows, continuing what is there."""
    scores_file = folder / "fold_scores.csv"
    scores = pd.read_csv(scores_file) if scores_file.exists() else pd.DataFrame(columns=["table", "row", "fold"])
    done = set(scores[["table", "row", "fold"]].itertuples(index=False, name=None))
    cached = Memory(folder / "prepared", verbose=0).cache(prepare)
    arguments = [(args.cohort, args.data, fold, args.repeats) for fold in range(5 * args.repeats)]
    tasks = [
        (key, model, fold, partial(cached, *arguments[fold]))
        for fold in range(5 * args.repeats)
        for key, model in reversed(models(args.protocol).items())  # short fits last, so that no core waits for long
        if (*key, fold) not in done and key not in SAME
    ]
    work = [delayed(warm)(cached, one) for one in arguments] + [delayed(evaluate)(*task) for task in tasks]
    results = Parallel(args.n_jobs, return_as="generator_unordered")(work)
    for result in tqdm(results, total=len(work), desc="selecting genes, then training", unit="fit"):
        if result is not None:
            pd.DataFrame([result]).to_csv(scores_file, mode="a", header=not scores_file.exists(), index=False)
    return pd.read_csv(scores_file)


def summarise(scores):
    """Mean and SD of every row beside the paper's."""
    by_row = scores.groupby(["table", "row"])["c_index"].agg(["mean", "std"])
    table = pd.DataFrame(PAPER, index=["paper mean", "paper SD"]).T
    table.index.names = ["table", "row"]
    for key in table.index:
        table.loc[key, ["mean", "SD"]] = by_row.loc[SAME.get(key, key)].to_numpy()
    return table[["mean", "SD", "paper mean", "paper SD"]]


def draw(table, title, path):
    """Means with standard deviations, ours and the paper's."""
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    y = np.arange(len(table))[::-1]
    for shift, prefix, marker, color, label in [
        (0.15, "", "o", "#0072B2", title),
        (-0.15, "paper ", "s", "#D55E00", "paper, its own cohort"),
    ]:
        axes.errorbar(
            table[f"{prefix}mean"], y + shift, xerr=table[f"{prefix}SD"], fmt=marker, color=color, ms=4, label=label
        )
    axes.axvline(0.5, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(y, [f"{row} ({name[-1]})" for name, row in table.index])
    axes.set_xlabel("C-index, mean ± SD over folds")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.13), ncols=2, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def main():
    """Run or resume, then write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", choices=list(COHORTS), default="simulated")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="paper")
    parser.add_argument("--repeats", type=int, default=1, help="repetitions of five folds")
    parser.add_argument("--n-jobs", type=int, default=2, help="fits at the same time")
    parser.add_argument("--data", default="../shared/data", help="folder with tcga_nsclc")
    parser.add_argument("--output", type=Path, default=Path("reproduction"))
    args = parser.parse_args()
    folder = args.output / f"{args.cohort}_{args.protocol}_{args.repeats}x5"
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    scores = run(args, folder)
    table = summarise(scores)
    table.round(4).to_csv(folder / "table.csv")
    draw(table, f"{args.cohort}, {args.protocol} protocol", folder / "table.png")
    print(table.round(3).to_string())
    training, wall = scores["seconds"].sum() / 60, (time.perf_counter() - start) / 60
    print(f"Training took {training:.1f} core minutes in all, this run {wall:.1f} minutes.")
    print(f"Table and figure are in {folder}.")


if __name__ == "__main__":
    main()
