"""
Which fusion design predicts survival best?
===========================================

A tumour board looks at the slide, the expression profile and the clinical record. A network can do the same in many
ways: join the vectors of the modalities end to end, average them, or weigh them patient by patient (cross-modality
attention, CM-MMF). The question of this example is which design predicts best, **and whether the difference is real**.

Run it with ``python examples/plot_01_fusion_designs.py --output demo_output``. It takes two to three minutes on two
cores and downloads nothing. With ``--data FOLDER`` it runs on lung adenocarcinoma of The Cancer Genome Atlas instead,
from the files in ``FOLDER/tcga_nsclc`` (without ``FOLDER``, from the folder that ``SKSURV_MMF_DATA`` names), in about
eight minutes.
"""  # noqa: D400

# %%
import argparse
import time
from collections import namedtuple
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.ensemble import RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort, load_tcga_nsclc, make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.inspection import ModalityAttentionDisplay, RiskGroupDisplay, TileAttentionDisplay
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.preprocessing import BagTransformer, CoxElasticNetSelector, make_modality_transformer

parser = argparse.ArgumentParser(description="Compare fusion designs by 5-fold cross-validation.")
parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the figures")
parser.add_argument(
    "--data",
    nargs="?",
    const=None,
    default=False,
    metavar="FOLDER",
    help="run on FOLDER/tcga_nsclc instead; FOLDER is $SKSURV_MMF_DATA if it is left out",
)
options = parser.parse_args()
options.output.mkdir(parents=True, exist_ok=True)

# %%
# The cohorts
# -----------
# A cohort is a table with one row per patient. The columns of a modality share a prefix, and one column can hold bags
# of image tiles. Each modality comes with the transformer that prepares it and the encoder that reads it. Transformers
# are part of the model and fitted inside the training fold, so that nothing about the test patients leaks into scaling,
# imputation or the selection of genes. (The 76 genes of the breast cancer cohort were selected on other patients.)

Cohort = namedtuple("Cohort", "title X y prepare encoders time_unit max_time data")

impute_and_scale = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
select_genes = CoxElasticNetSelector(cv=5, random_state=0)


def breast_cancer():
    """198 real patients: four clinical variables and the 76 genes of a prognostic signature."""
    cohort = load_breast_cancer_cohort()
    prepare = {"clinical": impute_and_scale, "rna": StandardScaler()}
    encoders = {"clinical": SNN(), "rna": SNN()}
    return Cohort("Breast cancer (GSE7390)", cohort.X, cohort.y, prepare, encoders, "days", 6000, cohort)


def simulated():
    """Patients whose risk depends on a few tiles of their slide and on a few of their genes; one in ten lacks one."""
    cohort = make_multimodal_survival(
        n_patients=300,
        n_genes=50,
        n_informative_genes=5,
        n_tiles=(40, 100),
        n_tile_features=32,
        image_effect=1.5,
        missing=0.1,
        random_state=0,
    )
    prepare = {"wsi": "passthrough", "rna": make_pipeline(StandardScaler(), select_genes)}
    encoders = {"wsi": AttentionMIL(hidden_dim=64, attention_dim=32), "rna": SNN()}
    return Cohort("Simulated cohort", cohort.X, cohort.y, prepare, encoders, "months", 120, cohort)


def lung_adenocarcinoma():
    """Real patients: image features of the tissue compartments of H&E slides, expression, clinical variables."""
    cohort = load_tcga_nsclc(options.data)
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -5, "a_max": 5}, feature_names_out="one-to-one")
    prepare = {
        "wsi": BagTransformer(impute_and_scale),
        "rna": make_pipeline(impute_and_scale, clip, select_genes),
        "clinical": impute_and_scale,
    }
    encoders = {"wsi": AttentionMIL(hidden_dim=128, attention_dim=64), "rna": SNN(), "clinical": SNN()}
    return Cohort("Lung adenocarcinoma (TCGA)", cohort.X, cohort.y, prepare, encoders, "days", 3000, cohort)


cohorts = [breast_cancer(), simulated()] if options.data is False else [lung_adenocarcinoma()]

# %%
# The models
# ----------
# The three designs differ in the argument ``fusion`` and in nothing else. A network of one modality tells what the
# others add. A Cox model with elastic net and a random survival forest see the same patients with each bag replaced by
# the mean of its tiles: a network that does not beat them is not worth its trouble. The penalty of the Cox model is
# chosen by cross-validation inside the training fold; nothing else is tuned.


