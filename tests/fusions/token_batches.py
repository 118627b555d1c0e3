"""Batches of tokens, for the tests of the fusions that read them."""

from itertools import product

import torch
from torch.testing import assert_close

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


def check_hidden_is_left_out(module):
    """Hidden tokens of three modalities, in every combination, count as absent ones, for outputs and gradients."""
    masks = torch.tensor([one for one in product([True, False], repeat=3) if any(one)])
    batch = [random_tokens(*[n] * len(masks)) for n in (2, 4, 3)]
    for one in batch:
        one.values.requires_grad_()
    hidden, left_out = module(hide(batch, masks), masks)[0], fuse(module, *leave_out(batch, masks))
    assert_close(hidden, left_out, rtol=1e-10, atol=1e-12)
    wanted = [one.values for one in batch] + list(module.parameters())
    gradients = [torch.autograd.grad(out.square().sum(), wanted, allow_unused=True) for out in (hidden, left_out)]
    for ours, expected in zip(*gradients):
        if expected is not None:
            assert_close(ours, expected, rtol=1e-9, atol=1e-11)
