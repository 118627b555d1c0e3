"""The training loop: a skorch net that is fed batches of patients."""

from contextlib import closing, suppress
from functools import partial
from inspect import signature
from numbers import Real
from pickle import PicklingError

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochTimer, PassthroughScoring
from skorch.dataset import unpack_data
from skorch.history import History
from skorch.utils import noop
from torch import nn
from tqdm.auto import tqdm

from ..networks._finite import is_finite, why_diverged, wrong_weights
from ..networks._modality_encoder import shape_of
from ..objectives._base import Objective
from ..patients._batch import to_device
from ..patients._patients import Patients
from ..utils._torch_state import tiny_numbers_as_zero
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._adam import Adam, AdamW
from ._checkpoint import NOWHERE, Nowhere
from ._net_state import check_can_be_kept, load_net, state_of_net
from ._processes import ALONE, add_gradients, check_epoch, mean_over_processes
from ._seeds import rehearsal, reseed

OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": torch.optim.SGD}


class ObjectiveLoss(nn.Module):
    """An objective's loss as the criterion that skorch wants."""

    def __init__(self, objective: Objective):
        super().__init__()
        self.objective = objective

    def forward(self, outputs, target):
        loss = self.objective.loss(outputs, target)
        if getattr(loss, "shape", None) != ():
            raise ValueError(
                f"{type(self.objective).__name__}.loss must return one number, the mean over the patients, as a tensor "
                f"without axes, got {shape_of(loss)}."
            )
        return loss


