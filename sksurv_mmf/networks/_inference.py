"""What a network says about patients, refused where it is no number."""

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

    def again(rows):
        return function(network, patients.batch(rows).to(device))

    network.eval()
    results, start = [], 0
    with mode():
        for batch in prediction_batches(patients):
            result = function(network, batch.to(device))
            if not is_finite(result):
                rows = np.arange(start, start + len(batch))
                raise ValueError(why_not_finite(network, patients, rows, again))
            results.append(result)
            start += len(batch)
    return results
