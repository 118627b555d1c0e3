"""Fusion by the mean vector."""

from collections.abc import Collection
from numbers import Real

import torch
from torch import Tensor, nn

from ..utils._sklearn import Interval
from ._base import Fusion, stack_modalities

SIMILARITY_RANGE = (0.02, 1.0)  # beyond which the published similarity term is constant


class Mean(Fusion):
    r"""Mean of the modality vectors that a patient has.

    Has no weights of its own and is the simplest answer to missing modalities, as in [1]_.

    Parameters
    ----------
    similarity : float, default=0.0
        Weight of a term of the loss that pulls the modality vectors of a patient together, so that one can stand
        for another; 0.3 in the code of [1]_.

    Notes
    -----
    For the vectors :math:`f_m \in \mathbb{R}^E` of the :math:`M` modalities that a patient has, with their mean
    :math:`F` and the mean :math:`\bar F` of its elements, the term is the mean over patients of

    .. math::

        r = \frac{\sum_m \lVert f_m - F \rVert^2}{\sum_m \lVert f_m - \bar F \rVert^2},

    clamped to [0.02, 1]. It is a ratio for each patient; the published code takes numerator and :math:`\bar F` over the
    batch, which for a batch of one patient is the same.

    References
    ----------
    .. [1] Cheerla, A., Gevaert, O. "Deep learning with multimodal representation for pancancer prognosis
           prediction", Bioinformatics 35, 2019.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.fusions import Mean
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> rna = torch.tensor([[4.0], [0.0]])
    >>> Mean().build({"wsi": 1, "rna": 1})([torch.tensor([[2.0], [2.0]]), rna], present)[0].tolist()
    [[3.0], [2.0]]
    """

    _parameter_constraints = {"similarity": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, similarity=0.0):
        self.similarity = similarity

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        dim = self._common_dim(dims)
        # A module without the method `penalty` spares the network the term in every step.
        return _SimilarMeanModule(dim, self.similarity) if self.similarity else _MeanModule(dim)


def mean_of_present(stacked: Tensor, present: Tensor) -> Tensor:
    """Mean over the modalities that a patient has: (..., n_patients, embedding_dim)."""
    # Nobody is without any modality, in training neither, so that the divisor is at least 1.
    return (stacked * present.unsqueeze(-1)).sum(dim=-2) / present.sum(dim=-1, keepdim=True)


def dissimilarity(stacked: Tensor, present: Tensor) -> Tensor:
    """Share of the variance of a patient's vectors that is between the modalities, shape (..., n_patients)."""
    mean = mean_of_present(stacked, present)
    within = mean_of_present((stacked - mean.unsqueeze(-2)) ** 2, present).mean(dim=-1)
    overall = mean_of_present((stacked - mean.mean(dim=-1)[..., None, None]) ** 2, present).mean(dim=-1)
    # Vectors that are all one constant do not differ, where 0 / 0 would spoil the loss of the batch.
    return within / torch.where(overall > 0, overall, 1)


class _MeanModule(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = dim

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, None]:
        return mean_of_present(stack_modalities(embeddings), present), None


class _SimilarMeanModule(_MeanModule):
    def __init__(self, dim: int, similarity: float):
        super().__init__(dim)
        self.similarity = similarity

    def penalty(self, embeddings: list[Tensor], present: Tensor) -> Tensor:
        """The weighted dissimilarity of the modalities, averaged over the patients."""
        ratio = dissimilarity(stack_modalities(embeddings), present)
        return self.similarity * ratio.clamp(*SIMILARITY_RANGE).mean(dim=-1)
