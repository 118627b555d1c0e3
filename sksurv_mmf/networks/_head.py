"""The last layer of an objective whose outputs differ between patients by one common number."""

import torch
from torch import Tensor, nn


class SharedLinear(nn.Linear):
    """One row of weights for all outputs, and a bias for each: ``outputs_k = w . vector + b_k``.

    `weight` has the shape (1, in_features) and `bias` (out_features,).
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, 1)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.out_features = out_features

    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.linear(vectors, self.weight) + self.bias