class ProgressBar(Callback):
    """One bar over all epochs that shows the losses."""

    def on_train_begin(self, net, **kwargs):
        self.bar = tqdm(total=net.max_epochs, desc="training", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        losses = {key: net.history[-1][key] for key in ("train_loss", "valid_loss") if key in net.history[-1]}
        self.bar.set_postfix({key: f"{value:.4f}" for key, value in losses.items()})
        self.bar.update(len(net.history) - self.bar.n)

    def on_train_end(self, net, **kwargs):
        self.close()

    def state_dict(self):
        """Nothing: how far training is, the history tells."""
        return {}

    def close(self):
        """Finish the bar, if there is one; it cannot be pickled with the net."""
        if hasattr(self, "bar"):
            self.bar.close()
            del self.bar


class TrainingEnds(Exception):
    """Training is to end before its last epoch, as an early stopping asks for."""


def has_lost_patience(callback):
    """Whether a callback has asked for the end of training, in the only way that is told from an interrupt."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


class KeepsState(Callback):
    """Puts back the state that a checkpoint has of a net, and hands it the state after each epoch.

    It must be the last callback, since what the others make of an epoch belongs to the state.
    """

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint

    def on_train_begin(self, net, X=None, **kwargs):
        check_can_be_kept(net)

        def load(state):
            load_net(net, state)
            training, _ = X
            training.n_epochs = len(net.history)  # by which tiles are drawn

        self.checkpoint.resume(load, net.device)
        check_epoch(len(net.history), net.processes)
        if not net.processes.is_first:
            self.checkpoint = NOWHERE
        if any(has_lost_patience(callback) for _, callback in net.callbacks_):
            raise TrainingEnds

    def on_epoch_end(self, net, **kwargs):
        self.checkpoint.save(partial(state_of_net, net))

    def on_train_end(self, net, **kwargs):
        # An early stopping has not let this one see the last epoch.
        self.checkpoint.save(partial(state_of_net, net))
        self.checkpoint = NOWHERE  # a user may train the net further

    def state_dict(self):
        """Nothing."""
        return {}


def warn_unsaved(text):
    """Where a checkpoint says what it does: warn of a file that it could not write, which skorch passes over."""
    if text.startswith("Unable to save"):
        warn(f"Checkpoint: {text.rstrip('.')}.")


class SurvivalNet(NeuralNet):
    """skorch's loop over ready-made iterables of ``(Batch, target)``.

    Several batches may share one optimizer step. Their losses are weighted by their patients, so the step is
    that of one large batch, and the last step of an epoch is taken however many batches are left for it.

    Nothing is read from the device before the end of an epoch: until then the history has the losses as tensors.
    """

    processes = ALONE

    @property
    def _default_callbacks(self):
        # Private to skorch, which asks for it by this name: its own list, without what prints every epoch.
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train until the last epoch or until an early stopping ends it.

        skorch takes any KeyboardInterrupt for the wish to stop, and a half-trained net for a trained one. Here an
        interrupt leaves at once.
        """
        if not self.initialized_:
            self.initialize()
        n_before = len(self.history)
        with suppress(TrainingEnds):
            self.notify("on_train_begin", X=X, y=y)
            # Epochs that a callback has put into the history were trained by an earlier process.
            fit_params.setdefault("epochs", self.max_epochs - len(self.history) + n_before)
            self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name, **kwargs):
        """Call a method of all callbacks, and tell an early stopping, which raises KeyboardInterrupt, from others."""
        getattr(self, method_name)(self, **kwargs)
        for _, callback in self.callbacks_:
            if method_name == "on_epoch_end":
                check_monitor(callback, self.history[-1])
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt:
                if method_name == "on_epoch_end" and has_lost_patience(callback):
                    raise TrainingEnds from None
                raise

    # skorch would put a DataLoader around patients and split them. Batches are made and patients held out before.
    def get_iterator(self, dataset, training=False):
        """Return the dataset, which iterates over batches by itself."""
        return dataset

    def get_split_datasets(self, X, y=None, **fit_params):
        """Unpack the pair of training and validation batches."""
        return X

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Begin an epoch; beside the first process, with random numbers that depend on nothing before it."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        if not self.processes.is_first:
            own = np.random.SeedSequence([dataset_train.seed, self.processes.index, len(self.history)])
            reseed(int(own.generate_state(1)[0]), self.device)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go through all batches, and record their losses at the end."""
        if iterator is None:
            return
        losses, sizes = [], []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"])
            sizes.append(len(batch[0]) if batch[0].share else 0)
            self.history.record_batch(f"{prefix}_loss", step["loss"])
            self.history.record_batch(f"{prefix}_batch_size", sizes[-1])
            self.notify("on_batch_end", batch=batch, training=training, **step)
        losses, sizes = mean_over_processes(torch.stack(losses), sizes, self.processes)
        for record, loss, size in zip(self.history[-1]["batches"][-len(losses) :], losses, sizes):
            record |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
        self.history.record(f"{prefix}_batch_count", len(losses))

    def get_loss(self, outputs, target, X=None, training=False):
        """The objective's loss."""
        return self.criterion_(outputs, to_device(target, self.device))

    def infer(self, x, **fit_params):
        """Compute the outputs of a batch of patients."""
        return self.module_(x.to(self.device))

    def train_step_single(self, batch, **fit_params):
        """Add the gradient of one batch."""
        # skorch does so for every batch, which walks through all modules and takes as long as a small layer.
        if not self.module_.training:
            self._set_training(True)
        patients, target = unpack_data(batch)
        outputs, penalty = self.module_.outputs_and_penalty(patients.to(self.device))
        loss = self.get_loss(outputs, target, X=patients, training=True)
        total = loss if penalty is None else loss + penalty
        # The losses are means over patients: weighted by shares they add up to the mean over the whole step.
        (total if patients.share == 1 else total * patients.share).backward()
        return {"loss": loss.detach(), "y_pred": outputs.detach()}

    def train_step(self, batch, **fit_params):
        """Add the gradient of one batch, and step where its step ends."""
        step = self.train_step_single(batch, **fit_params)
        # skorch would clear the gradients before each batch and let the optimizer compute the batch by a closure. Here
        # gradients add up until the step ends, so its two private methods are called by hand and without one.
        if batch[0].ends_step:
            add_gradients(self.module_, self.processes)
            self.notify(
                "on_grad_computed", named_parameters=self.get_all_learnable_params(), batch=batch, training=True
            )
            self._step_optimizer(None)
            self._zero_grad_optimizer(set_to_none=True)
        return step


class JointSurvivalNet(SurvivalNet):
    """The loop for a loss that does not decompose: over whole steps, of which memory holds one batch.

    A step of one batch is an ordinary one. Of others the gradient is that of one large batch, because the loss depends
    on the weights through the outputs alone.
    """

    def infer(self, x, **fit_params):
        """Compute the outputs of a step, batch by batch."""
        infer_batch = super().infer
        # Detached one by one, no graph outlives its batch. Without gradients from the start, modules might choose
        # another way to compute, and draw other random numbers than when they learn.
        return torch.cat([infer_batch(batch).detach() for batch in x])

    def train_step_single(self, batch, **fit_params):
        """Add the gradient of one step."""
        if not self.module_.training:
            self._set_training(True)
        step, target = unpack_data(batch)
        if len(step) <= step.batch_size:
            return super().train_step_single((next(iter(step)), target), **fit_params)
        # First pass: outputs of everybody, without graphs. The second has to draw the same dropout to get the same
        # outputs, so random numbers and running means are put back after the first.
        with rehearsal(self.module_, self.device):
            outputs = self.infer(step).requires_grad_()
        loss = self.get_loss(outputs, target, X=step, training=True)
        (gradient,) = torch.autograd.grad(loss, outputs)
        # Second pass, by the chain rule: the weights get the same gradient from sum(outputs * gradient), in which
        # `gradient` is a constant, as from the loss, and a sum over patients may be taken batch by batch.
        for patients, share in zip(step, gradient.split(step.batch_size)):
            again, penalty = self.module_.outputs_and_penalty(patients.to(self.device))
            total = (again * share).sum()
            if penalty is not None:
                # A mean over the patients of a batch, unlike the sum above: its share makes it that of the step.
                total = total + penalty * len(patients) / len(step)
            total.backward()
        return {"loss": loss.detach(), "y_pred": outputs.detach()}


