"""Phenotype clusters of tiles, and attention over the clusters."""

from collections.abc import Sequence
from numbers import Integral

import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..layers._attention_score import AttentionScore, xavier_linear
from ..layers._input_linear import InputLinear
from ..layers._packed_bags import PackedBags
from ..layers._segments import segment_weighted_sum
from ..utils._sklearn import Interval
from ..utils._validation import PROBABILITY, WIDTH
from ._attention_mil import PatientVector
from ._base import Encoder


class DeepAttnMISL(Encoder):
    r"""Deep attention multiple instance survival learning: attention over phenotype clusters of tiles.

    Tiles that look alike form clusters, found without the outcome. A patient is a weighted mean of few clusters instead
    of thousands of tiles: fewer, steadier weights than those of :class:`AttentionMIL`, and a rare kind of tissue counts
    as much as a common one.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters of the training patients' tiles.
    hidden_dim : int, default=64
        Width of the tile embedding.
    attention_dim : int, default=32
        Width of the layer that scores a cluster.
    gated : bool, default=False
        Whether the score is gated (``tanh * sigmoid``) or plain (``tanh``), as in [1]_.
    dropout : float, default=0.5
        Dropout probability in the patient vector.
    max_tiles : int, default=50_000
        Number of tiles from which clusters are learnt, drawn at random in equal shares from the training patients, at
        least one of each. It bounds the memory that a cohort on disk takes.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres of the clusters, available after `fit`.

    Notes
    -----
    With :math:`C_k` the patient's tiles whose nearest centre is the k-th, for every k that the patient has,

    .. math::

        h_k = \frac{1}{|C_k|} \sum_{i \in C_k} \mathrm{ReLU}(W x_i), \quad
        a_k = \mathrm{softmax}_k(w^\top \tanh(V h_k)), \quad
        z = \mathrm{ReLU}(\rho \textstyle\sum_k a_k h_k).

    The attention of a tile is :math:`a_k / |C_k|`. One network embeds all clusters, so their numbering means nothing,
    and a cluster that the patient lacks is left out. In [1]_ the tiles of each patient are clustered on their own; here
    all patients share the centres, which makes cluster k the same phenotype in everyone.

    Tiles are clustered by mini-batch k-means as they come, without standardisation, because the features of one
    network share a scale and small ones are mostly noise. Put a
    :class:`~sksurv_mmf.preprocessing.BagTransformer` in front where features have units of their own. Weights start
    Xavier-normal, biases at zero.

    References
    ----------
    .. [1] Yao, J. et al. "Whole slide images based cancer survival prediction using attention guided deep multiple
           instance learning networks", Medical Image Analysis 65, 2020.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.encoders import DeepAttnMISL
    >>> encoder = DeepAttnMISL(n_clusters=3).fit([torch.rand(20, 5), torch.rand(30, 5)], feature_names=[])
    >>> encoder.cluster_centers_.shape
    (3, 5)
    >>> encoder.build(n_features=5, embedding_dim=16).out_dim
    16
    """

    reads = "bag"
    has_attention = True

    _parameter_constraints = {
        "n_clusters": [WIDTH],
        "hidden_dim": [WIDTH],
        "attention_dim": [WIDTH],
        "gated": ["boolean"],
        "dropout": [PROBABILITY],
        "max_tiles": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_clusters=8, *, hidden_dim=64, attention_dim=32, gated=False, dropout=0.5, max_tiles=50_000):
        self.n_clusters = n_clusters
        self.hidden_dim = hidden_dim
        self.attention_dim = attention_dim
        self.gated = gated
        self.dropout = dropout
        self.max_tiles = max_tiles

    def fit(self, inputs: Sequence[Tensor], feature_names: list[str]) -> "DeepAttnMISL":
        """Cluster the tiles of the training patients.

        Parameters
        ----------
        inputs : sequence of Tensor
            One tensor of shape (n_tiles, n_features) for each training patient, read one at a time.
        feature_names : list of str
            Ignored.

        Returns
        -------
        self : DeepAttnMISL
            The fitted encoder.

        Raises
        ------
        ValueError
            If there are fewer tiles than clusters.
        """
        tiles = draw_tiles(inputs, self.max_tiles)
        if len(tiles) < self.n_clusters:
            raise ValueError(
                f"DeepAttnMISL has n_clusters={self.n_clusters}, but only {len(tiles)} tiles of {len(inputs)} training "
                "patients to cluster. Use fewer clusters, or a larger max_tiles if the patients have more tiles."
            )
        # From the state that weights are drawn from, so that one seed decides both.
        seed = int(torch.randint(2**31 - 1, ()))
        self.cluster_centers_ = (
            MiniBatchKMeans(self.n_clusters, n_init=3, random_state=seed).fit(tiles.numpy()).cluster_centers_
        )
        return self

    def build(self, n_features: int, embedding_dim: int) -> nn.Module:
        check_is_fitted(
            self, "cluster_centers_", msg="%(name)s is not fitted: call fit with the bags of training patients first."
        )
        return _DeepAttnMISLModule(
            torch.as_tensor(self.cluster_centers_),
            nn.Sequential(xavier_linear(n_features, self.hidden_dim, InputLinear), nn.ReLU()),
            AttentionScore(self.hidden_dim, self.attention_dim, 0.0, self.gated),
            PatientVector(self.hidden_dim, embedding_dim, self.dropout),
        )


