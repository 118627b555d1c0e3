"""How the defaults of FusionSurvivalAnalysis were chosen: nested cross-validation on real cohorts.

Run with ``python benchmarks/choose_defaults.py --data FOLDER``. The same random settings are compared on every cohort
by the C-index of inner folds of the training part of each outer fold. A setting's merit is its mean inner C-index, over
the folds of a cohort, then over the cohorts; outer test patients have no say in it. What the nested choice then
reaches on the outer test folds is reported beside it, as the honest expectation.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, ParameterSampler
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort, load_lung_mif, load_tcga_nsclc
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer

SPACE = {
    "lr": [1e-4, 3e-4, 1e-3],
    "max_epochs": [10, 20, 40],
    "batch_size": [8, 32],
    "weight_decay": [1e-4, 1e-2, 1e-1],
    "normalization": ["minmax", "layer", None],
    "embedding_dim": [32, 128],
    "modality_dropout": [0.0, 0.25],
}


def to_normal():
    """Impute, then map every feature to a normal distribution: tames tails without looking at the outcome."""
    return make_pipeline(SimpleImputer(), QuantileTransformer(n_quantiles=50, output_distribution="normal"))


def cohorts(data_home):
    """Name, cohort and preparation of each real cohort."""
    clinical = make_pipeline(SimpleImputer(), StandardScaler())
    yield "breast", load_breast_cancer_cohort(), {"clinical": clinical}
    yield (
        "tcga_luad",
        load_tcga_nsclc(data_home, cohort="LUAD"),
        {"wsi": BagTransformer(to_normal()), "rna": to_normal(), "clinical": clinical},
    )
    yield "lung_mif", load_lung_mif(data_home), {"wsi": BagTransformer(to_normal()), "clinical": clinical}


def settings(n_settings):
    """Random settings, each as a grid of one."""
    sampled = ParameterSampler(SPACE, n_settings, random_state=0)
    return [{name: [value] for name, value in one.items()} for one in sampled]


def nested(name, cohort, preparation, grid, bar):
    """One row per outer fold and setting."""
    X, y = cohort.X, cohort.y
    outer = SurvivalKFold(3, shuffle=True, random_state=1)
    for fold, (train, test) in enumerate(outer.split(X, y)):
        # Prepared once per outer fold, without the outcome: only the search on its training patients is repeated.
        prepare = make_modality_transformer(**preparation).fit(X.iloc[train])
        search = GridSearchCV(
            FusionSurvivalAnalysis(random_state=0, device="cpu"),
            grid,
            cv=SurvivalKFold(3, shuffle=True, random_state=2),
        ).fit(prepare.transform(X.iloc[train]), y[train])
        outer_score = search.score(prepare.transform(X.iloc[test]), y[test])
        for number, score in enumerate(search.cv_results_["mean_test_score"]):
            yield {
                "cohort": name,
                "fold": fold,
                "setting": number,
                "inner": score,
                "chosen": number == search.best_index_,
                "outer": outer_score if number == search.best_index_ else np.nan,
            }
        bar.update()


def main():
    """Run the nested search and print the ranking."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder with tcga_nsclc and lung_mif")
    parser.add_argument("--settings", type=int, default=24)
    parser.add_argument("--output", default="choose_defaults.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the networks are small
    warnings.filterwarnings("ignore", message="n_quantiles")
    grid = settings(args.settings)
    rows = []
    with tqdm(total=9, desc="outer folds") as bar:
        for name, cohort, preparation in cohorts(args.data):
            rows += nested(name, cohort, preparation, grid, bar)
            pd.DataFrame(rows).to_csv(args.output, index=False)
    table = pd.DataFrame(rows)
    print("C-index of the nested choice on outer test folds")
    print(table.dropna().groupby("cohort")["outer"].agg(["mean", "std"]).round(3).to_string())
    merit = table.groupby(["setting", "cohort"])["inner"].mean().unstack()
    merit["mean"] = merit.mean(axis=1)
    described = pd.DataFrame([{key: value[0] for key, value in one.items()} for one in grid])
    print("\nMean inner C-index of the settings, best first")
    print(merit.join(described).sort_values("mean", ascending=False).round(3).to_string())


if __name__ == "__main__":
    main()
