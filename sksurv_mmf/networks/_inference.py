"""What a network says about patients, refused where it is no number."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from ..patients._patients import Patients
from ..patients._reading import prediction_batches
from ._finite import is_finite, why_not_finite


def infer(network: nn.Module, patients: Patients, device: str, function, mode=torch.inference_mode) -> list:
    """Results of ``function(network, batch)`` over batches of all patients, without gradients.

    The mode ``torch.no_grad`` lets `function` switch gradients on again. A result that is NaN or infinite is refused.
    """
    return list(infer_all([(network, function)], patients, device, next, mode))


def infer_all(members: list[tuple], patients: Patients, device: str, summarize, mode=torch.inference_mode) -> Iterator:
    """What `summarize` makes of the results of several networks, batch by batch.

    `members` are pairs of a network and its function. Patients are read once for all. `summarize` is given an iterator
    over ``function(network, batch)`` of the members, which computes each when it is asked for.
    """
    start = 0
    for network, _ in members:
        network.eval()
    for batch in prediction_batches(patients):
        rows = np.arange(start, start + len(batch))
        with mode():
            batch = batch.to(device)
            result = summarize(_look(network, function, batch, patients, rows) for network, function in members)
        yield result
        start += len(batch)


def _look(network, function, batch, patients, rows):
    def again(rows):
        return function(network, patients.batch(rows).to(batch.present.device))

    result = function(network, batch)
    if not is_finite(result):
        raise ValueError(why_not_finite(network, patients, rows, again))
    return result