def average_tiles(X):
    """Replace bags by the mean of their tiles; features that are not defined in a tile, NaN, do not count."""
    blocks = []
    for name, column in X.items():
        if column.dtype == "bag":
            means = {patient: pd.DataFrame(bag.features).mean() for patient, bag in column.dropna().items()}
            blocks.append(pd.DataFrame(means).T.reindex(X.index).add_prefix(f"{name}_mean"))
        else:
            blocks.append(column)
    return pd.concat(blocks, axis=1)


def flat(model):
    """Let a model for plain tables read a cohort."""
    return make_pipeline(FunctionTransformer(average_tiles), SimpleImputer(strategy="median"), StandardScaler(), model)


def network(cohort, modalities, fusion):
    """Let the network read some modalities of a cohort."""
    prepare = make_modality_transformer(**{name: cohort.prepare[name] for name in modalities}, remainder="drop")
    encoders = [(name, cohort.encoders[name]) for name in modalities]
    return make_pipeline(prepare, FusionSurvivalAnalysis(encoders, fusion, device="cpu", random_state=0))


def make_models(cohort):
    """Name, model and modalities of every row of the table."""
    every = list(cohort.encoders)
    penalties = {"alpha_min_ratio": [0.6, 0.4, 0.2]}  # as a share of the penalty that removes all coefficients
    coxnet = GridSearchCV(CoxnetSurvivalAnalysis(n_alphas=20), penalties, cv=SurvivalKFold(5))
    forest = RandomSurvivalForest(100, min_samples_leaf=5, low_memory=True, random_state=0)
    return [
        *((f"{name} only", network(cohort, [name], Mean()), [name]) for name in every),
        ("concat", network(cohort, every, Concat()), every),
        ("mean", network(cohort, every, Mean()), every),
        ("CM-MMF", network(cohort, every, CrossModalAttention()), every),
        ("Cox elastic net", flat(coxnet), every),
        ("random survival forest", flat(forest), every),
    ]


# %%
# Cross-validation
# ----------------
# All models see the same five folds, which are stratified by event and time. A patient who lacks the only modality of a
# model gets the average risk, because leaving her out would make that model's task easier than that of the others.

Fit = namedtuple("Fit", "name fold model test risk c_index seconds")


def fit_and_test(name, model, modalities, cohort, fold, train, test):
    """Train on some patients and predict the others."""
    start = time.perf_counter()
    X, y = cohort.X, cohort.y
    columns = [column for column in X.columns if column.partition("__")[0] in modalities]
    has_any = X[columns].notna().any(axis=1).to_numpy()
    train, known = train[has_any[train]], has_any[test]
    model = clone(model).fit(X.iloc[train], y[train])
    risk = np.full(len(test), model.predict(X.iloc[train]).mean())
    risk[known] = model.predict(X.iloc[test[known]])
    c_index = concordance_index_censored(y["event"][test], y["time"][test], risk)[0]
    return Fit(name, fold, model, test, risk, c_index, time.perf_counter() - start)


def cross_validate(cohort):
    """All models in all folds, two at a time."""
    folds = list(SurvivalKFold(5, shuffle=True, random_state=0).split(cohort.X, cohort.y))
    jobs = [
        delayed(fit_and_test)(*row, cohort, fold, train, test)
        for row in make_models(cohort)
        for fold, (train, test) in enumerate(folds, start=1)
    ]
    fits = Parallel(n_jobs=2, return_as="generator")(jobs)
    return list(tqdm(fits, total=len(jobs), desc=cohort.title, unit="fit", leave=False))


# %%
# What the table says
# -------------------
# Mean and standard deviation (SD) of the C-index over the folds, and how far each model is behind the best one *on the
# same folds*. The SD of that difference is the yardstick: a difference below one SD means nothing. Even a larger one
# is only a hint, since five folds share most of their training patients, and the best of many models is partly the
# luckiest. Where the truth is known, the C-index of the true risk tells how much there is to be had at all.


def summarize(fits):
    """One row per model."""
    table = pd.DataFrame(fits).pivot(index="fold", columns="name", values=["c_index", "seconds"])
    c_index = table["c_index"].astype(float)[list(dict.fromkeys(fit.name for fit in fits))]
    behind = c_index[[c_index.mean().idxmax()]].to_numpy() - c_index
    summary = {
        "C-index": c_index.mean(),
        "SD": c_index.std(),
        "behind best": behind.mean(),
        "SD of difference": behind.std(),
        "seconds": table["seconds"].sum(),
    }
    return pd.DataFrame(summary, index=c_index.columns.rename(None)), c_index


