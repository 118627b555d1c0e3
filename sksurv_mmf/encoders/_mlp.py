"""Multilayer perceptron for small tables such as clinical data."""

from torch import nn

from ..layers._input_linear import InputLinear
from ..layers._relu_layers import relu_layers
from ..utils._validation import DEPTH, PROBABILITY, WIDTH
from ._base import Encoder


class MLP(Encoder):
    """Multilayer perceptron: linear, ReLU, dropout, repeated.

    A plain choice for a few clinical variables; for wide tables prefer :class:`SNN`.

    Parameters
    ----------
    hidden_dim : int, default=64
        Width of the layers before the last one, which has the width of the embedding.
    n_layers : int, default=2
        Number of linear layers.
    dropout : float, default=0.25
        Dropout probability after each layer.

    Examples
    --------
    >>> from sksurv_mmf.encoders import MLP
    >>> MLP(hidden_dim=8).build(n_features=3, embedding_dim=16).out_dim
    16
    """

    reads = "vector"

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "n_layers": [DEPTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, hidden_dim=64, *, n_layers=2, dropout=0.25):
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        widths = [n_features, *[self.hidden_dim] * (self.n_layers - 1), embedding_dim]
        module = relu_layers(widths, self.dropout, first=InputLinear)
        module.out_dim = embedding_dim
        return module
