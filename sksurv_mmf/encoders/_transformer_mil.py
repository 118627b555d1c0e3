"""A transformer over the tiles of a bag."""

import torch
from torch import Tensor, nn

from ..layers._attention_score import xavier_linear
from ..layers._dropout import Dropout
from ..layers._packed_bags import PackedBags
from ..utils._validation import DEPTH, PROBABILITY, WIDTH
from ._attention_mil import PatientVector, TileEmbedding
from ._base import Encoder


class TransformerMIL(Encoder):
    r"""Set transformer: tiles see each other before they are pooled.

    In :class:`AttentionMIL` the score of a tile depends on this tile alone. Here every tile is first put into the
    context of the whole bag, so that the network can learn what tiles mean together. Time and memory are linear in the
    number of tiles, several times those of :class:`AttentionMIL`. Worth trying with hundreds of patients.

    Parameters
    ----------
    hidden_dim : int, default=256
        Width of the tile embedding and of all blocks; a multiple of `n_heads`.
    n_heads : int, default=4
        Number of attention heads.
    n_layers : int, default=2
        Number of induced set attention blocks before the pooling.
    n_inducing : int, default=16
        Number of inducing points of each block, through which tiles exchange what they know.
    dropout : float, default=0.25
        Dropout probability in the tile embedding, of what each attention and each feed-forward layer adds, and in the
        patient vector.

    Notes
    -----
    With the attention block

    .. math::

        \mathrm{MAB}(X, Y) = H + \mathrm{FF}(\mathrm{LN}(H)), \quad
        H = X + \mathrm{Multihead}(\mathrm{LN}(X), \mathrm{LN}(Y), \mathrm{LN}(Y)),

    each layer replaces the tiles :math:`X` by :math:`\mathrm{MAB}(X, \mathrm{MAB}(I, X))` with its inducing points
    :math:`I`, and a learnt seed :math:`s` pools them: :math:`z = \mathrm{ReLU}(\rho\,\mathrm{LN}(\mathrm{MAB}(s, X)))`
    ([1]_). FF is linear, ReLU, linear. Layers are normalised before they are entered and not after the sum as in [1]_,
    because this trains without a warm-up of the learning rate ([2]_).

    All operations treat tiles alike, so their order does not matter, nor does it matter if every tile comes twice.
    TransMIL ([3]_), a transformer over tiles too, reads them row by row into a square and adds a convolution over it;
    its result changes with the order of tiles and the padding of the square, wherefore this encoder has no such layer.

    The attention of a tile is its weight in the last pooling, averaged over the heads. It is the weight of the tile in
    its context: a tile may also act through the others.

    References
    ----------
    .. [1] Lee, J. et al. "Set transformer: a framework for attention-based permutation-invariant neural networks",
           ICML 2019.
    .. [2] Xiong, R. et al. "On layer normalization in the transformer architecture", ICML 2020.
    .. [3] Shao, Z. et al. "TransMIL: transformer based correlated multiple instance learning for whole slide image
           classification", NeurIPS 2021.

    Examples
    --------
    >>> from sksurv_mmf.encoders import TransformerMIL
    >>> TransformerMIL(hidden_dim=64, n_layers=1).build(n_features=1024, embedding_dim=16).out_dim
    16
    """

    reads = "bag"
    has_attention = True

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "n_heads": [DEPTH],
        "n_layers": [DEPTH],
        "n_inducing": [WIDTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, hidden_dim=256, *, n_heads=4, n_layers=2, n_inducing=16, dropout=0.25):
        self.hidden_dim = hidden_dim
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.n_inducing = n_inducing
        self.dropout = dropout

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        if self.hidden_dim % self.n_heads:
            raise ValueError(
                f"TransformerMIL divides hidden_dim={self.hidden_dim} among n_heads={self.n_heads}, which leaves a "
                "remainder. Use a hidden_dim that is a multiple of n_heads."
            )
        width = self.hidden_dim, self.n_heads, self.dropout
        return _TransformerMILModule(
            TileEmbedding(n_features, self.hidden_dim, self.dropout, 0.0, batch_norm=False),
            [InducedSetAttention(*width, self.n_inducing) for _ in range(self.n_layers)],
            AttentionBlock(*width),
            PatientVector(self.hidden_dim, embedding_dim, self.dropout),
        )


def multihead_attention(query: Tensor, key: Tensor, value: Tensor, n_heads: int) -> Tensor:
    """Scaled dot-product attention in each of `n_heads` equal parts of the columns: (..., n_queries, dim)."""
    # One axis in front of the heads, even of one bag, is what torch's fast attention takes.
    heads = (split_heads(one, n_heads) for one in (query, key, value))
    attended = nn.functional.scaled_dot_product_attention(*(one.reshape(-1, *one.shape[-3:]) for one in heads))
    return attended.transpose(-3, -2).reshape(query.shape)


