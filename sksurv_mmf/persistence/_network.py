"""The estimator of this package: parameters and what was learnt as JSON, the network's weights beside them."""

from contextlib import contextmanager
from copy import copy
from itertools import chain
from numbers import Integral, Real
from threading import get_ident

import numpy as np
import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from ..bags._tiling import Tiling
from ..cohort._columns import check_reads
from ..files._tree import place
from ..networks._recipe import empty_network
from ..patients._modality import Modality
from ..survival import FusionSurvivalAnalysis
from ..training._net import make_optimizer_params, recorded_epochs, restore, training_history
from ..utils._device import resolve_device
from ..utils._modality_names import feature_of
from ..utils._torch_state import fork_rng
from ..utils._validation import shorten
from ._first_format import upgrade_network
from ._integrity import check_learnt, check_objective, check_weights
from ._later_parameters import as_it_was
from ._tree import encode, is_ours, is_torch_optimizer

# Without a limit, a file of a kilobyte could ask for a list of a billion layers. No real parameter comes near.
LARGEST_SIZE = 10_000_000


def encode_network(estimator, where, parts):
    """JSON of a fitted estimator; its arrays and weights, and what is left out, go into `parts`."""
    estimator, left_out = without_training_aids(estimator)
    net = estimator.net_
    del estimator.net_, estimator.history_
    parts.left_out += [place(where, name) for name in left_out]
    weights = net.module_.state_dict()
    parts.tensors |= {f"{weights_prefix(where)}{name}": weight for name, weight in weights.items()}
    return {
        "network": encode(estimator, where, parts),
        "epochs": encode(recorded_epochs(net), place(where, "epochs"), parts),
    }


def without_training_aids(estimator):
    """A copy without the parameters that only training needs and that a file without code cannot hold."""
    estimator = copy(estimator)
    optimizer = estimator.optimizer
    is_named = isinstance(optimizer, str) or (isinstance(optimizer, type) and is_torch_optimizer(optimizer))
    drop = {
        "callbacks": bool(estimator.callbacks),
        "checkpoint_dir": estimator.checkpoint_dir is not None,
        "optimizer": not is_named,
        "random_state": isinstance(estimator.random_state, np.random.RandomState),
    }
    left_out = [name for name, dropped in drop.items() if dropped]
    defaults = FusionSurvivalAnalysis().get_params(deep=False)
    for name in left_out:
        setattr(estimator, name, defaults[name])
    return estimator, left_out


def weights_prefix(where):
    """What the names of the network's weights begin with."""
    return place(where, "net_/")


def decode_network(node, where, decoder):
    """Build a fitted estimator from its JSON and from the tensors of `decoder`, whose own weights are removed."""
    prefix = weights_prefix(where)
    names = [name for name in decoder.tensors if name.startswith(prefix)]
    weights = {name.removeprefix(prefix): decoder.tensors.pop(name) for name in names}
    node, weights = upgrade_network(as_it_was(node), weights)
    estimator, epochs = decoder.decode(node["network"]), check_epochs(decoder.decode(node["epochs"]))
    check_estimator(estimator)
    network = build_network(estimator, weights)
    check_weights(network)
    check_objective(estimator.objective_)
    if not np.array_equal(estimator.unique_times_, estimator.objective_.unique_times_):
        raise ValueError("unique_times_ are not those of the objective_")
    device = usable_device(estimator.device)
    estimator.net_ = restore(
        network,
        estimator.objective_,
        epochs,
        device=device,
        max_epochs=estimator.max_epochs,
        lr=estimator.lr,
        **make_optimizer_params(estimator.optimizer, estimator.weight_decay),
    )
    estimator.history_ = training_history(estimator.net_)
    return estimator


def check_epochs(epochs):
    """Refuse a history without the loss of each epoch, the last of which must be a number."""
    if not isinstance(epochs, list) or not epochs:
        raise ValueError(f"parameters.json has epochs={epochs!r:.80}, where a list with one of each epoch is expected")
    for epoch in epochs:
        loss = epoch.get("train_loss") if isinstance(epoch, dict) else None
        if not isinstance(loss, Real) or isinstance(loss, bool):
            raise ValueError(f"parameters.json has an epoch whose train_loss is no number: {epoch!r:.80}")
    if not np.isfinite(loss):
        raise ValueError(f"its training diverged: parameters.json says that the last train_loss is {loss}")
    return epochs


