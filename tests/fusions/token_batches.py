"""Batches of tokens, for the tests of the fusions that read them."""

import torch

from sksurv_mmf.bags import PackedBags


def random_tokens(*lengths, dim=16):
    """One modality of a batch, with as many tokens per patient as `lengths` say."""
    return PackedBags(torch.randn(sum(lengths), dim, dtype=torch.float64), lengths)


def fuse(module, *embeddings):
    present = torch.tensor([one.lengths for one in embeddings]).T > 0
    return module(list(embeddings), present)[0]


def patient(embeddings, i):
    """The batch of one patient."""
    return [PackedBags(one.values.split(one.lengths)[i], one.lengths[i : i + 1]) for one in embeddings]
