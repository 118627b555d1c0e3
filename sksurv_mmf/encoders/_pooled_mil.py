"""Mean and maximum pooling of a bag of tiles."""

from torch import Tensor, nn

from ..layers._packed_bags import PackedBags
from ..layers._segments import segment_max, segment_mean
from ..utils._validation import PROBABILITY, WIDTH
from ._attention_mil import PatientVector, TileEmbedding
from ._base import Encoder


class _PooledMIL(Encoder):
    """Embed every tile, pool without weights, embed the patient."""

    reads = "bag"

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "dropout": [PROBABILITY],
    }

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        return _PooledMILModule(
            TileEmbedding(n_features, self.hidden_dim, self.dropout, 0.0, batch_norm=False),
            self._pool,
            PatientVector(self.hidden_dim, embedding_dim, self.dropout),
        )


class MeanMIL(_PooledMIL):
    """Mean pooling: every tile of a patient counts the same.

    The baseline for :class:`AttentionMIL`, and often as good where the signal is spread over the whole slide.

    Parameters
    ----------
    hidden_dim : int, default=512
        Width of the tile embedding.
    dropout : float, default=0.25
        Dropout probability of the tile embedding and of the patient vector.

    See Also
    --------
    MaxMIL : The maximum of each feature over the tiles.

    Examples
    --------
    >>> from sksurv_mmf.encoders import MeanMIL
    >>> MeanMIL(hidden_dim=64).build(n_features=1024, embedding_dim=16).out_dim
    16
    """

    # A plain function would be bound to the encoder, which it is not to be given.
    _pool = staticmethod(segment_mean)

    def __init__(self, hidden_dim=512, *, dropout=0.25):
        self.hidden_dim = hidden_dim
        self.dropout = dropout


class MaxMIL(_PooledMIL):
    """Maximum pooling: for each feature the tile that shows it most.

    Suits a signal that a handful of tiles carry, at the price of being led by outliers.

    Parameters
    ----------
    hidden_dim : int, default=512
        Width of the tile embedding.
    dropout : float, default=0.25
        Dropout probability of the tile embedding and of the patient vector.

    See Also
    --------
    MeanMIL : The mean over the tiles.

    Examples
    --------
    >>> from sksurv_mmf.encoders import MaxMIL
    >>> MaxMIL(hidden_dim=64).build(n_features=1024, embedding_dim=16).out_dim
    16
    """

    _pool = staticmethod(segment_max)

    def __init__(self, hidden_dim=512, *, dropout=0.25):
        self.hidden_dim = hidden_dim
        self.dropout = dropout


class _PooledMILModule(nn.Module):
    def __init__(self, embed: TileEmbedding, pool, rho: PatientVector):
        super().__init__()
        self.embed = embed
        self.pool = pool
        self.rho = rho
        self.out_dim = rho.out_dim

    def forward(self, bags: PackedBags) -> Tensor:
        return self.rho(self.pool(self.embed(bags.values), bags.lengths))
