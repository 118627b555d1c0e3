"""Fusion by co-attention of tables and bags (MCAT)."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..layers._attention_score import AttentionScore
from ..layers._packed_bags import PackedBags
from ..layers._relu_layers import relu_layers
from ..utils._validation import DEPTH, PROBABILITY, WIDTH, shorten
from ._base import Fusion, modality_softmax, weighted_sum
from ._tokens import map_layouts, present_tokens


class CoAttention(Fusion):
    r"""Co-attention: the tokens of one modality, such as gene sets, gather from the tiles what belongs to them.

    For slides as bags of tiles together with a table that an encoder turns into several tokens. A slide of thousands of
    tiles becomes as many tokens as there are queries, so that the transformers behind stay small. The attention between
    tokens cannot be asked for: there is no `modality_attention` with this fusion.

    Parameters
    ----------
    queries : list of str, default=None
        Names of the modalities whose tokens are the queries. None are those that are not bags, or the last one if
        all or none are bags.
    n_heads : int, default=8
        Number of heads of the transformers' self-attention; it divides the width of the embeddings. The co-attention
        has one head.
    n_layers : int, default=2
        Number of layers of each transformer.
    feedforward_dim : int, default=512
        Width of the feed-forward layer within a transformer layer.
    hidden_dim : int, default=256
        Width of the two layers behind the concatenated modality vectors.
    dropout : float, default=0.25
        Dropout probability in the transformers, in the attention scores and in the modality vectors.

    Notes
    -----
    With the query tokens :math:`G` and the tokens :math:`H_m` of a modality that is queried,

    .. math::

        \hat H_m = \mathrm{softmax}\!\left(\frac{(G W_m^Q) (H_m W_m^K)^\top}{\sqrt{d}}\right) H_m W_m^V W_m^O.

    These tokens, one for each query, and those of each query modality itself pass a transformer, gated attention
    pooling, and a linear layer with ReLU, each modality through its own. The resulting modality vectors are
    concatenated for two layers with ReLU ([1]_).

    Missing modalities are not part of [1]_. Here their vector is zero, and tokens that are hidden in training have no
    weight; a learnt token queries the others if a patient lacks all query modalities. Queries cost memory in proportion
    to the number of tiles, and self-attention of the query modalities in proportion to the square of their number of
    tokens, so bags of tiles should not be queries.

    References
    ----------
    .. [1] Chen, R. J. et al. "Multimodal co-attention transformer for survival prediction in gigapixel whole slide
           images", ICCV 2021.

    Examples
    --------
    Two patients with 5 and 4 tiles and 3 gene sets each:

    >>> import torch
    >>> from sksurv_mmf.bags import PackedBags
    >>> from sksurv_mmf.fusions import CoAttention
    >>> fuse = CoAttention(hidden_dim=8).build({"wsi": 16, "rna": 16}, bags=["wsi"])
    >>> tiles, gene_sets = PackedBags(torch.rand(9, 16), (5, 4)), PackedBags(torch.rand(6, 16), (3, 3))
    >>> fused, _ = fuse([tiles, gene_sets], torch.ones(2, 2, dtype=torch.bool))
    >>> fused.shape
    torch.Size([2, 8])
    """

    reads = "tokens"

    _parameter_constraints = {
        "queries": [list, tuple, None],
        "n_heads": [DEPTH],
        "n_layers": [DEPTH],
        "feedforward_dim": [WIDTH],
        "hidden_dim": [WIDTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, queries=None, *, n_heads=8, n_layers=2, feedforward_dim=512, hidden_dim=256, dropout=0.25):
        self.queries = queries
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.feedforward_dim = feedforward_dim
        self.hidden_dim = hidden_dim
        self.dropout = dropout

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        dim = self._common_dim(dims)
        self._check_heads(dim)
        queries = self._query_modalities(list(dims), bags)
        branches = [
            _Branch(dim, self.n_heads, self.n_layers, self.feedforward_dim, self.dropout, queried=name not in queries)
            for name in dims
        ]
        return _CoAttentionModule(branches, dim, self.hidden_dim, self.dropout)

    def _check_heads(self, dim: int):
        if dim % self.n_heads:
            fitting = [n for n in range(1, dim + 1) if dim % n == 0]
            raise ValueError(
                f"CoAttention(n_heads={self.n_heads}) does not divide the embeddings' width, embedding_dim={dim}. "
                f"Use one of n_heads={fitting}, or an embedding_dim that is a multiple of {self.n_heads}."
            )

    def _query_modalities(self, names: list[str], bags: Collection[str]) -> list[str]:
        if self.queries is None:
            return [name for name in names if name not in bags] if 0 < len(bags) < len(names) else names[-1:]
        known = set(self.queries) <= set(names)
        if not self.queries or not known or set(self.queries) == set(names):
            raise ValueError(
                f"CoAttention(queries={self.queries!r}) should name some of the modalities {shorten(names)}, and leave "
                "at least one that is queried. queries=None takes those that are not bags."
            )
        return list(self.queries)


class _CoAttentionModule(nn.Module):
    def __init__(self, branches: list["_Branch"], dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.stand_in = nn.Parameter(torch.randn(dim))
        self.last = relu_layers([len(branches) * dim, hidden_dim, hidden_dim], dropout=0.0)
        self.out_dim = hidden_dim

    def forward(self, embeddings: list[PackedBags], present: Tensor) -> tuple[Tensor, None]:
        return self.last(map_layouts(self._vectors, embeddings, present)), None

    def _vectors(self, tokens: list[Tensor], present: Tensor) -> Tensor:
        """One vector per modality, side by side: (..., n_patients, n_modalities * dim)."""
        asking = [m for m, branch in enumerate(self.branches) if branch.coattention is None]
        queries, seen = self._queries([tokens[m] for m in asking], present[..., asking])
        vectors = [branch(one, queries, seen) for one, branch in zip(tokens, self.branches)]
        # Transformer and pooling have biases, which leave a vector that is not zero of hidden tokens that are.
        hidden = ~present.unsqueeze(-1)
        return torch.stack(vectors, dim=-2).masked_fill(hidden, 0).flatten(-2)

    def _queries(self, tokens: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens of all query modalities, and which of them count, those that are not hidden; None if all do."""
        queries, seen = torch.cat(tokens, dim=-2), present_tokens(tokens, present)
        if not queries.shape[-2]:
            return self.stand_in.expand(*queries.shape[:-2], 1, -1), None
        # If all are hidden, the stand-in takes every place. Equal queries get equal answers, of which the transformer
        # and the pooling make what they make of one.
        some = seen.any(-1, keepdim=True)
        queries = torch.where(some.unsqueeze(-1), queries, self.stand_in)
        # The tokens of a single modality are hidden together, and then replaced together.
        return queries, (seen | ~some).expand(queries.shape[:-1]) if len(tokens) > 1 else None


