"""Patients who have equally many tokens, as one dense batch."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from ..layers._packed_bags import PackedBags


def map_layouts(function: Callable[[list[Tensor]], Tensor], embeddings: list[PackedBags]) -> Tensor:
    """Apply a function of dense tokens to packed ones, without padding.

    Patients who have equally many tokens of every modality are given to `function` together, as one
    (n_patients, n_tokens, dim) tensor per modality, without tokens where they lack it. `function` returns one row per
    patient, and so does this: (n_patients, out_dim), in the order of the batch.
    """
    groups = defaultdict(list)
    for patient, layout in enumerate(zip(*(one.lengths for one in embeddings))):
        groups[layout].append(patient)
    if len(groups) == 1:
        (layout,) = groups
        return function([one.values.view(len(one), n, one.values.shape[1]) for one, n in zip(embeddings, layout)])
    tokens = [one.values.split(one.lengths) for one in embeddings]
    rows = [function([torch.stack([bags[i] for i in group]) for bags in tokens]) for group in groups.values()]
    grouped = torch.tensor([patient for group in groups.values() for patient in group], device=rows[0].device)
    return torch.cat(rows).index_select(0, grouped.argsort())
