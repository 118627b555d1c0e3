"""What encoders make of a batch, on its way to the fusion."""

import numpy as np
import torch
from torch import Tensor

from ..layers._normalization import NORMALIZATIONS
from ..layers._packed_bags import PackedBags
from ..layers._segments import segment_mean
from ..patients._columns import LARGEST

Embedding = Tensor | PackedBags
"""What an encoder makes of a batch: a row per patient, or a bag of tokens per patient."""


def as_vectors(embedding: Embedding) -> Tensor:
    """One vector per patient: the mean of the tokens."""
    return segment_mean(embedding.values, embedding.lengths) if isinstance(embedding, PackedBags) else embedding


def as_tokens(embedding: Embedding) -> PackedBags:
    """A bag of tokens per patient: a vector is a single token."""
    return embedding if isinstance(embedding, PackedBags) else PackedBags(embedding, (1,) * len(embedding))


READERS = {"vectors": as_vectors, "tokens": as_tokens}


def normalize(normalization: str | None, embeddings: list[Embedding]) -> list[Embedding]:
    """Rescale every vector or token by itself; zeros, which a lacking patient has, stay zeros."""
    if normalization is None:
        return embeddings
    rescale = NORMALIZATIONS[normalization]
    rows = [one.values if isinstance(one, PackedBags) else one for one in embeddings]
    if len({one.shape[1] for one in rows}) == 1:  # all at once, since small steps are bound by the number of operations
        rescaled = rescale(torch.cat(rows)).split([len(one) for one in rows])
    else:
        rescaled = map(rescale, rows)
    return [one.with_values(new) if isinstance(one, PackedBags) else new for one, new in zip(embeddings, rescaled)]


def spoil_overflow(embedding: Embedding) -> Embedding:
    """Turn vectors and tokens with numbers beyond `LARGEST` into NaN, which no normalisation hides."""
    if isinstance(embedding, PackedBags):
        return embedding.with_values(spoil_overflow(embedding.values))
    return embedding.masked_fill(embedding.abs().amax(1, keepdim=True) > LARGEST, torch.nan)


def spread(embedding: Embedding, rows: Tensor, n_patients: int) -> Embedding:
    """Give patients who are not among `rows` zeros, or no tokens."""
    if isinstance(embedding, PackedBags):
        lengths = np.zeros(n_patients, dtype=int)
        lengths[rows.cpu().numpy()] = embedding.lengths
        return PackedBags(embedding.values, tuple(lengths.tolist()))
    return embedding.new_zeros(n_patients, embedding.shape[1]).index_copy(0, rows, embedding)


def hide(embedding: Embedding, kept: Tensor) -> Embedding:
    """Give patients who are not `kept` zeros, or no tokens."""
    if not isinstance(embedding, PackedBags):
        return embedding.masked_fill(~kept.unsqueeze(1), 0)
    kept = kept.cpu()
    lengths = torch.tensor(embedding.lengths)
    rows = torch.repeat_interleave(kept, lengths).nonzero().squeeze(1).to(embedding.values.device)
    return PackedBags(embedding.values[rows], tuple((lengths * kept).tolist()))


def drop_modalities(present: Tensor, probability: float) -> Tensor:
    """Hide each modality of a patient with the given probability, but never all that the patient has."""
    kept = present & (torch.rand(present.shape, device=present.device) >= probability)
    return torch.where(kept.any(dim=1, keepdim=True), kept, present)
