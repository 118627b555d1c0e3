"""
Which fusion design predicts survival best?
===========================================

A tumour board looks at the slide, the expression profile and the clinical record. A network can do the same in many
ways: join the vectors of the modalities end to end, average them, or weigh them patient by patient (cross-modality
attention, CM-MMF). The question of this example is which design predicts best, **whether the difference is real**, and
whether a Cox model would have done.

Run it with ``python examples/demo.py --output demo_output``. It takes two to three minutes on two
cores and downloads nothing. With ``--data FOLDER`` it runs on lung adenocarcinoma of The Cancer Genome Atlas instead,
from the files in ``FOLDER/tcga_nsclc`` (without ``FOLDER``, from the folder that ``SKSURV_MMF_DATA`` names).
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
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sksurv.metrics import concordance_index_censored
from tqdm import tqdm

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import load_breast_cancer_cohort, load_tcga_nsclc, make_multimodal_survival
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.inspection import ComparisonDisplay, ModalityAttentionDisplay, RiskGroupDisplay, TileAttentionDisplay
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.plotting import modality_colors
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer
from sksurv_mmf.presets import baselines, table2

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
# of image tiles. Each modality comes with the transformer that prepares it for a network. Transformers are part of the
# model and fitted inside the training fold, so that nothing about the test patients leaks into scaling or imputation.
# (The 76 genes of the breast cancer cohort were selected on other patients.)

Cohort = namedtuple("Cohort", "title X y prepare time_unit max_time data")

impute = SimpleImputer(strategy="median")


def simulated():
    """Patients whose risk shows in a tenth of their tiles and in five of their genes; one in ten lacks one of both."""
    cohort = make_multimodal_survival(
        n_patients=300,
        n_genes=50,
        n_informative_genes=5,
        witness_rate=0.1,
        image_effect=1.5,
        missing=0.1,
        random_state=0,
    )
    prepare = {"wsi": "passthrough", "rna": "passthrough"}
    return Cohort("Simulated cohort", cohort.X, cohort.y, prepare, "months", 120, cohort)


def breast_cancer():
    """198 real patients: four clinical variables and the 76 genes of a prognostic signature."""
    cohort = load_breast_cancer_cohort()
    prepare = {"clinical": impute, "rna": "passthrough"}
    return Cohort("Breast cancer (GSE7390)", cohort.X, cohort.y, prepare, "days", 6000, cohort)


def lung_adenocarcinoma():
    """Real patients: image features of the tissue compartments of H&E slides, expression, clinical variables."""
    cohort = load_tcga_nsclc(options.data)
    prepare = {
        "wsi": BagTransformer(make_pipeline(impute, StandardScaler())),
        "rna": make_pipeline(impute, QuantileTransformer(n_quantiles=10)),  # z-scores of expression have heavy tails
        "clinical": impute,
    }
    return Cohort("Lung adenocarcinoma (TCGA)", cohort.X, cohort.y, prepare, "days", 3000, cohort)


cohorts = [simulated(), breast_cancer()] if options.data is False else [lung_adenocarcinoma()]

# %%
# The models
# ----------
# The three designs differ in the argument ``fusion`` and in nothing else; everything else is as it comes. A network of
# one modality tells what the others add. Two Cox models and a random survival forest,
# :func:`~sksurv_mmf.presets.baselines`, see the same patients, each bag replaced by the mean of its tiles: a network
# that does not beat them is not worth its trouble. Penalties are chosen by cross-validation inside the training fold,
# and how long a network trains by patients whom its members have not seen; nothing is tuned by hand.

FUSIONS = {"Concatenation": Concat(), "Mean vector": Mean(), "CM-MMF": CrossModalAttention()}
BASELINES = ["Ridge Cox", "Elastic net Cox", "Random survival forest"]


def network(cohort, modalities, fusion):
    """Let the network read some modalities of a cohort."""
    prepare = make_modality_transformer(**{name: cohort.prepare[name] for name in modalities}, remainder="drop")
    return make_pipeline(prepare, FusionSurvivalAnalysis(fusion=fusion, device="cpu", random_state=0))


def make_models(cohort):
    """Name, model and modalities of every row of the table."""
    every = list(cohort.prepare)
    names = {kind: name if name in every else None for kind, name in [("image", "wsi"), ("rna", "rna")]}
    clinical = "clinical" if "clinical" in every else None
    rivals = baselines(**names, clinical=clinical, handle_missing="ignore", random_state=0)
    return [
        *((name, rivals[name], every) for name in BASELINES),
        *((f"{name} only", network(cohort, [name], Mean()), [name]) for name in every),
        *((name, network(cohort, every, fusion), every) for name, fusion in FUSIONS.items()),
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
#
# Mean and standard deviation (SD) of the C-index over the folds, and how far each model is behind CM-MMF *on the same
# folds*. The SD of that difference is the yardstick: a difference below one SD means nothing. Even a larger one is only
# a hint, since five folds share most of their training patients, and the best of many models is partly the luckiest.
# Where the truth is known, so is the C-index that no model is expected to exceed.

OURS = "CM-MMF"


def summarize(fits):
    """One row per model, and the C-index of each fold."""
    table = pd.DataFrame(fits).pivot(index="fold", columns="name", values=["c_index", "seconds"])
    c_index = table["c_index"].astype(float)[list(dict.fromkeys(fit.name for fit in fits))]
    behind = c_index[[OURS]].to_numpy() - c_index
    summary = {
        "C-index": c_index.mean(),
        "SD": c_index.std(),
        f"behind {OURS}": behind.mean().round(3) + 0.0,  # no -0.000
        "SD of difference": behind.std(),
        "seconds": table["seconds"].sum(),
    }
    return pd.DataFrame(summary, index=c_index.columns.rename(None)), c_index


def compare(c_index, what, rivals):
    """In a sentence, CM-MMF against the best of some models."""
    rival = c_index[rivals].mean().idxmax()
    ahead = c_index[OURS] - c_index[rival]
    wins, size = (ahead > 0).sum(), abs(ahead.mean())
    verdict = "less than one SD" if size < ahead.std() else f"{size / ahead.std():.1f} SD"
    return (
        f"- {what}, {rival}:\n  {OURS} is {size:.3f} {'higher' if ahead.mean() > 0 else 'lower'} on average "
        f"({verdict} of the difference) and higher in {wins} of {len(ahead)} folds."
    )


def report(cohort, table, c_index):
    """Print the table of a cohort and what may be read from it."""
    pooled = ", which see the mean of the tiles" if "wsi" in cohort.prepare else ""
    print(f"\n{cohort.title}: {len(cohort.y)} patients, {cohort.y['event'].sum()} events, 5-fold cross-validation\n")
    print(table.to_string(formatters={"seconds": "{:.1f}".format}, float_format="{:.3f}".format))
    print(f"\nDifferences below one SD mean nothing. {OURS} has {c_index[OURS].mean():.3f}. Against")
    print(compare(c_index, f"the best of Cox models and forest{pooled}", BASELINES))
    print(compare(c_index, "the best single modality", [f"{name} only" for name in cohort.prepare]))
    print(compare(c_index, "the best other fusion", [name for name in FUSIONS if name != OURS]))
    if "known_risk" in cohort.data:
        ceiling = concordance_index_censored(cohort.y["event"], cohort.y["time"], cohort.data.known_risk)[0]
        print(f"No model is expected to exceed {ceiling:.3f}, the C-index of what these patients' modalities can tell.")


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
    marks = {"highlight": marked, "highlight_label": "tiles with signal"}
    display = TileAttentionDisplay.from_estimator(fit.model, cohort.X, patient=patient, **marks)
    if "tiles" in cohort.data:  # these tiles are tissue compartments without coordinates
        regions = cohort.data.tiles.loc[patient, "region"].to_numpy()[np.argsort(-display.attention, kind="stable")]
        display.ax_.set_xticks(np.arange(1, len(regions) + 1), regions, fontsize="small")
    return display.figure_


def draw_patients(cohort, fits):
    """Name and figure of everything that is shown of the patients of a cohort."""
    rank, weights = gather_test_predictions(cohort, fits)
    style = {"time_unit": cohort.time_unit, "axis_unit": "years", "max_time": cohort.max_time}
    groups = RiskGroupDisplay.from_predictions(cohort.y, rank, **style, risks_from="out of fold (ranks)")
    figures = {"risk_groups": groups.figure_}
    figures["modality_attention"] = ModalityAttentionDisplay.from_predictions(weights, rank).figure_
    if "wsi" in cohort.prepare:
        figures["tile_attention"] = draw_tiles(cohort, fits[0])
    return figures


def draw_comparison(results):
    """Every fold as a dot, the mean with its interval; cohorts side by side on one scale."""
    n_models = max(c_index.shape[1] for c_index in results.values())
    size = (4.2 * len(results), 1.4 + 0.26 * n_models)
    figure, axes = plt.subplots(1, len(results), figsize=size, layout="constrained", sharex=True, squeeze=False)
    for ax, (title, c_index) in zip(axes[0], results.items()):
        scores = c_index.rename_axis(columns="model").reset_index().melt("fold")
        ComparisonDisplay.from_predictions(scores, reference=OURS, test_ratio=1 / 4, label="C-index", chance=0.5, ax=ax)
        ax.set_title(title, fontsize="medium", loc="left")
    return figure


# %%
# Does attention find the noisy modality?
# ---------------------------------------
# To weigh modalities patient by patient pays only where they are not equally good in all patients. In these simulated
# cohorts of two tables, two of five patients have one that is noise, and quality features show it: a slide out of
# focus, degraded RNA. The paper's own ablation, four variants of CM-MMF (:func:`~sksurv_mmf.presets.table2`), runs
# beside the defaults. These variants have one network each, and their own widths and epochs; their encoder of RNA reads
# both tables. New patients test. The AUC says how well the weight of the image tells patients with corrupted RNA from
# those with a corrupted image: 0.5 is chance, 1 perfect. ``benchmarks/attention.py`` simulates more cohorts.

N_COHORTS, N_TRAIN = 4, 400
DEFAULTS = {"CM-MMF, default": CrossModalAttention(), "Mean vector, default": Mean()}
Noisy = namedtuple("Noisy", "model cohort c_index auc weight kind")


def fit_noisy(seed, name):
    """Train on some patients of a cohort and predict 500 new ones."""
    tables = {"n_genes": 20, "n_informative_genes": 4, "n_tile_features": 20, "image_as": "table"}
    effects = {"image_effect": 1.25, "rna_effect": 1.25, "corrupted": 0.4}
    cohort = make_multimodal_survival(n_patients=N_TRAIN + 500, **tables, **effects, random_state=seed)
    if name in DEFAULTS:
        model = FusionSurvivalAnalysis(fusion=DEFAULTS[name], device="cpu", random_state=0)
    else:
        model = table2(device="cpu", random_state=0)[name][-1]
        encoder = dict(model.modalities)["rna"]
        model.set_params(modalities=[("wsi", encoder), ("rna", encoder)])
    model.fit(cohort.X[:N_TRAIN], cohort.y[:N_TRAIN])
    X, y, kind = cohort.X[N_TRAIN:], cohort.y[N_TRAIN:], cohort.corrupted[N_TRAIN:]
    c_index = model.score(X, y)
    if not hasattr(model, "modality_attention"):
        return Noisy(name, seed, c_index, np.nan, None, kind)
    weight, noisy = model.modality_attention(X)["wsi"], kind.notna()
    return Noisy(name, seed, c_index, roc_auc_score(kind[noisy] == "rna", weight[noisy]), weight, kind)


def report_noisy(fits):
    """Print the table and what may be read from it."""
    by_cohort = pd.DataFrame(fits).pivot(index="cohort", columns="model", values=["c_index", "auc"]).astype(float)
    c_index, auc = (by_cohort[score][list(dict.fromkeys(fit.model for fit in fits))] for score in ("c_index", "auc"))
    ours, mean = DEFAULTS
    table = pd.DataFrame({"C-index": c_index.mean(), "AUC": auc.mean(), "lowest AUC": auc.min()}).rename_axis(None)
    print(f"\n{N_COHORTS} simulated cohorts in which two of five patients have a noisy modality: mean of cohorts\n")
    print(table.to_string(float_format="{:.3f}".format, na_rep=""))
    gain, others = c_index[ours] - c_index[mean], table["AUC"].drop([ours, mean])
    print(f"\nThe weights of {ours}, tell the noisy modality with an AUC of {table.loc[ours, 'AUC']:.2f}; those of")
    print(
        f"Table 2 with {others.min():.2f} to {others.max():.2f}. Beside the mean vector, attention changes the C-index"
    )
    print(f"by {gain.mean():+.3f} (SD {gain.std():.3f}) and raises it in {(gain > 0).sum()} of {N_COHORTS} cohorts.")


def draw_noisy(fits):
    """The image's weight in patients of three kinds, a dot each."""
    weight, kind = (pd.concat([getattr(fit, what) for fit in fits]) for what in ("weight", "kind"))
    figure, ax = plt.subplots(figsize=(4.2, 2.4), layout="constrained")
    rng = np.random.default_rng(0)
    labels = {"wsi": "image is noise", "none": "both intact", "rna": "RNA is noise"}
    for row, (name, color) in enumerate(modality_colors(labels, {"none": "0.45"}).items()):
        values = weight[kind.fillna("none") == name]
        ax.plot(values, row + rng.uniform(-0.3, 0.3, len(values)), ".", color=color, alpha=0.3, markersize=4, mew=0)
        ax.plot([values.median()] * 2, [row - 0.4, row + 0.4], color="black")
    ax.set(xlabel="Weight of the image (bar: median)", yticks=range(3), yticklabels=labels.values())
    aucs = np.mean([fit.auc for fit in fits])
    ax.set_title(f"Noisy modality told by attention: AUC {aucs:.2f}", fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


# %%
# Run
# ---

results, figures = {}, {}
for cohort in cohorts:
    fits = cross_validate(cohort)
    table, results[cohort.title] = summarize(fits)
    report(cohort, table, results[cohort.title])
    name = cohort.title.partition(" (")[0].lower().replace(" ", "_")
    ours = [fit for fit in fits if fit.name == OURS]
    figures |= {f"{name}_{kind}": figure for kind, figure in draw_patients(cohort, ours).items()}
figures["comparison"] = draw_comparison(results)

if options.data is False:
    jobs = [delayed(fit_noisy)(seed, name) for seed in range(N_COHORTS) for name in [*DEFAULTS, *table2()]]
    noisy = Parallel(n_jobs=2)(jobs)
    report_noisy(noisy)
    figures["noisy_modality"] = draw_noisy([fit for fit in noisy if fit.model == "CM-MMF, default"])

print("\nFigures:")
for name, figure in figures.items():
    path = options.output / f"{name}.png"
    figure.savefig(path, dpi=200)
    print(f"  {path}")
