"""Batches of tokens, for the tests of the fusions that read them."""

import torch

from sksurv_mmf.bags import PackedBags


def random_tokens(*lengths, dim=16):
    """One modality of a batch, with as many tokens per patient as `lengths` say."""
    return PackedBags(torch.randn(sum(lengths), dim, dtype=torch.float64), lengths)


def has_tokens(embeddings):
    """Who has what: (n_patients, n_modalities)."""
    return torch.tensor([one.lengths for one in embeddings]).T > 0


def fuse(module, *embeddings):
    return module(list(embeddings), has_tokens(embeddings))[0]


def all_present(*tokens):
    """The mask of dense tokens none of which is hidden, one tensor for each modality."""
    return torch.ones(len(tokens[0]), len(tokens), dtype=torch.bool)


def hide(embeddings, present):
    """Zeros where a patient is not to have the modality, in the same places."""
    masks = [torch.repeat_interleave(has, torch.tensor(one.lengths)) for one, has in zip(embeddings, present.T)]
    return [one.with_values(one.values * mask[:, None]) for one, mask in zip(embeddings, masks)]


def leave_out(embeddings, present):
    """No tokens where a patient is not to have the modality."""
    kept = [[n * int(has) for n, has in zip(one.lengths, column)] for one, column in zip(embeddings, present.T)]
    values = [
        torch.cat([tokens[:n] for tokens, n in zip(one.values.split(one.lengths), lengths)])
        for one, lengths in zip(embeddings, kept)
    ]
    return [PackedBags(value, tuple(lengths)) for value, lengths in zip(values, kept)]


def patient(embeddings, i):
    """The batch of one patient."""
    return [PackedBags(one.values.split(one.lengths)[i], one.lengths[i : i + 1]) for one in embeddings]
