"""Cross-modality attention fusion (CM-MMF)."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..utils._sklearn import StrOptions
from ..utils._validation import WIDTH
from ._base import Fusion, modality_softmax, side_by_side, stack_modalities, weighted_sum

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class CrossModalAttention(Fusion):
    r"""Cross-modality attention (CM-MMF): a weighted sum of the modalities, with weights of each patient's own.

    The design that [1]_ proposes. The weights tell which modality the prediction of a patient rests on.

    Parameters
    ----------
    shared : bool, default=True
        Whether all modalities are scored by the same network. Sharing makes their scores comparable.
    activation : {"tanh", "relu"}, default="relu"
        Non-linearity of the scoring network; [1]_ prefers "tanh". On simulated patients of whom one modality is noise,
        "relu" finds that modality more often.
    hidden_dim : int, default=64
        Width of the scoring network, which the paper leaves open.
    normalize : bool, default=True
        Whether scores pass through a softmax over the modalities, as in Eq. 1 of [1]_. False weighs with the
        raw scores, as the authors' earlier cross-scale code does; the weights then do not sum to one.
    heads : {"own", "shared"}, default="own"
        Whether each modality has an output layer of its own, so that what a modality says of the risk need not be said
        in the same coordinates as the others say it, or all share one, as in [1]_.

    Notes
    -----
    For the modality vectors :math:`f_m`,

    .. math::

        a_m = \frac{\exp(w^\top \varphi(V f_m))}{\sum_{m'} \exp(w^\top \varphi(V f_{m'}))}, \qquad
        F = \sum_m a_m f_m,

    where the sums run over the modalities that the patient has. This :math:`F`, of which a linear layer makes the
    outputs, is that of shared heads. Own heads :math:`h_m` are linear layers whose sum is the output,

    .. math::

        M \sum_m a_m h_m^\top f_m,

    with the number :math:`M` of modalities that the patient has: the fused vector is then :math:`(M a_1 f_1, M a_2 f_2,
    \dots)`. Equal weights make it an additive model of the modalities.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.fusions import CrossModalAttention
    >>> fuse = CrossModalAttention().build({"wsi": 16, "rna": 16})
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> fused, weights = fuse([torch.rand(2, 16), torch.rand(2, 16)], present)
    >>> weights[1].tolist()
    [1.0, 0.0]
    """

    has_attention = True

    _parameter_constraints = {
        "shared": ["boolean"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "hidden_dim": [WIDTH],
        "normalize": ["boolean"],
        "heads": [StrOptions({"own", "shared"})],
    }

    def __init__(self, shared=True, activation="relu", *, hidden_dim=64, normalize=True, heads="own"):
        self.shared = shared
        self.activation = activation
        self.hidden_dim = hidden_dim
        self.normalize = normalize
        self.heads = heads

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        dim = self._common_dim(dims)
        scorers = [
            ModalityScore(dim, self.hidden_dim, ACTIVATIONS[self.activation])
            for _ in range(1 if self.shared else len(dims))
        ]
        return _CrossModalAttentionModule(scorers, self.normalize, dim, len(dims), self.heads == "own")


class ModalityScore(nn.Module):
    """(..., embedding_dim) -> (...): ``w^T phi(V f)``, both layers with bias."""

    is_attention = True

    def __init__(self, embedding_dim: int, hidden_dim: int, activation):
        super().__init__()
        self.hidden = nn.Linear(embedding_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1)
        self.activation = activation

    def start_evenly(self) -> None:
        """Give all modalities the same score until something is learnt."""
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.score(self.activation(self.hidden(embedding))).squeeze(-1)


class _CrossModalAttentionModule(nn.Module):
    def __init__(self, scorers: list[ModalityScore], normalize: bool, dim: int, n_modalities: int, own_heads: bool):
        super().__init__()
        self.scorers = nn.ModuleList(scorers)
        self.normalize = normalize
        self.own_heads = own_heads
        self.n_modalities = n_modalities
        self.out_dim = dim * n_modalities if own_heads else dim

    def start_evenly(self) -> None:
        """Let raw scores start as a mean: at zero nothing would ever be learnt."""
        if not self.normalize:
            for scorer in self.scorers:
                nn.init.constant_(scorer.score.bias, 1 / self.n_modalities)

    def _scores(self, embeddings: list[Tensor], stacked: Tensor) -> Tensor:
        # A shared scorer takes one product for all; with a single modality, one of its own is the same.
        if len(self.scorers) == 1:
            return self.scorers[0](stacked)
        scores = [scorer(embedding) for scorer, embedding in zip(self.scorers, embeddings)]
        return torch.stack(scores, dim=-1)

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        stacked = stack_modalities(embeddings)  # (..., n_patients, n_modalities, embedding_dim)
        scores = self._scores(embeddings, stacked)
        # Raw scores may have any sign and sum, so that nothing divides by the sum, and a missing modality gets zero.
        weights = modality_softmax(scores, present) if self.normalize else scores * present
        if not self.own_heads:
            return weighted_sum(weights, stacked), weights
        return side_by_side(weights * present.sum(dim=-1, keepdim=True), stacked), weights
