"""Layers that encoders and fusions share."""

from itertools import pairwise

from torch import nn


def relu_layers(widths: list[int], dropout: float) -> nn.Sequential:
    """Linear, ReLU and dropout from each width to the next."""
    layers = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
