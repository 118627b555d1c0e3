"""What every encoder promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sklearn.base import BaseEstimator
from torch import Tensor, nn

from ..utils._validation import names_of


class Encoder(BaseEstimator, ABC):
    """Recipe for the network that turns one modality into one vector, or several tokens, per patient.

    An encoder holds hyper-parameters only; `build` makes the torch module once the data are known. To write
    your own, subclass it, set `reads` and implement `build`. An encoder that must know the training patients
    beforehand, because it clusters their tiles, say, also implements `fit`.

    Attributes
    ----------
    reads : {"bag", "vector"}
        What the module is given: a :class:`~sksurv_mmf.bags.PackedBags` of the patients' tiles or a tensor of
        shape (n_patients, n_features).
    has_attention : bool
        Whether the module weighs tiles, so that :meth:`~sksurv_mmf.FusionSurvivalAnalysis.tile_attention` can tell how
        much. A class attribute, False unless set.

    Examples
    --------
    >>> from torch import nn
    >>> from sksurv_mmf.encoders import Encoder
    >>> class Linear(Encoder):
    ...     reads = "vector"
    ...
    ...     def build(self, n_features, embedding_dim):
    ...         module = nn.Linear(n_features, embedding_dim)
    ...         module.out_dim = embedding_dim
    ...         return module
    >>> Linear().build(n_features=100, embedding_dim=16)
    Linear(in_features=100, out_features=16, bias=True)

    An encoder of bags with a hyper-parameter:

    >>> import torch
    >>> class TopTiles(Encoder):
    ...     reads = "bag"
    ...
    ...     def __init__(self, n_tiles=3):
    ...         self.n_tiles = n_tiles
    ...
    ...     def build(self, n_features, embedding_dim):
    ...         return TopTilesModule(self.n_tiles, n_features, embedding_dim)
    >>> class TopTilesModule(nn.Module):
    ...     def __init__(self, n_tiles, n_features, embedding_dim):
    ...         super().__init__()
    ...         self.n_tiles, self.out_dim = n_tiles, embedding_dim
    ...         self.linear = nn.Linear(n_features, embedding_dim)
    ...
    ...     def forward(self, bags):
    ...         embedded = self.linear(bags.values).split(bags.lengths, dim=-2)
    ...         tops = [tiles.topk(min(self.n_tiles, tiles.shape[-2]), dim=-2).values for tiles in embedded]
    ...         return torch.stack([top.mean(dim=-2) for top in tops], dim=-2)
    >>> TopTiles().build(n_features=100, embedding_dim=16).out_dim
    16
    """

    reads: str
    has_attention = False

    _parameter_constraints = {}

    def fit(self, inputs: Tensor | Sequence[Tensor], feature_names: list[str]) -> "Encoder":
        """Learn from the training patients what the network needs; nothing unless overridden.

        An estimator fits a clone, so the object that a user passes stays as it was.

        Parameters
        ----------
        inputs : Tensor of shape (n_patients, n_features) or sequence of Tensor
            The training patients who have the modality: their rows, or for bags one tensor of shape
            (n_tiles, n_features) for each patient, which is read when it is asked for.
        feature_names : list of str
            Names of the columns without the prefix of the modality; empty for bags.

        Returns
        -------
        self : Encoder
            The fitted encoder. Random numbers come from torch's global random state, as in `build`.
        """
        return self

    @abstractmethod
    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        """Make the network.

        Its ``forward`` maps what the encoder reads to a tensor of shape (n_patients, ``out_dim``), or to several
        tokens per patient as :class:`~sksurv_mmf.bags.PackedBags` of width ``out_dim``, of which a fusion of vectors
        is given the mean. Its attribute ``out_dim`` says how wide that is. A module of an encoder that
        `has_attention` has a second method, ``attention``, from packed bags to one weight per tile, a tensor of shape
        (n_tiles_total,) that sums to one over the tiles of each bag.

        Parameters
        ----------
        n_features : int
            Width of the input.
        embedding_dim : int
            Width that the embedding should have.

        Returns
        -------
        module : torch.nn.Module
            An untrained network, initialised from torch's global random state.
        """


def encoders_that(**attributes) -> list[str]:
    """Names of all encoders, those that users wrote included, whose class attributes have these values."""
    return names_of(Encoder, **attributes)