class _Branch(nn.Module):
    """One modality: co-attention if it is queried, transformer, gated attention pooling, linear layer."""

    def __init__(self, dim: int, n_heads: int, n_layers: int, feedforward_dim: int, dropout: float, queried: bool):
        super().__init__()
        self.coattention = nn.MultiheadAttention(dim, 1, batch_first=True) if queried else None
        self.transformer = _transformer(dim, n_heads, n_layers, feedforward_dim, dropout)
        self.pool = _GatedPooling(dim, dim, dropout)
        self.rho = relu_layers([dim, dim], dropout)

    def forward(self, tokens: Tensor, queries: Tensor, seen: Tensor | None) -> Tensor:
        """(..., n_patients, n_tokens, dim), (..., n_patients, n_queries, dim) -> (..., n_patients, dim).

        Only queries that are `seen`, (..., n_patients, n_queries), count, or all if that is None. Zero without tokens.
        """
        if not tokens.shape[-2]:
            return tokens.new_zeros(*tokens.shape[:-2], tokens.shape[-1])
        # torch's attention takes one axis in front of the tokens, so that all axes before it become one.
        leading, tokens = tokens.shape[:-2], tokens.flatten(0, -3)
        if self.coattention is None:
            seen = None  # a modality is hidden as a whole, and its vector is zero then
        else:
            # To return the weights, torch would hold a number for each query and tile, and leave its fast attention.
            tokens, _ = self.coattention(queries.flatten(0, -3), tokens, tokens, need_weights=False)
            seen = None if seen is None else seen.flatten(0, -2)
        unseen = None if seen is None else ~seen
        tokens = self.transformer(tokens.transpose(0, 1), src_key_padding_mask=unseen).transpose(0, 1)
        return self.rho(self.pool(tokens, seen)).unflatten(0, leading)


def _transformer(dim: int, n_heads: int, n_layers: int, feedforward_dim: int, dropout: float) -> nn.TransformerEncoder:
    """(n_tokens, n_patients, dim) -> the same shape.

    Tokens come first because torch then has one implementation; with the patients first another one takes over where no
    gradient is wanted, and rounds differently.
    """
    layer = nn.TransformerEncoderLayer(dim, n_heads, feedforward_dim, dropout, batch_first=False)
    return nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)


class _GatedPooling(nn.Module):
    """(..., n_tokens, n_in) -> (..., n_in): sum of the tokens `seen`, or of all, with their gated attention weights."""

    def __init__(self, n_in: int, attention_dim: int, dropout: float):
        super().__init__()
        self.score = AttentionScore(n_in, attention_dim, dropout, gated=True)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        scores = self.score(tokens)
        return weighted_sum(scores.softmax(dim=-1) if seen is None else modality_softmax(scores, seen), tokens)
