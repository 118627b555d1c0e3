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

import contextlib
import importlib.util
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from skorch.callbacks import Callback

from sksurv_mmf import FusionSurvivalAnalysis, save_model
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
# TensorBoard, MLflow, Weights & Biases
# -------------------------------------
# Three functions, which run below where their tool is installed. Each fit works on a *copy* of a callback, and so does
# each network of an ensemble and each fold of a cross-validation. Therefore a callback should keep names, and open what
# they name when training begins. skorch's own callback for TensorBoard wants an open writer, which cannot be copied.
# This one has a folder for each training, and ``tensorboard --logdir runs`` shows them side by side.


class WriteToTensorBoard(Callback):
    """Write the losses of each training into a new folder in `folder`."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_begin(self, net, **kwargs):
        from torch.utils.tensorboard import SummaryWriter  # or that of tensorboardX, a smaller package

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        self.writer_ = SummaryWriter(tempfile.mkdtemp(prefix="fit_", dir=self.folder))

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        for loss in ("train_loss", "valid_loss"):
            if loss in last:
                self.writer_.add_scalar(loss, last[loss], last["epoch"])
        self.writer_.flush()  # so that an interrupt loses nothing

    def on_train_end(self, net, **kwargs):
        self.writer_.close()


def follow_in_tensorboard():
    """One folder in runs."""
    FusionSurvivalAnalysis(callbacks=[WriteToTensorBoard("runs")], **settings).fit(X, y)


# %%
# skorch's callback for MLflow writes into the run that is active, so start one. What it would keep of the network is
# its bare weights; keep the model instead, without the callbacks, which no file of a model holds.


def follow_in_mlflow():
    """One run, with parameters, losses, and the model, which `load_model` reads."""
    import mlflow
    from skorch.callbacks import MlflowLogger

    with mlflow.start_run():
        mlflow.log_params(settings)
        callbacks = [MlflowLogger(create_artifact=False)]
        model = FusionSurvivalAnalysis(callbacks=callbacks, **settings).fit(X, y)
        save_model(model.set_params(callbacks=None), "model.zip")
        mlflow.log_artifact("model.zip")


# %%
# That for Weights & Biases keeps the best weights by the loss of held-out patients, unless told not to; without
# ``early_stopping=True`` there are none. ``mode="offline"`` needs no account.


def follow_in_wandb():
    """One run in the folder wandb, which ``wandb sync`` uploads."""
    import wandb
    from skorch.callbacks import WandbLogger

    with wandb.init(project="survival", mode="offline", config=settings) as run:
        callbacks = [WandbLogger(run, save_model=False)]
        FusionSurvivalAnalysis(callbacks=callbacks, **settings).fit(X, y)


followers = {"tensorboard": follow_in_tensorboard, "mlflow": follow_in_mlflow, "wandb": follow_in_wandb}
with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    for tool, follow in followers.items():
        if importlib.util.find_spec(tool) is None:
            print(f"{tool} is not installed")
            continue
        follow()
        print(f"{tool} wrote", sorted(path.name for path in Path().iterdir()))

# %%
# What to know where there are several trainings, as in ensembles, folds and searches:
#
# - The callback above makes a folder for each. Those for MLflow and Weights & Biases write all into one run, MLflow one
#   curve over the other and Weights & Biases one after the other: give each training a run of its own in a loop.
# - With ``n_jobs``, other processes know of no active run: pass it, ``MlflowLogger(run)``. The networks of an ensemble
#   cannot take a run of Weights & Biases there.
# - An interrupt leaves ``fit`` at once, and ``with`` marks the run as failed.
# - ``checkpoint_dir`` writes down what callbacks keep, but can hold no runs and writers. Derive a class from each of
#   these callbacks whose method ``state_dict`` returns ``{}``.
#
# What is to be kept of a *comparison* is in its tables:
# ``mlflow.log_metrics(comparison.summary()["mean"].loc["harrell"].to_dict())``, where names of models must not have
# commas, and the page of ``comparison.to_html("comparison.html")`` as an artifact.
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
else:
    print("optuna is not installed")

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
