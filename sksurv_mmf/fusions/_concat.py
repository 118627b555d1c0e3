"""Fusion by concatenation."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..layers._relu_layers import relu_layers
from ..utils._validation import DEPTH, PROBABILITY, WIDTH
from ._base import Fusion


class Concat(Fusion):
    """Concatenate the modality vectors and pass them through linear layers.

    The common baseline ([1]_, and "concat" of [2]_). A missing modality enters as zeros. It takes embeddings
    of any width, so it also serves raw features (:class:`~sksurv_mmf.encoders.Identity`).

    Parameters
    ----------
    hidden_dim : int, default=128
        Width of each linear layer and of the fused vector.
    n_layers : int, default=2
        Number of linear layers, each followed by a ReLU.
    dropout : float, default=0.0
        Dropout probability after each layer.

    References
    ----------
    .. [1] Mobadersany, P. et al. "Predicting cancer outcomes from histology and genomics using convolutional
           networks", PNAS 115, 2018.
    .. [2] Chen, R. J. et al. "Pan-cancer integrative histology-genomic analysis via multimodal deep
           learning", Cancer Cell 40, 2022.

    Examples
    --------
    >>> from sksurv_mmf.fusions import Concat
    >>> Concat(hidden_dim=32).build({"wsi": 16, "rna": 154}).out_dim
    32
    """

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "n_layers": [DEPTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, hidden_dim=128, *, n_layers=2, dropout=0.0):
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        return _ConcatModule([sum(dims.values()), *[self.hidden_dim] * self.n_layers], self.dropout)


class _ConcatModule(nn.Module):
    def __init__(self, widths: list[int], dropout: float):
        super().__init__()
        self.layers = relu_layers(widths, dropout)
        self.out_dim = widths[-1]

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, None]:
        # Embeddings of a missing or hidden modality are zeros already, so that no mask is needed.
        return self.layers(torch.cat(embeddings, dim=-1)), None
