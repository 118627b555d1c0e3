"""One token per gene set, from a self-normalising network of its own."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from os import PathLike

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..layers._dropout import AlphaDropout
from ..layers._packed_bags import PackedBags
from ..utils._sklearn import Interval, StrOptions
from ..utils._validation import DEPTH, PROBABILITY, WIDTH, shorten
from ..utils._warnings import warn
from ._base import Encoder
from ._gene_set_files import read_file
from ._gene_sets import check_gene_sets, describe_mismatch, find_columns, warn_of_genes_as_names
from ._snn import ACTIVATIONS


class PathwaySNN(Encoder):
    r"""One self-normalising network per gene set, and so one token per gene set.

    For gene expression where pathways, or functional groups of genes, should be told apart: a fusion that reads tokens
    relates each of them to the other modalities. A fusion that reads vectors is given their mean. Without gene sets,
    :class:`SNN` embeds all genes together.

    Parameters
    ----------
    gene_sets : dict of str to list of str, str or path-like
        Genes of each set, or a file of them, which is read in `fit` (see :func:`read_gene_sets`). A gene is the column
        that has its name, letter for letter. Columns lose their prefix first if it is the name of the modality:
        ``rna__TP53`` is the gene TP53 of the modality "rna", but is called ``rna__TP53`` in one of another name. A
        gene may be in several sets; columns in no set are not read.
    hidden_dim : int, default=256
        Width of the blocks before the last one, which has the width of the embedding.
    n_layers : int, default=2
        Number of blocks.
    dropout : float, default=0.25
        Probability of alpha dropout after each block.
    activation : {"elu", "selu"}, default="elu"
        "elu" as in the code of [1]_ and [2]_, "selu" as in [3]_.
    min_genes : int, default=5
        Sets of which fewer genes are measured are left out, with a warning.

    Attributes
    ----------
    columns_ : dict of str to ndarray of int
        Positions of the columns that each set reads, for the sets that are used, in the order of the tokens. Available
        after `fit`, as all that follows.
    unread_features_ : list of str
        Names of the columns that no set reads.

    Notes
    -----
    The token of gene set :math:`s` is :math:`t_s = \mathrm{SNN}_s(x_{G_s})` with the columns :math:`G_s` of its genes
    ([1]_, and with six functional groups of genes [2]_). Each network starts as an :class:`SNN` of its genes: weights
    from :math:`\mathcal{N}(0, 1/\text{fan-in})`, where the fan-in of the first layer is the number of measured genes
    of the set, and biases at zero. Networks share nothing, so their number of weights grows with the number of sets:
    about ``n_sets * hidden_dim * embedding_dim`` for two layers.

    The networks run together: a batched matrix product per layer, in the first layer one for each size of sets.

    References
    ----------
    .. [1] Jaume, G. et al. "Modeling dense multimodal interactions between biological pathways and histology for
           survival prediction", CVPR 2024.
    .. [2] Chen, R. J. et al. "Multimodal co-attention transformer for survival prediction in gigapixel whole slide
           images", ICCV 2021.
    .. [3] Klambauer, G. et al. "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.encoders import PathwaySNN
    >>> gene_sets = {"apoptosis": ["TP53", "BAX"], "hypoxia": ["VEGFA", "CA9"]}
    >>> rows = torch.rand(10, 5)
    >>> encoder = PathwaySNN(gene_sets, min_genes=2).fit(rows, ["CA9", "TP53", "GAPDH", "VEGFA", "BAX"])
    >>> encoder.columns_
    {'apoptosis': array([1, 4]), 'hypoxia': array([3, 0])}
    >>> encoder.unread_features_
    ['GAPDH']
    >>> tokens = encoder.build(n_features=5, embedding_dim=16)(rows[:3])
    >>> tokens.values.shape, tokens.lengths
    (torch.Size([6, 16]), (2, 2, 2))
    """

    reads = "vector"

    _parameter_constraints = {
        "gene_sets": [dict, str, PathLike],
        "hidden_dim": [WIDTH],
        "n_layers": [DEPTH],
        "dropout": [PROBABILITY],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "min_genes": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, gene_sets, *, hidden_dim=256, n_layers=2, dropout=0.25, activation="elu", min_genes=5):
        self.gene_sets = gene_sets
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.activation = activation
        self.min_genes = min_genes

    def fit(self, inputs: Tensor, feature_names: list[str]) -> "PathwaySNN":
        """Find the columns of each gene set.

        Parameters
        ----------
        inputs : Tensor of shape (n_patients, n_features)
            Ignored.
        feature_names : list of str
            Names of the columns.

        Returns
        -------
        self : PathwaySNN
            The fitted encoder.

        Raises
        ------
        ValueError
            If the gene sets cannot be read, names of columns are repeated, or no set has enough genes among them.

        Warns
        -----
        UserWarning
            If sets have too few genes among the columns, or names or descriptions of sets are columns.
        """
        if isinstance(self.gene_sets, dict):
            gene_sets, descriptions = check_gene_sets(self.gene_sets), {}
        else:
            gene_sets, descriptions = read_file(self.gene_sets, "auto")
        columns = find_columns(gene_sets, feature_names)
        too_small = [name for name, found in columns.items() if len(found) < self.min_genes]
        if len(too_small) == len(columns):
            raise ValueError(
                f"None of the {len(columns)} gene sets has min_genes={self.min_genes} measured genes: "
                f"{describe_mismatch(gene_sets, feature_names)}"
            )
        if too_small:
            warn(
                f"{len(too_small)} of {len(columns)} gene sets have fewer than min_genes={self.min_genes} measured "
                f"genes and are left out: {shorten(too_small)}.",
            )
        warn_of_genes_as_names(gene_sets, list(descriptions.values()), feature_names)
        self.columns_ = {name: np.array(found) for name, found in columns.items() if len(found) >= self.min_genes}
        read = set(np.concatenate(list(self.columns_.values())).tolist())
        self.unread_features_ = [name for i, name in enumerate(feature_names) if i not in read]
        return self

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        check_is_fitted(
            self, "columns_", msg="%(name)s is not fitted: call fit with the names of the features (genes) first."
        )
        widths = [self.hidden_dim] * (self.n_layers - 1) + [embedding_dim]
        return _PathwaySNNModule(list(self.columns_.values()), widths, ACTIVATIONS[self.activation], self.dropout)


class GeneSetLinear(nn.Module):
    """(..., n_patients, n_features) -> (..., n_sets, n_patients, n_out).

    For each set a linear layer over its own columns.

    Sets of the same size share one batched product, which needs no padding. Genes, with their weights, therefore lie
    one set after the other in the order of size.
    """

    def __init__(self, columns: Sequence[np.ndarray], n_out: int):
        super().__init__()
        sizes = np.array([len(one) for one in columns])
        # Stable, so that weights that were saved find the same sets when the network is built again.
        by_size = sizes.argsort(kind="stable")
        self.sizes, counts = (values.tolist() for values in np.unique(sizes, return_counts=True))
        self.lengths = [size * count for size, count in zip(self.sizes, counts)]
        self.register_buffer("columns", torch.as_tensor(np.concatenate([columns[s] for s in by_size])))
        self.register_buffer("position", torch.as_tensor(by_size.argsort()))  # of each set in the order of size
        # The fan-in is a set's own number of genes: tokens of small and large sets start with one variance.
        fan_in = torch.as_tensor(sizes[by_size].repeat(sizes[by_size])).unsqueeze(1)
        self.is_fair = False
        self.weight = nn.Parameter(torch.randn(len(fan_in), n_out) * fan_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(columns), 1, n_out))

    def make_fair(self) -> None:
        """Divide the genes of a set by the root of their number, and start from weights that are as much larger."""
        self.is_fair = True
        with torch.no_grad():
            for size, weights in zip(self.sizes, self.weight.split(self.lengths)):
                weights *= size**0.5

    def forward(self, rows: Tensor) -> Tensor:
        genes = rows.mT.index_select(-2, self.columns)  # (..., n_genes_of_all_sets, n_patients)
        genes, weights = (one.split(self.lengths, dim=-2) for one in (genes, self.weight))
        products = [
            values.unflatten(-2, (-1, size)).mT @ weight.unflatten(-2, (-1, size)) * (size**-0.5 if self.is_fair else 1)
            for size, values, weight in zip(self.sizes, genes, weights)
        ]
        return torch.cat(products, dim=-3).index_select(-3, self.position) + self.bias


class SetwiseLinear(nn.Module):
    """(..., n_sets, n_patients, n_in) -> (..., n_sets, n_patients, n_out): a linear layer for each set."""

    def __init__(self, n_sets: int, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_sets, n_in, n_out) * n_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_sets, 1, n_out))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens @ self.weight + self.bias


class _PathwaySNNModule(nn.Sequential):
    def __init__(self, columns: Sequence[np.ndarray], widths: list[int], activation: type[nn.Module], dropout: float):
        linear = [GeneSetLinear(columns, widths[0])]
        linear += [SetwiseLinear(len(columns), n_in, n_out) for n_in, n_out in pairwise(widths)]
        super().__init__(*(layer for one in linear for layer in (one, activation(), AlphaDropout(dropout))))
        self.out_dim = widths[-1]

    def forward(self, rows: Tensor) -> PackedBags:
        tokens = super().forward(rows).transpose(-3, -2)  # (..., n_patients, n_sets, embedding_dim)
        n_patients, n_sets = tokens.shape[-3:-1]
        return PackedBags(tokens.flatten(-3, -2), (n_sets,) * n_patients)
