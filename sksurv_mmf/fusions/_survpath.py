"""Fusion by attention between the tokens of tables and of bags (SurvPath)."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..layers._dropout import Dropout
from ..layers._lockstep import in_lockstep, lift
from ..layers._packed_bags import PackedBags
from ..utils._validation import DEPTH, PROBABILITY, WIDTH
from ._base import Fusion
from ._tokens import map_layouts, present_tokens


class SurvPath(Fusion):
    r"""One transformer block over the tokens of all modalities, in which tiles do not look at tiles.

    For interactions between parts of modalities, such as pathways and regions of a slide: give it encoders that return
    several tokens per patient. With encoders that return one vector per patient, each modality is one token. The
    attention between tokens cannot be asked for: there is no `modality_attention` with this fusion.

    Parameters
    ----------
    n_heads : int, default=1
        Number of attention heads.
    head_dim : int, default=None
        Width of a head. None is half the width of the embeddings.
    hidden_dim : int, default=None
        Width of the layer behind the concatenated means. None is a quarter of their width.
    dropout : float, default=0.1
        Dropout probability in the feed-forward layers.

    Notes
    -----
    Tokens of numeric modalities are called omics here, those of bags tiles. With the query, key and value
    :math:`q_i, k_i, v_i` of each layer-normalised token,

    .. math::

        o_i = \sum_{j \in K_i} \mathrm{softmax}_{j \in K_i}(q_i^\top k_j / \sqrt{d})\, v_j,
        \qquad
        K_i = \begin{cases}
            \text{all tokens} & i \text{ is omics}, \\
            \text{omics tokens} & i \text{ is a tile},
        \end{cases}

    each :math:`o_i` passes the feed-forward layers and a layer normalisation, without residuals, and the means over the
    tokens of each modality are concatenated for the last layer ([1]_). Memory is linear in the number of tiles.

    If there is a single omics token, :math:`o_i` of every tile is that token's value, and the tiles act through the
    omics queries alone.

    Missing modalities are not part of [1]_. Here they have no tokens, or in training hidden ones that nothing looks at,
    and the mean zero. The tiles of a patient without omics have no key; each then attends to a learnt token and to
    itself. The same holds for all patients if all modalities are bags. If none is, every token attends to all.

    References
    ----------
    .. [1] Jaume, G. et al. "Modeling dense multimodal interactions between biological pathways and histology for
           survival prediction", CVPR 2024.

    Examples
    --------
    Two patients with 5 and 4 tiles and 3 pathways each:

    >>> import torch
    >>> from sksurv_mmf.bags import PackedBags
    >>> from sksurv_mmf.fusions import SurvPath
    >>> fuse = SurvPath(hidden_dim=8).build({"wsi": 16, "rna": 16}, bags=["wsi"])
    >>> tiles, pathways = PackedBags(torch.rand(9, 16), (5, 4)), PackedBags(torch.rand(6, 16), (3, 3))
    >>> fused, _ = fuse([tiles, pathways], torch.ones(2, 2, dtype=torch.bool))
    >>> fused.shape
    torch.Size([2, 8])
    """

    reads = "tokens"

    _parameter_constraints = {
        "n_heads": [DEPTH],
        "head_dim": [WIDTH, None],
        "hidden_dim": [WIDTH, None],
        "dropout": [PROBABILITY],
    }

    def __init__(self, n_heads=1, *, head_dim=None, hidden_dim=None, dropout=0.1):
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.hidden_dim = hidden_dim
        self.dropout = dropout

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        dim = self._common_dim(dims)
        head_dim = self.head_dim or max(1, dim // 2)
        hidden_dim = self.hidden_dim or max(1, len(dims) * self.n_heads * head_dim // 4)
        is_bag = [name in bags for name in dims]
        return _SurvPathModule(is_bag, dim, self.n_heads, head_dim, hidden_dim, self.dropout)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The attention of torch, which is one call for all members of an ensemble, too."""
    attention, tensors = nn.functional.scaled_dot_product_attention, (query, key, value, mask)
    return lift(attention, *tensors) if in_lockstep() else attention(*tensors)