def make_optimizer_params(optimizer, weight_decay: float) -> dict:
    """Arguments for skorch from a name or a class of optimizer."""
    cls = OPTIMIZERS.get(optimizer, optimizer)
    params = {"optimizer": cls}
    if "weight_decay" in signature(cls).parameters:
        params["optimizer__weight_decay"] = weight_decay
    elif weight_decay:
        raise ValueError(f"optimizer {cls.__name__} knows no weight_decay, got {weight_decay:g}. Set weight_decay=0.")
    if optimizer in OPTIMIZERS:
        params["optimizer__fused"] = True  # one pass over all weights instead of one operation per weight
    return params


def attention_weights(network: nn.Module) -> list[str]:
    """Names of the parameters of a network that decide how it weighs modalities or tiles."""
    parts = [name for name, part in network.named_modules() if getattr(part, "is_attention", False)]
    return [name for name, _ in network.named_parameters() if any(name.startswith(f"{part}.") for part in parts)]


def make_param_groups(network: nn.Module, recipe) -> dict:
    """Arguments for skorch that give attention a learning rate of its own; none where it has the usual one."""
    names = [] if recipe.attention_lr == 1 else attention_weights(network)
    group = {"lr": recipe.lr * recipe.attention_lr}
    return {"optimizer__param_groups": [(name, group) for name in names]} if names else {}


def make_optimizer(weights: dict[str, torch.Tensor], network: nn.Module, recipe) -> torch.optim.Optimizer:
    """The optimizer that `recipe` asks for, of `weights` with the names that they have in `network`."""
    params = make_optimizer_params(recipe.optimizer, recipe.weight_decay)
    settings = {name.removeprefix("optimizer__"): value for name, value in params.items() if name != "optimizer"}
    slow = set(attention_weights(network))
    groups = [
        {"params": [one for name, one in weights.items() if name in slow], "lr": recipe.lr * recipe.attention_lr},
        {"params": [one for name, one in weights.items() if name not in slow]},
    ]
    return params["optimizer"]([group for group in groups if group["params"]], lr=recipe.lr, **settings)


def without_name(entry):
    """A callback, of which users may pass a pair of name and callback."""
    return entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry


def check_callbacks(callbacks: list | None, has_validation: bool) -> None:
    """Refuse callbacks that skorch could not call, and those that monitor validation patients where there are none."""
    for entry in callbacks or []:
        callback = without_name(entry)
        if not isinstance(callback, Callback):
            raise ValueError(
                "callbacks must be a list of objects of skorch.callbacks.Callback, such as "
                f"[GradientNormClipping(1.0)], but holds {entry!r}."
            )
        monitor = getattr(callback, "monitor", None)
        # What else there is under a name such as valid_auc, another callback of the user's may compute.
        if monitor in ("valid_loss", "valid_loss_best") and not has_validation:
            name = type(callback).__name__
            raise ValueError(
                f"The callback {name} monitors {monitor!r}, but early_stopping=False holds out no patients to compute "
                "it of. Set early_stopping=True, which stops after `patience` epochs by itself, or monitor the "
                f"training loss: {name}(monitor={monitor.replace('valid', 'train')!r})."
            )


def copy_callbacks(callbacks: list | None) -> list:
    """Copies of callbacks, for one fit, because they keep what they have seen."""
    copies = []
    for entry in callbacks or []:
        try:
            copies.append(clone(entry, safe=False))
        except (TypeError, PicklingError) as error:  # by the copy module, of locks, open files and the like
            raise ValueError(
                f"callbacks holds a {type(without_name(entry)).__name__} that cannot be copied ({error}), but each fit "
                "works on copies. Let it keep the name of a file or folder, and open that in its on_train_begin."
            ) from error
    return copies


