"""Every tile a token."""

from torch import nn

from ..layers._attention_score import xavier_linear
from ..layers._dropout import Dropout
from ..layers._input_linear import InputLinear
from ..layers._packed_bags import PackedBags
from ..utils._sklearn import StrOptions
from ..utils._validation import PROBABILITY
from ._base import Encoder


class TileTokens(Encoder):
    r"""Embed every tile and pass all of them on, without pooling.

    For a fusion that reads tokens and so relates single tiles to the other modalities, such as parts of a slide to
    pathways (:class:`PathwaySNN`). A fusion that reads vectors is given the plain mean of a patient's tiles; with such
    a fusion use :class:`AttentionMIL`, which learns how to weigh them. What the fusion does, it does for every tile:
    its time and memory grow with the size of the bags.

    Parameters
    ----------
    activation : {"relu"} or None, default=None
        What follows the linear layer: nothing, as in [1]_, or "relu", as in [2]_.
    dropout : float, default=0.0
        Dropout probability of the tile embedding. [2]_ uses 0.25.

    Notes
    -----
    The token of tile :math:`x_i` is :math:`W x_i + b`, or :math:`\mathrm{ReLU}(W x_i + b)`. Weights start
    Xavier-normal, biases at zero.

    References
    ----------
    .. [1] Jaume, G. et al. "Modeling dense multimodal interactions between biological pathways and histology for
           survival prediction", CVPR 2024.
    .. [2] Chen, R. J. et al. "Multimodal co-attention transformer for survival prediction in gigapixel whole slide
           images", ICCV 2021.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.bags import PackedBags
    >>> from sksurv_mmf.encoders import TileTokens
    >>> embed = TileTokens(activation="relu", dropout=0.25).build(n_features=1024, embedding_dim=16)
    >>> tokens = embed(PackedBags(torch.rand(9, 1024), lengths=(5, 4)))
    >>> tokens.values.shape, tokens.lengths
    (torch.Size([9, 16]), (5, 4))
    """

    reads = "bag"

    _parameter_constraints = {"activation": [StrOptions({"relu"}), None], "dropout": [PROBABILITY]}

    def __init__(self, activation=None, *, dropout=0.0):
        self.activation = activation
        self.dropout = dropout

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        activation = [nn.ReLU()] if self.activation == "relu" else []
        return _TileTokensModule(
            xavier_linear(n_features, embedding_dim, InputLinear), *activation, Dropout(self.dropout)
        )


class _TileTokensModule(nn.Sequential):
    def __init__(self, linear: nn.Linear, *layers: nn.Module):
        super().__init__(linear, *layers)
        self.out_dim = linear.out_features

    def forward(self, bags: PackedBags) -> PackedBags:
        return bags.with_values(super().forward(bags.values))
