"""Attention pooling of a bag of tiles."""

import torch
from torch import Tensor, nn

from ..layers._attention_pooling import CHUNK, AttentionPooling
from ..layers._attention_score import AttentionScore, xavier_linear
from ..layers._bag_matrix import pool_at_once
from ..layers._dropout import Dropout
from ..layers._input_linear import InputLinear
from ..layers._lockstep import for_members, in_lockstep
from ..layers._packed_bags import PackedBags
from ..layers._products import rounds_products
from ..layers._segments import counts_launches, segment_softmax, segment_weighted_sum
from ..utils._validation import PROBABILITY, WIDTH
from ._base import Encoder


class AttentionMIL(Encoder):
    r"""Attention-based multiple instance learning: a weighted mean of a patient's tiles.

    The encoder of choice for whole-slide images. Every tile is embedded, scored, and enters the patient's
    vector with the softmax of its score, so that the weights can be shown as a heat map
    (:meth:`~sksurv_mmf.FusionSurvivalAnalysis.tile_attention`).

    Parameters
    ----------
    hidden_dim : int, default=32
        Width of the tile embedding; 512 in the networks of [2]_ and 32 for a few hundred patients.
    attention_dim : int, default=32
        Width of the layer that scores a tile; 256 in the networks of [2]_.
    gated : bool, default=True
        Whether the score is gated (``tanh * sigmoid``) or plain (``tanh``).
    batch_norm : bool, default=False
        Normalise the tile embedding over the tiles of a training step before the ReLU. True gives the
        Custom-AMIL of [1]_, which the paper found to be worse.
    dropout : float, default=0.0
        Dropout probability in the tile embedding, the score and the patient vector; 0.25 in the networks of [2]_.
    input_dropout : float, default=0.0
        Dropout probability of the tile features themselves; the multimodal networks of [2]_ use 0.1.

    Notes
    -----
    With tiles :math:`x_i`,

    .. math::

        h_i = \mathrm{ReLU}(W_1 x_i), \quad
        s_i = w^\top (\tanh(V h_i) \odot \sigma(U h_i)) + b, \quad
        z = \mathrm{ReLU}(\rho \textstyle\sum_i \mathrm{softmax}(s)_i\, h_i).

    Weights start Xavier-normal, biases at zero. A step with a single tile leaves the batch normalisation on
    its running statistics, since one row has no variance.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.
    .. [2] Chen, R. J. et al. "Pan-cancer integrative histology-genomic analysis via multimodal deep
           learning", Cancer Cell 40, 2022.
    .. [3] Ilse, M., Tomczak, J. M., Welling, M. "Attention-based deep multiple instance learning",
           ICML 2018.

    Examples
    --------
    >>> from sksurv_mmf.encoders import AttentionMIL
    >>> AttentionMIL(hidden_dim=64, attention_dim=32).build(n_features=1024, embedding_dim=16).out_dim
    16
    """

    reads = "bag"
    has_attention = True

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "attention_dim": [WIDTH],
        "gated": ["boolean"],
        "batch_norm": ["boolean"],
        "dropout": [PROBABILITY],
        "input_dropout": [PROBABILITY],
    }

    def __init__(
        self,
        hidden_dim=32,
        attention_dim=32,
        *,
        gated=True,
        batch_norm=False,
        dropout=0.0,
        input_dropout=0.0,
    ):
        self.hidden_dim = hidden_dim
        self.attention_dim = attention_dim
        self.gated = gated
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.input_dropout = input_dropout

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        return _AttentionMILModule(
            TileEmbedding(n_features, self.hidden_dim, self.dropout, self.input_dropout, self.batch_norm),
            AttentionScore(self.hidden_dim, self.attention_dim, self.dropout, self.gated),
            PatientVector(self.hidden_dim, embedding_dim, self.dropout),
        )


class TileBatchNorm(nn.BatchNorm1d):
    """Batch normalisation that falls back on its running statistics where a step has one row only.

    torch takes the second axis for the features, so that an axis in front of the tiles has no place here.
    """

    knows_lockstep = False  # it would take means over patients whom a member is not to see

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[-2] == 1:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(x)


