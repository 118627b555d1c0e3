"""Fusion by gated attention over the modalities."""

from collections.abc import Collection

from torch import Tensor, nn

from ..layers._attention_score import AttentionScore
from ..utils._validation import PROBABILITY, WIDTH
from ._base import Fusion, modality_softmax, stack_modalities, weighted_sum


class GatedAttention(Fusion):
    r"""Gated attention: the modality vectors of a patient are a bag, pooled as in attention MIL.

    Differs from :class:`CrossModalAttention` by the gate only.

    Parameters
    ----------
    hidden_dim : int, default=64
        Width of the scoring network.
    dropout : float, default=0.0
        Dropout probability inside the scoring network.

    Notes
    -----
    The weights are the softmax, over the modalities that the patient has, of
    :math:`s_m = w^\top (\tanh(V f_m) \odot \sigma(U f_m))` ([1]_).

    References
    ----------
    .. [1] Ilse, M., Tomczak, J. M., Welling, M. "Attention-based deep multiple instance learning", ICML 2018.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.fusions import GatedAttention
    >>> fuse = GatedAttention().build({"wsi": 16, "rna": 16})
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> fused, weights = fuse([torch.rand(2, 16), torch.rand(2, 16)], present)
    >>> weights[1].tolist()
    [1.0, 0.0]
    """

    has_attention = True

    _parameter_constraints = {
        "hidden_dim": [WIDTH],
        "dropout": [PROBABILITY],
    }

    def __init__(self, hidden_dim=64, *, dropout=0.0):
        self.hidden_dim = hidden_dim
        self.dropout = dropout

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        return _GatedAttentionModule(self._common_dim(dims), self.hidden_dim, self.dropout)


class _GatedAttentionModule(nn.Module):
    def __init__(self, dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.score = AttentionScore(dim, hidden_dim, dropout, gated=True)
        self.out_dim = dim

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        stacked = stack_modalities(embeddings)  # (..., n_patients, n_modalities, embedding_dim)
        weights = modality_softmax(self.score(stacked), present)
        return weighted_sum(weights, stacked), weights
