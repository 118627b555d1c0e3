"""Self-normalising network for wide tables such as RNA-seq."""

from itertools import pairwise

from torch import nn

from ..layers._dropout import AlphaDropout
from ..layers._input_linear import InputLinear
from ..utils._sklearn import StrOptions
from ..utils._validation import DEPTH, PROBABILITY, WIDTH
from ._base import Encoder

ACTIVATIONS = {"elu": nn.ELU, "selu": nn.SELU}


class SNN(Encoder):
    r"""Self-normalising network: the usual encoder of gene expression.

    Each block is a linear layer, an ELU (or SELU) and alpha dropout, which keeps mean and variance. Give it
    standardised features.

    Parameters
    ----------
    hidden_dim : int, default=256
        Width of the blocks before the last one, which has the width of the embedding.
    n_layers : int, default=1
        Number of blocks: 2 in the multimodal network of [1]_, 4 in its RNA-only network, of width 256. One suffices a
        few hundred patients.
    dropout : float, default=0.0
        Probability of alpha dropout after each block; 0.25 in the networks of [1]_.
    activation : {"elu", "selu"}, default="elu"
        "elu" as in the code of [1]_, "selu" as in [2]_.

    Notes
    -----
    Weights start from :math:`\mathcal{N}(0, 1/\text{fan-in})`, biases at zero.

    References
    ----------
    .. [1] Chen, R. J. et al. "Pan-cancer integrative histology-genomic analysis via multimodal deep
           learning", Cancer Cell 40, 2022.
    .. [2] Klambauer, G. et al. "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> from sksurv_mmf.encoders import SNN
    >>> SNN(hidden_dim=64).build(n_features=154, embedding_dim=16).out_dim
    16
    """

    reads = "vector"

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "n_layers": [DEPTH],
        "dropout": [PROBABILITY],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    def __init__(self, hidden_dim=256, *, n_layers=1, dropout=0.0, activation="elu"):
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.activation = activation

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        widths = [n_features, *[self.hidden_dim] * (self.n_layers - 1), embedding_dim]
        return _SNNModule(widths, ACTIVATIONS[self.activation], self.dropout)


class _SNNModule(nn.Sequential):
    def __init__(self, widths: list[int], activation: type[nn.Module], dropout: float):
        layers = []
        for n_in, n_out in pairwise(widths):
            linear = (nn.Linear if layers else InputLinear)(n_in, n_out)
            # The default of torch has a third of this variance, and activations would shrink from block to block.
            nn.init.normal_(linear.weight, std=n_in**-0.5)
            nn.init.zeros_(linear.bias)
            layers += [linear, activation(), AlphaDropout(dropout)]
        super().__init__(*layers)
        self.out_dim = widths[-1]
