"""Fusion by the mean vector."""

from collections.abc import Collection

from torch import Tensor, nn

from ._base import Fusion, stack_modalities


class Mean(Fusion):
    """Mean of the modality vectors that a patient has ([1]_).

    Has no weights of its own and is the simplest answer to missing modalities.

    References
    ----------
    .. [1] Cheerla, A., Gevaert, O. "Deep learning with multimodal representation for pancancer prognosis
           prediction", Bioinformatics 35, 2019.

    Examples
    --------
    >>> import torch
    >>> from sksurv_mmf.fusions import Mean
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> rna = torch.tensor([[4.0], [0.0]])
    >>> Mean().build({"wsi": 1, "rna": 1})([torch.tensor([[2.0], [2.0]]), rna], present)[0].tolist()
    [[3.0], [2.0]]
    """

    _parameter_constraints = {}

    def build(self, dims: dict[str, int], bags: Collection[str] = ()) -> nn.Module:
        return _MeanModule(self._common_dim(dims))


class _MeanModule(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = dim

    def forward(self, embeddings: list[Tensor], present: Tensor) -> tuple[Tensor, None]:
        total = (stack_modalities(embeddings) * present.unsqueeze(-1)).sum(dim=1)
        return total / present.sum(dim=1, keepdim=True), None