def draw_tiles(bags: Sequence[Tensor], max_tiles: int) -> Tensor:
    """Random tiles of all bags, the same number of each as far as it has them: (n_drawn, n_features), float32."""
    # In equal shares, lest a few patients with many tiles decide what the phenotypes are.
    share = max(1, max_tiles // len(bags))
    # Converted after the draw, for a float16 bag would double in size.
    return torch.cat([tiles[torch.randperm(len(tiles))[:share]].float() for tiles in bags])


def nearest_center(tiles: Tensor, centers: Tensor) -> Tensor:
    """Number of the centre nearest to each tile: (..., n_tiles)."""
    # Of the squared distance only a linear function of the tile differs between centres. Counted from the mean of the
    # centres it keeps its precision where features are far from zero.
    middle = centers.mean(-2, keepdim=True)
    directions = centers - middle
    offsets = (directions * (centers + middle)).sum(-1, keepdim=True) / 2
    return (tiles @ directions.mT - offsets.mT).argmax(-1)


def averaging_matrix(labels: Tensor, n_clusters: int, dtype: torch.dtype) -> Tensor:
    """Matrix that takes the mean of each cluster: (..., n_clusters, n_tiles); the row of an empty cluster is zero."""
    clusters = torch.arange(n_clusters, device=labels.device).unsqueeze(-1)
    members = (labels.unsqueeze(-2) == clusters).to(dtype)
    return members / members.sum(-1, keepdim=True).clamp(min=1)


class _DeepAttnMISLModule(nn.Module):
    def __init__(self, centers: Tensor, embed: nn.Module, score: AttentionScore, rho: PatientVector):
        super().__init__()
        self.register_buffer("centers", centers)
        self.embed = embed
        self.score = score
        self.rho = rho
        self.out_dim = rho.out_dim

    def _clusters(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights and mean embeddings of the clusters, and the matrix that takes the means; empty clusters weigh 0."""
        averages = averaging_matrix(nearest_center(tiles, self.centers), self.centers.shape[-2], tiles.dtype)
        means = averages @ self.embed(tiles)  # (..., n_clusters, hidden_dim)
        # The mean of an empty cluster is zero, to which the score would give a weight all the same.
        scores = self.score(means).masked_fill(averages.sum(-1) == 0, -torch.inf)
        return scores.softmax(-1), means, averages

    def _pool(self, tiles: Tensor) -> Tensor:
        weights, means, _ = self._clusters(tiles)
        return segment_weighted_sum(weights, means, means.shape[-2:-1])

    def forward(self, bags: PackedBags) -> Tensor:
        # Bag by bag, because the averaging matrix of many bags would be mostly zeros.
        return self.rho(torch.cat([self._pool(tiles) for tiles in bags.values.split(bags.lengths, dim=-2)], dim=-2))

    def attention(self, bags: PackedBags) -> Tensor:
        """One weight per tile, the cluster's divided evenly among its tiles; the weights of a bag sum to one."""
        shares = []
        for tiles in bags.values.split(bags.lengths, dim=-2):
            weights, _, averages = self._clusters(tiles)
            shares.append(segment_weighted_sum(weights, averages, averages.shape[-2:-1]).squeeze(-2))
        return torch.cat(shares, dim=-1)
