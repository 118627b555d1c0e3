"""Results that are NaN or infinite are refused, with the input or the part of the network that made them so."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..layers._packed_bags import PackedBags
from ..patients._columns import BagColumn, all_finite
from ..patients._patients import Patients
from ..utils._validation import shorten
from ._modality_encoder import Standardize

ORDINARY = 1e3  # inputs and weights up to here are not what makes numbers overflow


def is_finite(result) -> bool:
    """Whether no number of a result is NaN or infinite; a result is a tensor, packed bags, several of these or None."""
    if isinstance(result, tuple | list):
        return all(map(is_finite, result))
    if isinstance(result, PackedBags):
        result = result.values
    return not torch.is_tensor(result) or all_finite(result)


def wrong_weights(network: nn.Module) -> list[str]:
    """Names of the parameters of a network that are NaN or infinite, and of its buffers that are NaN.

    -inf in a buffer is the usual mask of attention; only means and standard deviations must be finite, too.
    """
    scales = {id(one) for part in network.modules() if isinstance(part, Standardize) for one in part.buffers()}
    buffers = [(name, one) for name, one in network.named_buffers() if one.is_floating_point()]
    finite = [*network.named_parameters(), *((name, one) for name, one in buffers if id(one) in scales)]
    wrong = {name for name, one in finite if not all_finite(one.detach())}
    return sorted(wrong.union(name for name, one in buffers if one.isnan().any()))


@dataclass(frozen=True)
class Extreme:
    """The number that lies furthest out among the inputs of some patients.

    Attributes
    ----------
    size : float
        How far: standard deviations from the training patients' mean, or the number itself where nothing is scaled.
    sentence : str
        What it is, as the subject and the verb of a sentence.
    advice : str
        What brings it back.
    """

    size: float
    sentence: str
    advice: str


def most_extreme(network: nn.Module, patients: Patients, rows: np.ndarray) -> Extreme:
    """The input of the patients `rows` that lies furthest out, over all modalities."""
    found = [Extreme(0.0, "", "")]
    for m, (encoder, column) in enumerate(zip(network.encoders, patients.columns)):
        has_it = rows[patients.present[rows, m]]
        if len(has_it):
            look = _most_extreme_tile if isinstance(column, BagColumn) else _most_extreme_value
            found.append(look(encoder, column, has_it))
    return max(found, key=lambda extreme: extreme.size)


def _most_extreme_tile(encoder, column, rows):
    # One bag at a time, and the worst once more below, since all may not fit into memory.
    sizes = [float(column.read(row).abs().max()) for row in rows]
    row, size = rows[np.argmax(sizes)], max(sizes)
    tile = int(column.read(row).abs().amax(1).argmax())
    source = column.bags[row].source_of(tile) if column.on_disk else None
    origin = "" if source is None else f", which is from {str(source)!r},"
    return Extreme(
        size,
        f"tile {tile} of modality {column.name!r}{origin} has features up to {size:.3g}",
        f"bring the tile features of {column.name!r} to a common scale, for example with "
        "BagTransformer(StandardScaler()), and check the files of those that are far out",
    )


def _most_extreme_value(encoder, column, rows):
    # In float32 the difference to the mean may overflow itself.
    size = values = column.take(rows).double()
    standardized = encoder.standardize is not None
    if standardized:
        size = (values - encoder.standardize.mean.cpu()) / encoder.standardize.scale.cpu()
    row, feature = divmod(int(size.abs().argmax()), values.shape[1])
    value, far = float(values[row, feature]), float(size[row, feature].abs())
    away = f", {far:.3g} standard deviations from the mean of the training patients" if standardized else ""
    scale = "" if standardized else " or scale the columns, for example with standardize=True"
    return Extreme(
        far,
        f"column {column.columns[feature]!r} is {value:.3g}{away}",
        f"correct or clip column {column.columns[feature]!r}{scale}",
    )


def why_not_finite(network: nn.Module, patients: Patients, rows: np.ndarray, compute) -> str:
    """Say why the result for the patients `rows` is not finite; ``compute(rows)`` gives that of some of them."""
    weights = wrong_weights(network)
    if weights:
        return (
            f"The network has weights that are NaN or infinite, {shorten(weights, 2)}, so that it cannot predict. Its "
            "training diverged, or they were changed afterwards: fit it again, with a lower lr."
        )
    alone = [row for row in rows if not is_finite(compute(np.array([row])))]
    # A patient alone may be rounded otherwise than in the batch, so that perhaps nobody is found.
    first = np.array(alone[:1] or rows[:1])
    count = f" (and for {len(alone) - 1} others)" if len(alone) > 1 else ""
    sentence = f"The result for patient {patients.names[first[0]]!r}{count} is NaN or infinite"
    extreme = most_extreme(network, patients, first)
    name, weight = _largest_weight(network)
    if extreme.size > max(ORDINARY, weight):
        return f"{sentence}: {extreme.sentence}. {extreme.advice[0].upper()}{extreme.advice[1:]}."
    if weight > ORDINARY:
        return (
            f"{sentence}: the network has weights up to {weight:.3g}, in {name!r}, so its training diverged. Fit it "
            "again, with a lower lr."
        )
    return (
        f"{sentence}, although its inputs are ordinary: {_first_part(network, patients, first)} makes it so. If that "
        "is your own code, see where it divides by zero, takes the logarithm of zero or overflows."
    )


def _largest_weight(network):
    sizes = {name: float(one.detach().abs().max()) for name, one in network.named_parameters() if one.numel()}
    name = max(sizes, key=sizes.get)
    return name, sizes[name]


def _first_part(network, patients, rows):
    """Which part of the network is the first whose output is not finite."""
    batch = patients.batch(rows).to(network.head.weight.device)
    for encoder, column, inputs in zip(network.encoders, patients.columns, batch.inputs):
        if inputs is not None and not is_finite(encoder(inputs)):
            return f"the encoder of modality {column.name!r} ({type(encoder.encoder).__name__})"
    fused = network.fuse(batch)[0]
    if not is_finite(fused):
        return f"the fusion ({type(network.fusion).__name__})"
    return "the objective, or what explains the network,"


def why_diverged(network: nn.Module, patients: Patients, rows: np.ndarray, settings: dict, at_once: bool) -> str:
    """What to do about a training that ended without numbers; `at_once` if it had none from the first step.

    `settings` are those of the optimizer: "lr" and "weight_decay", of which a step takes the product.
    """
    extreme = most_extreme(network, patients, rows)
    far_out = ""
    if extreme.size > ORDINARY:
        far_out = f"{extreme.sentence[0].upper()}{extreme.sentence[1:]}: {extreme.advice}."
    if not at_once:
        lr, decay = settings["lr"], settings["weight_decay"]
        # A step that takes more than the whole weight is the likelier cause.
        lower = f"weight_decay, which is {decay:g}" if decay * lr > 1 else f"lr, which is {lr:g}"
        return f"Lower {lower}. {far_out}".rstrip()
    if far_out:
        return far_out
    noise = max(network.input_noise)
    if noise > ORDINARY:
        return f"Lower input_noise, which is {noise:g}."
    return (
        "The first loss was no number already, so lr is not the cause. If an encoder, fusion or objective is your own, "
        "see where it divides by zero, takes the logarithm of zero or overflows."
    )