def check_estimator(estimator):
    """Refuse parameters that `fit` would refuse, and a layout that does not fit the columns."""
    if not isinstance(estimator, FusionSurvivalAnalysis):
        raise ValueError(f"parameters.json holds a {type(estimator).__name__} where a network is expected")
    check_writes_nowhere(estimator)
    modalities = estimator.modalities_
    if not isinstance(modalities, list) or not modalities or not all(isinstance(one, Modality) for one in modalities):
        raise ValueError(f"parameters.json has modalities_={modalities!r:.80}, where a list of modalities is expected")
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and len(names) != estimator.n_features_in_:
        raise ValueError(
            f"parameters.json says n_features_in_={estimator.n_features_in_}, but has {len(names)} feature_names_in_"
        )
    specs = [estimator.objective_, estimator._fusion(), *(modality.encoder for modality in modalities)]
    for one in [estimator, *specs]:
        one._validate_params()
    sizes = {"embedding_dim": estimator.embedding_dim, "n_outputs_": estimator.objective_.n_outputs_}
    for spec in specs:
        sizes |= {f"{type(spec).__name__}.{name}": value for name, value in spec.get_params(deep=False).items()}
    for modality in modalities:
        check_modality(modality, estimator.n_features_in_, names)
        check_reads(modality)
        check_learnt(modality.encoder, f"the encoder of modality {modality.name!r}")
        sizes[f"n_features of {modality.name!r}"] = modality.n_features
    for name, value in sizes.items():
        if isinstance(value, Integral) and value > LARGEST_SIZE:
            raise ValueError(f"parameters.json says {name}={value}, more than the {LARGEST_SIZE} that are allowed")


def check_writes_nowhere(estimator):
    """Refuse a folder that the file chooses, to which the loaded model would write when it is fitted again."""
    if estimator.checkpoint_dir is not None:
        raise ValueError(f"parameters.json says checkpoint_dir={estimator.checkpoint_dir!r:.80}, which is never saved")


def check_modality(modality, n_columns, names):
    """Refuse a modality with columns that X does not have, or that have other names."""
    # A range knows its members without memory for them, whatever number a file gives.
    known = range(n_columns)
    if not all(column in known for column in modality.columns):
        raise ValueError(f"parameters.json has a modality that is none of the {n_columns} columns: {modality!r:.80}")
    if names is not None and not modality.is_bag:
        columns = [names[column] for column in modality.columns]
        if modality.feature_names != [feature_of(column, modality.name) for column in columns]:
            raise ValueError(
                f"parameters.json has the features {shorten(modality.feature_names)} of modality {modality.name!r}, "
                f"whose columns are {shorten(columns)}"
            )
    if not isinstance(modality.tiling, Tiling | None):
        raise ValueError(f"parameters.json describes the tiles of {modality.name!r} by {modality.tiling!r:.80}")


def build_network(estimator, weights):
    """Build the network around its weights, whose names, shapes and types must be the ones that it has."""
    recipe = estimator._recipe(estimator.modalities_)
    parts = [recipe.fusion, *(modality.encoder for modality in recipe.modalities)]
    # On torch's meta device tensors have a shape but no memory. Modules from elsewhere need not know it.
    device = "meta" if all(map(is_ours, map(type, parts))) else "cpu"
    with fork_rng(), at_most(weights), torch.device(device):
        network = empty_network(recipe, estimator.objective_)
    expected = network.state_dict()
    for sentence, names in {"lacks": expected.keys() - weights, "has an unexpected": weights.keys() - expected}.items():
        if names:
            raise ValueError(f"weights.safetensors {sentence} weight: {shorten(sorted(names))}")
    for name, tensor in expected.items():
        given = weights[name]
        if (given.shape, given.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"weights.safetensors has {name!r} as {given.dtype} of shape {tuple(given.shape)}, but the parameters "
                f"ask for {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
    network.load_state_dict(weights, assign=True)
    unset = [name for name, one in chain(network.named_parameters(), network.named_buffers()) if one.is_meta]
    if unset:
        raise ValueError(f"the network has tensors that no file holds: {shorten(unset)}")
    return network


@contextmanager
def at_most(weights):
    """Inside the block, stop a network that grows far beyond the weights that there are for it."""
    # Twice, because a module may replace a weight while it is made.
    room = 10_000 + 2 * sum(weight.numel() for weight in weights.values())
    thread = get_ident()

    def take(module, name, tensor):
        nonlocal room
        if tensor is not None and get_ident() == thread:
            room -= tensor.numel()
        if room < 0:
            raise ValueError("weights.safetensors has fewer weights than the network that parameters.json describes")

    hooks = [register_module_parameter_registration_hook(take), register_module_buffer_registration_hook(take)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def usable_device(device):
    """The device that the parameters ask for, or the CPU on a machine that lacks it."""
    try:
        return resolve_device(device)
    except ValueError:
        return "cpu"
