"""No encoder at all."""

from torch import nn

from ._base import Encoder


class Identity(Encoder):
    """Pass a numeric modality on as it is.

    With :class:`~sksurv_mmf.fusions.Concat` this is the paper's raw concatenation, in which the genes enter
    the fusion without a network of their own. :class:`~sksurv_mmf.fusions.Bilinear` accepts it too. The other
    fusions compare or add modalities, and refuse embeddings that differ in width.

    Examples
    --------
    >>> from sksurv_mmf.encoders import Identity
    >>> Identity().build(n_features=154, embedding_dim=16).out_dim
    154
    """

    reads = "vector"

    _parameter_constraints = {}

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        module = nn.Identity()
        module.out_dim = n_features
        return module