class _TokenAttention(nn.Module):
    """Layer normalisation and attention: omics queries see all tokens, tile queries the omics."""

    def __init__(self, dim: int, n_heads: int, head_dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * n_heads * head_dim, bias=False)
        self.stand_in = nn.Parameter(torch.randn(dim))
        self.n_heads = n_heads

    def forward(self, tokens: Tensor, n_omics: int, seen: Tensor) -> Tensor:
        """(..., n_patients, n_tokens, dim), the omics first -> (..., n_patients, n_tokens, n_heads * head_dim).

        Nothing looks at tokens that are not `seen`, a mask of shape (..., n_patients, n_tokens).
        """
        projected = self.to_qkv(self.norm(tokens)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = projected.movedim(-3, 0).transpose(-3, -2)  # each (..., n_heads, n_tokens, head_dim)
        # Patients who come together have equally many tokens, so that this holds for all of them or for none.
        if not n_omics:
            out = self._attend_alone(query, key, value)
        else:
            out = attend(query[..., :n_omics, :], key, value, seen[..., None, None, :])
            if n_omics < tokens.shape[-2]:
                of_tiles = self._attend_omics(query, key, value, n_omics, seen[..., :n_omics])
                out = torch.cat([out, of_tiles], dim=-2)
        return out.transpose(-3, -2).flatten(-2)

    def _attend_omics(self, query: Tensor, key: Tensor, value: Tensor, n_omics: int, seen: Tensor) -> Tensor:
        """What the tiles see: the omics, or if these are hidden from the patient, the learnt token and themselves."""
        some = seen.any(-1, keepdim=True)
        mask = (seen | ~some)[..., None, None, :]  # some kernels make NaN of a softmax over nothing
        omics, tiles = slice(None, n_omics), slice(n_omics, None)
        attended = attend(query[..., tiles, :], key[..., omics, :], value[..., omics, :], mask)
        # For every patient, since to ask whether anybody needs it would make a GPU wait.
        alone = self._attend_alone(*(one[..., tiles, :] for one in (query, key, value)))
        return torch.where(some[..., None, None], attended, alone)

    def _attend_alone(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What each token sees of itself and of the learnt token: a softmax of two scores is a sigmoid."""
        stand_in = self.to_qkv(self.norm(self.stand_in)).unflatten(-1, (3, self.n_heads, 1, -1))
        _, other_key, other_value = stand_in.unbind(-4)
        score = ((query * key).sum(-1, keepdim=True) - query @ other_key.mT) / query.shape[-1] ** 0.5
        return torch.lerp(other_value, value, torch.sigmoid(score))


class _FeedForward(nn.Sequential):
    """(..., width) -> (..., width): layer normalisation, linear, GELU, dropout, linear."""

    def __init__(self, width: int, dropout: float):
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), Dropout(dropout), nn.Linear(width, width)
        )


class _SurvPathModule(nn.Module):
    def __init__(self, is_bag: list[bool], dim: int, n_heads: int, head_dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        width = n_heads * head_dim
        self.attention = _TokenAttention(dim, n_heads, head_dim)
        self.feed_forward = _FeedForward(width, dropout)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(len(is_bag) * width, hidden_dim)
        # With the omics first, who looks at whom is a matter of slices; the sort keeps the order within both kinds.
        self.omics_first = sorted(range(len(is_bag)), key=is_bag.__getitem__)
        self.n_omics_modalities = is_bag.count(False)
        self.out_dim = hidden_dim

    def forward(self, embeddings: list[PackedBags], present: Tensor) -> tuple[Tensor, None]:
        return torch.relu(self.last(map_layouts(self._means, embeddings, present))), None

    def _means(self, tokens: list[Tensor], present: Tensor) -> Tensor:
        """Mean of each modality's tokens behind the block, side by side: (..., n_patients, n_modalities * width)."""
        ordered = [tokens[m] for m in self.omics_first]
        present = torch.stack([present[..., m] for m in self.omics_first], dim=-1)
        lengths = [one.shape[-2] for one in ordered]
        n_omics = sum(lengths[: self.n_omics_modalities])
        seen = present_tokens(ordered, present)
        out = self.norm(self.feed_forward(self.attention(torch.cat(ordered, dim=-2), n_omics, seen)))
        parts = zip(out.split(lengths, dim=-2), present.unbind(-1))
        means = dict(zip(self.omics_first, (mean_or_zero(*part) for part in parts)))
        return torch.cat([means[m] for m in range(len(tokens))], dim=-1)


def mean_or_zero(tokens: Tensor, present: Tensor) -> Tensor:
    """Mean over the tokens, (..., n_tokens, width) -> (..., width); zero where there are none or they are hidden."""
    # The mean of no tokens would be NaN, and their sum is zero.
    mean = tokens.mean(dim=-2) if tokens.shape[-2] else tokens.sum(dim=-2)
    return mean.masked_fill(~present.unsqueeze(-1), 0)
