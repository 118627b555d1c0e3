"""Patients who have equally many tokens, as one dense batch."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from ..layers._packed_bags import PackedBags


def map_layouts(
    function: Callable[[list[Tensor], Tensor], Tensor], embeddings: list[PackedBags], present: Tensor
) -> Tensor:
    """Apply a function of dense tokens to packed ones, without padding.

    Patients who have equally many tokens of every modality are given to `function` together, as one
    (..., n_patients, n_tokens, dim) tensor per modality, without tokens where they lack it, and the (..., n_patients,
    n_modalities) mask `present`, which is False for tokens that are hidden, too. `function` returns one row per
    patient, and so does this: (..., n_patients, out_dim), in the order of the batch.
    """
    groups = defaultdict(list)
    for patient, layout in enumerate(zip(*(one.lengths for one in embeddings))):
        groups[layout].append(patient)
    # Where all are alike a view does, without the copies that stacking makes.
    if len(groups) == 1:
        (layout,) = groups
        return function([one.values.unflatten(-2, (len(one), n)) for one, n in zip(embeddings, layout)], present)
    # Made on the CPU and copied without waiting, as a list of positions would not be.
    order = torch.tensor([patient for group in groups.values() for patient in group])
    tokens = [one.values.split(one.lengths, dim=-2) for one in embeddings]
    masks = present.index_select(-2, order.to(present.device, non_blocking=True))
    rows = [
        function([torch.stack([bags[i] for i in group], dim=-3) for bags in tokens], mask)
        for group, mask in zip(groups.values(), masks.split([len(group) for group in groups.values()], dim=-2))
    ]
    # The argsort of a permutation is its inverse.
    return torch.cat(rows, dim=-2).index_select(-2, order.argsort().to(present.device, non_blocking=True))


def present_tokens(tokens: list[Tensor], present: Tensor) -> Tensor:
    """Which tokens, of all modalities one after the other, are not hidden: (..., n_patients, n_tokens)."""
    masks = [has.unsqueeze(-1).expand(*has.shape, one.shape[-2]) for one, has in zip(tokens, present.unbind(-1))]
    return torch.cat(masks, dim=-1)