def report(cohort, table):
    """Print the table of a cohort and what may be read from it."""
    best = table["C-index"].idxmax()
    close = table.index[(table["behind best"] < table["SD of difference"]) & (table.index != best)]
    print(f"\n{cohort.title}: {len(cohort.y)} patients, {cohort.y['event'].sum()} events, 5-fold cross-validation\n")
    print(table.to_string(formatters={"seconds": "{:.1f}".format}, float_format="{:.3f}".format))
    print(f"\nHighest mean: {best}. Differences below one SD mean nothing; by that measure it cannot be told from:")
    print(f"{', '.join(close) or 'none'}.")
    if "risk" in cohort.data:
        ceiling = concordance_index_censored(cohort.y["event"], cohort.y["time"], cohort.data.risk)[0]
        print(f"The true risk has a C-index of {ceiling:.3f}.")


# %%
# What the pictures show
# ----------------------
# All pictures are of *test* patients: each patient is predicted by the fold model that has not seen her. Risks of
# different fold models have different scales, so that patients are ranked within their fold before they are grouped.


def gather_test_predictions(cohort, fits):
    """Within-fold rank of the risk, and modality weights, of every patient from the model that has not seen her."""
    rank = pd.concat([pd.Series(rankdata(fit.risk) / len(fit.risk), cohort.X.index[fit.test]) for fit in fits])
    weights = pd.concat(
        [fit.model[-1].modality_attention(fit.model[:-1].transform(cohort.X.iloc[fit.test])) for fit in fits]
    )
    return rank.loc[cohort.X.index], weights.loc[cohort.X.index]


def draw_tiles(cohort, fit):
    """Tile attention of the test patient with the highest risk."""
    has_tiles = cohort.X["wsi__tiles"].notna().to_numpy()[fit.test]
    patient = cohort.X.index[fit.test][has_tiles][fit.risk[has_tiles].argmax()]
    marked = cohort.data.witness_tiles[patient] if "witness_tiles" in cohort.data else None
    display = TileAttentionDisplay.from_estimator(fit.model, cohort.X, patient=patient, highlight=marked)
    if marked is not None:
        display.ax_.set_title(f"Patient {patient}, outlined: tiles with signal", fontsize="medium")
    if "tiles" in cohort.data:  # these tiles are tissue compartments without coordinates
        regions = cohort.data.tiles.loc[patient, "region"].to_numpy()[np.argsort(-display.attention, kind="stable")]
        display.ax_.set_xticks(np.arange(1, len(regions) + 1), regions, fontsize="small")
    return display.figure_


def draw_patients(cohort, fits):
    """Name and figure of everything that is shown of the patients of a cohort."""
    rank, weights = gather_test_predictions(cohort, fits)
    groups = RiskGroupDisplay.from_predictions(cohort.y, rank, time_unit=cohort.time_unit, max_time=cohort.max_time)
    figures = {"risk_groups": groups.figure_}
    figures["modality_attention"] = ModalityAttentionDisplay.from_predictions(weights, rank).figure_
    if "wsi" in cohort.encoders:
        figures["tile_attention"] = draw_tiles(cohort, fits[0])
    return figures


def draw_comparison(results):
    """Every fold as a dot, mean and SD as a bar, one panel per cohort."""
    figure, axes = plt.subplots(1, len(results), figsize=(4 * len(results), 2.6), layout="constrained", squeeze=False)
    for ax, (title, c_index) in zip(axes[0], results.items()):
        rows = np.arange(c_index.shape[1])[::-1]
        ax.axvline(0.5, color="0.6", linewidth=0.8, linestyle=":")
        for row, (name, values) in zip(rows, c_index.items()):
            color = "#D55E00" if name == "CM-MMF" else "#0072B2"
            ax.plot(values, np.full(len(values), row), "o", color=color, alpha=0.35, markersize=3.5, markeredgewidth=0)
            ax.errorbar(values.mean(), row, xerr=values.std(), fmt="D", color=color, markersize=4.5, capsize=2.5)
        ax.set(title=title, yticks=rows, yticklabels=c_index.columns)
        ax.title.set_fontsize("medium")
        ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("C-index (mean ± SD; dots are folds)", fontsize="medium")
    return figure


# %%
# Run
# ---

results, figures = {}, {}
for cohort in cohorts:
    fits = cross_validate(cohort)
    table, results[cohort.title] = summarize(fits)
    report(cohort, table)
    name = cohort.title.partition(" (")[0].lower().replace(" ", "_")
    ours = [fit for fit in fits if fit.name == "CM-MMF"]
    figures |= {f"{name}_{kind}": figure for kind, figure in draw_patients(cohort, ours).items()}
figures["comparison"] = draw_comparison(results)

print("\nFigures:")
for name, figure in figures.items():
    path = options.output / f"{name}.png"
    figure.savefig(path, dpi=200)
    print(f"  {path}")
