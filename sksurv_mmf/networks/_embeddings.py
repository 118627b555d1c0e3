"""What encoders make of a batch, on its way to the fusion."""

import torch
from torch import Tensor

from ..layers._lockstep import uniform
from ..layers._normalization import NORMALIZATIONS
from ..layers._packed_bags import PackedBags
from ..layers._segments import for_each_row, segment_mean
from ..patients._columns import LARGEST

Embedding = Tensor | PackedBags
"""What an encoder makes of a batch: a row per patient, or a bag of tokens per patient.

Axes are counted from the end, (..., n_patients, dim) and (..., n_tokens_total, dim): further ones may stand in front.
"""


def rows_of(embedding: Embedding) -> Tensor:
    """The vectors or the tokens, one below the other."""
    return embedding.values if isinstance(embedding, PackedBags) else embedding


def n_patients_of(embedding: Embedding) -> int:
    """Number of patients, of what an encoder is given or makes."""
    return len(embedding) if isinstance(embedding, PackedBags) else embedding.shape[-2]


def as_vectors(embedding: Embedding) -> Tensor:
    """One vector per patient: the mean of the tokens."""
    return segment_mean(embedding.values, embedding.lengths) if isinstance(embedding, PackedBags) else embedding


def as_tokens(embedding: Embedding) -> PackedBags:
    """A bag of tokens per patient: a vector is a single token."""
    return embedding if isinstance(embedding, PackedBags) else PackedBags(embedding, (1,) * embedding.shape[-2])


READERS = {"vectors": as_vectors, "tokens": as_tokens}


def normalize(normalization: str | None, embeddings: list[Embedding]) -> list[Embedding]:
    """Rescale every vector or token by itself; zeros, which a lacking patient has, stay zeros."""
    if normalization is None:
        return embeddings
    rescale = NORMALIZATIONS[normalization]
    rows = [rows_of(one) for one in embeddings]
    of_one_width = len({one.shape[-1] for one in rows}) == 1
    # All at once where it can be, since small steps are bound by the number of operations.
    if of_one_width:
        rescaled = rescale(torch.cat(rows, dim=-2)).split([one.shape[-2] for one in rows], dim=-2)
    else:
        rescaled = map(rescale, rows)
    return [one.with_values(new) if isinstance(one, PackedBags) else new for one, new in zip(embeddings, rescaled)]


def spoil_overflow(embedding: Embedding) -> Embedding:
    """Turn vectors and tokens with numbers beyond `LARGEST` into NaN, which no normalisation hides."""
    if isinstance(embedding, PackedBags):
        return embedding.with_values(spoil_overflow(embedding.values))
    return embedding.masked_fill(embedding.abs().amax(-1, keepdim=True) > LARGEST, torch.nan)


def spread(embedding: Embedding, rows: Tensor, n_patients: int) -> Embedding:
    """Give patients who are not among `rows`, which are on the CPU, zeros, or no tokens."""
    if isinstance(embedding, PackedBags):
        lengths = [0] * n_patients
        for row, length in zip(rows.tolist(), embedding.lengths):
            lengths[row] = length
        return PackedBags(embedding.values, tuple(lengths))
    *leading, _, dim = embedding.shape
    rows = rows.to(embedding.device, non_blocking=True)
    return embedding.new_zeros(*leading, n_patients, dim).index_copy(-2, rows, embedding)


def hide(embedding: Embedding, kept: Tensor) -> Embedding:
    """Give patients who are not `kept` zeros, as vectors or as tokens.

    Tokens stay in their places, so that no shape depends on the mask, which a fusion is given, too.
    """
    if isinstance(embedding, PackedBags):
        return embedding.with_values(hide(embedding.values, for_each_row(kept, embedding.lengths)))
    return embedding.masked_fill(~kept.unsqueeze(-1), 0)


def drop_modalities(present: Tensor, probability: float) -> Tensor:
    """Hide each modality of a patient with the given probability, but never all that the patient has."""
    chance = uniform(present.shape, present.device)
    kept = present & (chance >= probability)
    # Who would lose all keeps all, so that the few modalities of a patient are hidden less often than asked for.
    return torch.where(kept.any(dim=-1, keepdim=True), kept, present)