def check_monitor(callback: Callback, epoch: dict) -> None:
    """Refuse a callback that monitors what nothing has recorded in the epoch that ends."""
    monitor = getattr(callback, "monitor", None)
    if isinstance(monitor, str) and monitor not in epoch:
        recorded = [key for key, value in epoch.items() if isinstance(value, Real)]
        raise ValueError(
            f"The callback {type(callback).__name__} monitors {monitor!r}, which nothing before it records. Recorded "
            f"are {shorten(recorded, 8)}. Monitor one of these, or put a callback that records {monitor!r}, such as "
            "skorch.callbacks.EpochScoring, before it."
        )


def train(
    network: nn.Module,
    objective: Objective,
    training,
    validation,
    recipe,
    device: str,
    checkpoint=NOWHERE,
    processes=ALONE,
) -> SurvivalNet:
    """Train `network` on batches, and stop early where there are validation batches.

    `recipe` is asked for the settings of training, see `Recipe`.
    """
    callbacks = list(recipe.callbacks or [])
    if validation is not None:
        callbacks += [EarlyStopping("valid_loss", patience=recipe.patience, load_best=True, sink=noop)]
    for callback in map(without_name, callbacks):
        if isinstance(callback, Checkpoint) and callback.sink is noop:
            callback.sink = warn_unsaved
    bar = ProgressBar()
    if recipe.verbose and processes.is_first:
        callbacks += [bar]
    if not isinstance(checkpoint, Nowhere):
        callbacks += [KeepsState(checkpoint)]
    net = make_net(
        network,
        objective,
        callbacks=callbacks,
        max_epochs=recipe.max_epochs,
        lr=recipe.lr,
        device=device,
        **make_optimizer_params(recipe.optimizer, recipe.weight_decay),
        **make_param_groups(network, recipe),
    )
    net.processes = processes
    with tiny_numbers_as_zero(), closing(bar):
        net.fit((training, validation), None)
    net.processes = ALONE  # whoever trains the net further is alone, and it can be pickled
    return net


def make_net(network: nn.Module, objective: Objective, **net_params) -> SurvivalNet:
    """The net that trains `network` with the loss of `objective`."""
    net_type = SurvivalNet if objective.decomposes else JointSurvivalNet
    return net_type(network, ObjectiveLoss(objective), train_split=None, use_caching=False, verbose=0, **net_params)


def restore(network: nn.Module, objective: Objective, epochs: list[dict], **net_params) -> SurvivalNet:
    """A net that was trained before: with its weights and its history, but without what trains it further."""
    net = make_net(network, objective, **net_params).initialize()
    net.history_ = History(epochs)
    return net


def recorded_epochs(net: SurvivalNet) -> list[dict]:
    """The history of a net as far as it is numbers and words; single batches are left out."""
    # skorch's History looks for the key "batches" in every epoch.
    return [_plain(epoch) | {"batches": []} for epoch in net.history]


def _plain(epoch: dict) -> dict:
    plain = bool | int | float | str | np.number
    return {key: value for key, value in epoch.items() if isinstance(value, plain)}


def check_converged(net: SurvivalNet, patients: Patients, rows: np.ndarray) -> None:
    """Refuse a net whose loss, weights or outputs for some training patients, `rows`, are no numbers any more.

    The last loss is that before the last step, which alone may lead far away: hence a look at what comes out after it.
    """
    losses = [epoch["train_loss"] for epoch in net.history if "train_loss" in epoch]
    network = net.module_
    weights = wrong_weights(network)
    if losses and not np.isfinite(losses[-1]):
        what = f"the loss is {losses[-1]}"
    elif weights:
        what = f"weights are NaN or infinite after the last step, {shorten(weights, 2)}"
    else:
        network.eval()
        with torch.inference_mode():
            outputs = network(patients.batch(rows).to(net.device))
        if is_finite(outputs):
            return
        what = "after the last step, outputs for patients that it was trained on are NaN or infinite"
    first = net.history[0]["batches"][0].get("train_loss", 0.0)
    at_once = not np.isfinite(first)
    settings = {"lr": net.lr, "weight_decay": net.optimizer_.defaults.get("weight_decay", 0.0)}
    raise ValueError(f"Training diverged: {what}. {why_diverged(network, patients, rows, settings, at_once)}")


def training_history(net: SurvivalNet) -> pd.DataFrame:
    """Losses of each epoch."""
    columns = [key for key in ("train_loss", "valid_loss") if key in net.history[-1]]
    epochs = pd.RangeIndex(1, len(net.history) + 1, name="epoch")
    return pd.DataFrame(net.history[:, columns], columns=columns, index=epochs)
