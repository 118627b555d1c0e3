"""
How do I watch a training, and keep what came out?
==================================================

A network trains in epochs, and one wants to see the loss fall while it does. **Callbacks of skorch are called after
every batch and epoch, and the estimator takes any of them.** A callback of twelve lines shows what there is to record;
TensorBoard, MLflow, Weights & Biases and Optuna follow.
"""  # noqa: D400

# %%
# The history that is there anyway
# --------------------------------
# ``history_`` has the loss of each epoch. Of an ensemble it is the mean over its networks, which train in lockstep;
# callbacks make them train one by one. So watch a single network, and then train the ensemble without.

import importlib.util
import tempfile

import matplotlib.pyplot as plt
import pandas as pd
from skorch.callbacks import Callback

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival

cohort = make_multimodal_survival(n_patients=250, n_genes=30, n_informative_genes=5, n_tiles=(10, 20), random_state=0)
X, y = cohort.X, cohort.y
settings = {"n_estimators": 1, "max_epochs": 40, "lr": 0.003, "random_state": 0}

# %%
# A callback
# ----------
# It is given the net after every epoch. It counts the size of the gradients beside the loss, and writes both to a file
# of lines, which any program can follow. The estimator copies callbacks before use, so look into the file.


class WriteEpochs(Callback):
    """Append loss and size of the gradients of every epoch to a CSV file."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, net, **kwargs):
        self.sizes_ = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = [parameter.grad for _, parameter in named_parameters if parameter.grad is not None]
        self.sizes_.append(sum(float(gradient.square().sum()) for gradient in gradients) ** 0.5)

    def on_epoch_end(self, net, **kwargs):
        last, size = net.history[-1], sum(self.sizes_) / len(self.sizes_)
        with open(self.path, "a") as file:
            file.write(f"{last['epoch']},{last['train_loss']:.5f},{last.get('valid_loss', '')},{size:.4f}\n")
        self.sizes_ = []


with tempfile.NamedTemporaryFile(suffix=".csv") as log:
    watched = FusionSurvivalAnalysis(
        early_stopping=True, patience=40, callbacks=[WriteEpochs(log.name)], **settings
    ).fit(X, y)
    epochs = pd.read_csv(log.name, names=["epoch", "train_loss", "valid_loss", "gradient"], index_col="epoch")
print(epochs.iloc[[0, 1, 2, -1]].round(3).to_string())

# %%
# TensorBoard, Weights & Biases, MLflow
# -------------------------------------
# skorch has callbacks for all three. They are imported here only where they are installed.

trackers = []
if importlib.util.find_spec("tensorboard"):
    from skorch.callbacks import TensorBoard
    from torch.utils.tensorboard import SummaryWriter

    trackers.append(TensorBoard(SummaryWriter("runs/first")))
if importlib.util.find_spec("mlflow"):
    from skorch.callbacks import MlflowLogger

    trackers.append(MlflowLogger())
print(f"Trackers that are installed: {[type(tracker).__name__ for tracker in trackers] or 'none'}")

# %%
# With ``wandb`` it is ``WandbLogger(wandb.init(project="survival"))``, and the model is
# ``FusionSurvivalAnalysis(n_estimators=1, callbacks=trackers)``. What is to be kept of a *comparison* is in its tables:
# ``mlflow.log_metrics(comparison.summary()["mean"].loc["harrell"].to_dict())``, and the page of
# ``comparison.to_html("comparison.html")`` as an artifact.
#
# Optuna
# ------
# A study is a function of a trial. Its value should be a score on patients that a candidate has not seen.
# ``oob_score_`` of an ensemble is one, and costs no further fit. The best score is too good all the same, because it
# was chosen: see :ref:`sphx_glr_gallery_plot_14_nested_tuning.py`.


def objective(trial):
    """C-index of the left-out training patients for one choice of parameters."""
    model = FusionSurvivalAnalysis(
        embedding_dim=trial.suggest_categorical("embedding_dim", [16, 32]),
        lr=trial.suggest_float("lr", 3e-4, 3e-3, log=True),
        random_state=0,
    )
    return model.set_params(rna__dropout=trial.suggest_float("dropout", 0, 0.5)).fit(X, y).oob_score_


if importlib.util.find_spec("optuna"):
    import optuna

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=5)
    print(study.best_params)

# %%
# The picture
# -----------
# What such a record is good for: the loss of held-out patients no longer falls after some epochs, while that of the
# training patients does. That is where ``early_stopping`` stops, and what an ensemble weighs its epochs by.

figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
for column, color, label in [("train_loss", "#0072B2", "training patients"), ("valid_loss", "#D55E00", "held out")]:
    axes[0].plot(epochs[column], color=color, label=label)
axes[0].axvline(epochs["valid_loss"].idxmin(), color="0.5", linewidth=0.8, linestyle=":")
axes[0].set(xlabel="Epoch", ylabel="Loss")
axes[0].legend(frameon=False, fontsize="small")
axes[1].plot(epochs["gradient"], color="#009E73")
axes[1].set(xlabel="Epoch", ylabel="Size of the gradients", ylim=(0, None))
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