def multihead_weights(query: Tensor, key: Tensor, n_heads: int) -> Tensor:
    """The weights of `multihead_attention`, averaged over the heads: (..., n_queries, n_keys)."""
    query, key = split_heads(query, n_heads), split_heads(key, n_heads)
    # torch's fast attention does not tell its weights; of the one query that pools they take little memory.
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.softmax(-1).mean(-3)


def split_heads(rows: Tensor, n_heads: int) -> Tensor:
    """(..., n_rows, dim) -> (..., n_heads, n_rows, dim / n_heads)."""
    return rows.unflatten(-1, (n_heads, -1)).transpose(-3, -2)


def learnt_rows(n_rows: int, dim: int) -> nn.Parameter:
    """Rows that are learnt, Xavier-normal at first."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n_rows, dim)))


def in_front_of(learnt: Tensor, tiles: Tensor) -> Tensor:
    """Learnt rows with the leading axes of the tiles: (n_rows, dim), (..., n_tiles, dim) -> (..., n_rows, dim)."""
    return learnt.expand(*tiles.shape[:-2], -1, -1)


class AttentionBlock(nn.Module):
    """MAB: (..., n_queries, dim) and a context of (..., n_rows, dim) -> (..., n_queries, dim)."""

    knows_lockstep = False  # torch's fast attention knows no vmap

    def __init__(self, dim: int, n_heads: int, dropout: float):
        super().__init__()
        self.query_norm, self.context_norm, self.hidden_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.query, self.key, self.value, self.out = (xavier_linear(dim, dim) for _ in range(4))
        self.feed_forward = nn.Sequential(xavier_linear(dim, dim), nn.ReLU(), xavier_linear(dim, dim), Dropout(dropout))
        self.dropout = Dropout(dropout)
        self.n_heads = n_heads

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        context = self.context_norm(context)
        attended = multihead_attention(
            self.query(self.query_norm(rows)), self.key(context), self.value(context), self.n_heads
        )
        hidden = rows + self.dropout(self.out(attended))
        return hidden + self.feed_forward(self.hidden_norm(hidden))

    def weights(self, rows: Tensor, context: Tensor) -> Tensor:
        """How much each row attends to each row of the context: (..., n_queries, n_rows)."""
        return multihead_weights(self.query(self.query_norm(rows)), self.key(self.context_norm(context)), self.n_heads)


class InducedSetAttention(nn.Module):
    """ISAB: (..., n_tiles, dim) -> (..., n_tiles, dim), linear in the number of tiles."""

    def __init__(self, dim: int, n_heads: int, dropout: float, n_inducing: int):
        super().__init__()
        # Tiles meet at these few rows, since attention of all to all grows with the square of their number.
        self.inducing = learnt_rows(n_inducing, dim)
        self.gather = AttentionBlock(dim, n_heads, dropout)
        self.spread = AttentionBlock(dim, n_heads, dropout)

    def forward(self, tiles: Tensor) -> Tensor:
        return self.spread(tiles, self.gather(in_front_of(self.inducing, tiles), tiles))


class _TransformerMILModule(nn.Module):
    def __init__(
        self, embed: TileEmbedding, layers: list[InducedSetAttention], pool: AttentionBlock, rho: PatientVector
    ):
        super().__init__()
        self.embed = embed
        self.layers = nn.Sequential(*layers)
        dim = pool.out.out_features
        self.seed = learnt_rows(1, dim)
        self.pool = pool
        # Blocks normalise what they read and not what they return, so that the last sum is left to do.
        self.norm = nn.LayerNorm(dim)
        self.rho = rho
        self.out_dim = rho.out_dim

    def _tokens(self, bags: PackedBags) -> list[Tensor]:
        """The tiles of each bag in their context: one (..., n_tiles, hidden_dim) tensor per bag."""
        # One bag at a time: no padding, and nothing of a bag can reach another.
        return [self.layers(self.embed(tiles)) for tiles in bags.values.split(bags.lengths, dim=-2)]

    def forward(self, bags: PackedBags) -> Tensor:
        pooled = [self.pool(in_front_of(self.seed, tokens), tokens) for tokens in self._tokens(bags)]
        return self.rho(self.norm(torch.cat(pooled, dim=-2)))

    def attention(self, bags: PackedBags) -> Tensor:
        """One weight per tile, that of the pooling averaged over the heads; the weights of a bag sum to one."""
        return torch.cat([self.pool.weights(self.seed, tokens).squeeze(-2) for tokens in self._tokens(bags)], dim=-1)
