"""Layers that encoders and fusions share."""

from itertools import pairwise

from torch import nn

from ._dropout import Dropout


def relu_layers(widths: list[int], dropout: float, first: type[nn.Linear] = nn.Linear) -> nn.Sequential:
    """Linear, ReLU and dropout from each width to the next; `first` is the kind of the first layer."""
    layers = []
    for n_in, n_out in pairwise(widths):
        layers += [(nn.Linear if layers else first)(n_in, n_out), nn.ReLU(), Dropout(dropout)]
    return nn.Sequential(*layers)