class TileEmbedding(nn.Sequential):
    """(..., n_tiles, n_features) -> (..., n_tiles, hidden_dim): linear, optional batch norm, ReLU, dropout."""

    def __init__(self, n_features: int, hidden_dim: int, dropout: float, input_dropout: float, batch_norm: bool):
        layers = [Dropout(input_dropout)] if input_dropout else []
        layers.append(xavier_linear(n_features, hidden_dim, InputLinear))
        if batch_norm:
            layers.append(TileBatchNorm(hidden_dim))
        super().__init__(*layers, nn.ReLU(), Dropout(dropout))
        self.batch_norm = batch_norm


class PatientVector(nn.Sequential):
    """(..., hidden_dim) -> (..., embedding_dim): linear, ReLU, dropout."""

    def __init__(self, hidden_dim: int, embedding_dim: int, dropout: float):
        super().__init__(xavier_linear(hidden_dim, embedding_dim), nn.ReLU(), Dropout(dropout))
        self.out_dim = embedding_dim


class _AttentionMILModule(nn.Module):
    precision = "float32"  # of matrix products in training

    def __init__(self, embed: TileEmbedding, score: AttentionScore, rho: PatientVector):
        super().__init__()
        self.embed = embed
        self.score = score
        self.rho = rho
        self.out_dim = rho.out_dim

    def multiply_in(self, precision: str) -> None:
        """Train with matrix products of this precision."""
        self.precision = precision

    def forward(self, bags: PackedBags) -> Tensor:
        return self.rho(self._pool_on_cpu(bags) if self._trains_on_cpu(bags.values) else self._pool(bags))

    def _pool(self, bags: PackedBags) -> Tensor:
        with rounds_products(bags.values.device, self.precision if self.training else "float32"):
            tiles = self.embed(bags.values)
            scores = self.score(tiles)
        tiles, scores = tiles.to(bags.values.dtype), scores.to(bags.values.dtype)
        if counts_launches(tiles, bags.lengths) or (in_lockstep() and len(scores) <= CHUNK):
            return pool_at_once(scores, tiles, bags.lengths)
        return segment_weighted_sum(segment_softmax(scores, bags.lengths), tiles, bags.lengths)

    def _pool_on_cpu(self, bags: PackedBags) -> Tensor:
        # Without batch norm, at most the dropout of the features stands in front of the linear layer.
        *before, linear, _, dropout = self.embed
        hidden, score = self.score.hidden, self.score.score
        settings = before[0].p if before else 0.0, dropout.p, self.score.gated, self.precision

        def pool(generators, values, *weights):
            return AttentionPooling.apply(values, bags.lengths, *weights, *settings, generators)

        def pool_members(generators, values, *weights):
            # With noise, or dropout of the tiles, each member has tiles of its own.
            if values.stride(0) == 0 and not settings[0]:
                return pool(generators, values[0], *weights)
            return torch.stack([pool([generator], *own) for generator, *own in zip(generators, values, *weights)])

        weights = linear.scaled_weight, linear.bias, hidden.weight, hidden.bias, score.weight.squeeze(0), score.bias
        if in_lockstep():
            return for_members(pool_members, bags.values, *weights)
        return pool([None], bags.values, *weights)

    def _trains_on_cpu(self, values: Tensor) -> bool:
        """Whether the hand-written gradient serves: for the tiles of one network, on a CPU, without batch norm."""
        return (
            self.training
            and torch.is_grad_enabled()
            and values.device.type == "cpu"
            and values.ndim == 2
            and not values.requires_grad
            and not self.embed.batch_norm
            # For a few tiles, one operation for all members is quicker.
            and not (in_lockstep() and len(values) <= CHUNK)
        )

    def attention(self, bags: PackedBags) -> Tensor:
        """One weight per tile; the weights of a bag sum to one."""
        return segment_softmax(self.score(self.embed(bags.values)), bags.lengths)
