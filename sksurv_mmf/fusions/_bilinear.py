"""Fusion by products of the modality vectors."""

from collections.abc import Collection
from functools import reduce
from math import prod
from numbers import Integral

import torch
from torch import Tensor, nn

from ..layers._dropout import Dropout
from ..utils._sklearn import Interval
from ..utils._validation import PROBABILITY, WIDTH, shorten
from ._base import Fusion

MAX_PRODUCT = 100_000
"""Largest Kronecker product that is formed; the layer behind it has 256 weights for each element."""


class Bilinear(Fusion):
    r"""Gated Kronecker product: every feature of one modality times every feature of the others.

    Finds interactions between modalities that sums of vectors cannot express, at the price of many weights.

    Parameters
    ----------
    gate : bool, default=True
        Whether each modality's features are gated by all modalities together.
    skip : bool, default=True
        Whether the modality vectors themselves also go to the last layer.
    rank : int, default=None
        Replace the full product and the layer behind it by a sum of this many products of linear forms. None is the
        full product, whose size grows exponentially with the number of modalities.
    scale : int, default=8
        Each modality vector is reduced to its width divided by this number before it is multiplied.
    hidden_dim : int, default=256
        Width of the layers behind the product.
    dropout : float, default=0.25
        Dropout probability of the reduced vectors and of the product.

    Notes
    -----
    For the modality vectors :math:`v_m`, with :math:`z_m = Z_m [v_1, \dots, v_M]`,

    .. math::

        h_m = \mathrm{ReLU}(H_m v_m), \quad o_m = \mathrm{ReLU}(O_m (\sigma(z_m) \odot h_m)), \quad
        e = \mathrm{ReLU}(W_1 ([o_1, 1] \otimes \dots \otimes [o_M, 1])),

    and the fused vector is :math:`\mathrm{ReLU}(W_2 [e, v_1, \dots, v_M])` ([1]_, [2]_). With a rank,
    :math:`W_1` times the product becomes :math:`\sum_r w_r \prod_m F_{mr} [o_m, 1]` ([3]_). A missing modality has
    :math:`o_m = 0`, so that the product reduces to that of the others.

    References
    ----------
    .. [1] Chen, R. J. et al. "Pathomic fusion", IEEE TMI 41, 2022.
    .. [2] Chen, R. J. et al. "Pan-cancer integrative histology-genomic analysis via multimodal deep learning", Cancer
           Cell 40, 2022.
    .. [3] Liu, Z. et al. "Efficient low-rank multimodal fusion with modality-specific factors", ACL 2018.

    Examples
    --------
    >>> from sksurv_mmf.fusions import Bilinear
    >>> Bilinear(rank=16).build({"wsi": 16, "rna": 16}).out_dim
    256
    """

    _parameter_constraints = {
        "gate": ["boolean"],
        "skip": ["boolean"],
        "rank": [WIDTH, None],
        "scale": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [WIDTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, gate=True, skip=True, *, rank=None, scale=8, hidden_dim=256, dropout=0.25):
        self.gate = gate
        self.skip = skip
        self.rank = rank
        self.scale = scale
        self.hidden_dim = hidden_dim
        self.dropout = dropout

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        return _BilinearModule(dims, self.gate, self.skip, self.rank, self.scale, self.hidden_dim, self.dropout)


def kronecker(factors: list[Tensor]) -> Tensor:
    """Products of one element of each factor: (..., product of the widths), the first factor varying slowest."""
    return reduce(lambda one, other: (one.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2), factors)


class _Reduced(nn.Module):
    """One modality on its way into the product: reduce, gate, transform, drop, append a one."""

    def __init__(self, dim: int, all_dims: int, gate: bool, scale: int, dropout: float):
        super().__init__()
        # A modality may be narrower than `scale`, such as a few clinical variables that Identity passes on.
        width = max(1, dim // scale)
        self.reduce = nn.Linear(dim, width)
        self.gate = nn.Linear(all_dims, width) if gate else None
        self.transform = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.out_dim = width + 1

    def forward(self, vector: Tensor, everything: Tensor, present: Tensor) -> Tensor:
        hidden = torch.relu(self.reduce(vector))
        if self.gate is not None:
            hidden = torch.sigmoid(self.gate(everything)) * hidden
        # Biases make something of a zero vector, so that a missing modality is masked only here, behind the layers.
        out = self.dropout(torch.relu(self.transform(hidden))) * present
        # The one lets the product hold each modality alone, too, and stands for one that is missing.
        return nn.functional.pad(out, (0, 1), value=1)


class _LowRank(nn.Module):
    """Sum over ranks of products of one linear form of each factor."""

    def __init__(self, widths: list[int], rank: int, out_dim: int):
        super().__init__()
        # No bias: the one at the end of each factor has weights that are a bias already.
        self.forms = nn.ModuleList([nn.Linear(width, rank * out_dim, bias=False) for width in widths])
        # With these weights a sum of `rank` independent products starts with the variance of one.
        self.weights = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.zeros(out_dim))

    def forward(self, factors: list[Tensor]) -> Tensor:
        forms = (form(factor) for form, factor in zip(self.forms, factors))
        product = reduce(torch.mul, forms).unflatten(-1, (len(self.weights), -1))  # (..., n_patients, rank, out_dim)
        return torch.einsum("...ro,r->...o", product, self.weights) + self.bias


class _FullRank(nn.Module):
    """Linear layer on the Kronecker product."""

    def __init__(self, widths: list[int], out_dim: int, dropout: float):
        super().__init__()
        size = prod(widths)
        if size > MAX_PRODUCT:
            raise ValueError(
                f"The product of modality vectors with {shorten(widths)} elements has {size:,} elements; at most "
                f"{MAX_PRODUCT:,} are formed. Use Bilinear(rank=16), a larger scale or a smaller embedding_dim."
            )
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(size, out_dim)

    def forward(self, factors: list[Tensor]) -> Tensor:
        return self.linear(self.dropout(kronecker(factors)))


class _BilinearModule(nn.Module):
    def __init__(self, dims, gate, skip, rank, scale, hidden_dim, dropout):
        super().__init__()
        total = sum(dims.values())
        self.reduced = nn.ModuleList([_Reduced(dim, total, gate, scale, dropout) for dim in dims.values()])
        widths = [one.out_dim for one in self.reduced]
        self.product = _LowRank(widths, rank, hidden_dim) if rank else _FullRank(widths, hidden_dim, dropout)
        self.last = nn.Linear(hidden_dim + (total if skip else 0), hidden_dim)
        self.dropout = Dropout(dropout)
        self.skip = skip
        self.out_dim = hidden_dim

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, None]:
        everything = torch.cat(embeddings, dim=-1)
        present = present.to(everything.dtype).split(1, dim=-1)
        factors = [one(vector, everything, has_it) for one, vector, has_it in zip(self.reduced, embeddings, present)]
        hidden = self.dropout(torch.relu(self.product(factors)))
        if self.skip:
            hidden = torch.cat([hidden, everything], dim=-1)
        return self.dropout(torch.relu(self.last(hidden))), None
