"""What every fusion promises."""

from abc import ABC, abstractmethod
from collections.abc import Collection

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn


class Fusion(BaseEstimator, ABC):
    """Recipe for the network that makes one vector of a patient's modality vectors or tokens.

    A fusion holds hyper-parameters only; `build` makes the torch module once the modalities are known. To
    write your own, subclass it and implement `build`.

    Attributes
    ----------
    reads : {"vectors", "tokens"}
        Whether the module is given one vector per patient and modality, or the tokens of each modality as
        :class:`~sksurv_mmf.bags.PackedBags`. A class attribute, "vectors" unless set.
    has_attention : bool
        Whether the module weighs the modalities, so that
        :meth:`~sksurv_mmf.FusionSurvivalAnalysis.modality_attention` exists.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sksurv_mmf.fusions import Fusion
    >>> class Sum(Fusion):
    ...     def build(self, dims, bags=()):
    ...         return SumModule(out_dim=next(iter(dims.values())))
    >>> class SumModule(nn.Module):
    ...     def __init__(self, out_dim):
    ...         super().__init__()
    ...         self.out_dim = out_dim
    ...
    ...     def forward(self, embeddings, present):
    ...         return sum(embeddings), None
    >>> fuse = Sum().build({"wsi": 2, "rna": 2})
    >>> fuse([torch.ones(1, 2), torch.ones(1, 2)], torch.tensor([[True, True]]))
    (tensor([[2., 2.]]), None)
    """

    reads = "vectors"
    has_attention = False

    _parameter_constraints = {}

    @abstractmethod
    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        """Make the network.

        Its ``forward(embeddings, present)`` takes one (n_patients, dim) tensor per modality, with zeros for a
        patient who lacks it, and the boolean mask `present` of shape (n_patients, n_modalities). A fusion that reads
        tokens gets one :class:`~sksurv_mmf.bags.PackedBags` per modality instead, in which a patient who lacks it has
        no token. It returns the fused (n_patients, ``out_dim``) tensor and the weights of shape (n_patients,
        n_modalities), or None where the design has none.

        Where `modality_dropout` hides a modality in training, `present` is False as if the patient lacked it, but its
        tokens are still there, as zeros. They must have no weight: mask them wherever tokens are compared or averaged.

        A module may have a second method, ``penalty``, from the same arguments to a scalar that is added to the loss
        in training.

        The modules of this package count axes from the end and let further ones pass in front of those named here.

        Parameters
        ----------
        dims : dict of str to int
            Width of each modality's embedding, in the order of the modalities.
        bags : collection of str, default=()
            Names of the modalities that are bags of tiles, for designs that treat these differently.

        Returns
        -------
        module : torch.nn.Module
            An untrained network, initialised from torch's global random state.
        """

    def _common_dim(self, dims: dict[str, int]) -> int:
        """The one width of all embeddings, which designs that add or compare modalities need."""
        if len(set(dims.values())) > 1:
            widths = ", ".join(f"{name!r} has {dim}" for name, dim in dims.items())
            raise ValueError(
                f"{type(self).__name__} needs embeddings of one width, but {widths}. Give every modality an "
                "encoder that embeds (not Identity), or use the fusion Concat."
            )
        return next(iter(dims.values()))


def stack_modalities(embeddings: list[Tensor]) -> Tensor:
    """One tensor of shape (..., n_patients, n_modalities, embedding_dim)."""
    return torch.stack(embeddings, dim=-2)


def modality_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the modalities a patient has; the weight of a missing one is exactly 0.

    `scores` and `present` have the shape (..., n_patients, n_modalities).
    """
    # Callers see to it that no row is without any, of which the softmax would be NaN.
    return scores.masked_fill(~present, -torch.inf).softmax(dim=-1)


def side_by_side(weights: Tensor, stacked: Tensor) -> Tensor:
    """The modality vectors times the (..., n_patients, n_modalities) weights, one beside the other."""
    return (weights.unsqueeze(-1) * stacked).flatten(-2)


def weighted_sum(weights: Tensor, stacked: Tensor) -> Tensor:
    """Sum of the stacked modality vectors with the given (..., n_patients, n_modalities) weights."""
    return (weights.unsqueeze(-1) * stacked).sum(dim=-2)
