"""The whole network: encoders, normalisation, fusion, and the outputs."""

import torch
from torch import Tensor, nn

from ..bags._packed import PackedBags
from ._patients import Batch


def minmax_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to [0, 1] by its own minimum and maximum; a constant row becomes zeros."""
    low = vectors.amin(dim=1, keepdim=True)
    spread = vectors.amax(dim=1, keepdim=True) - low
    return (vectors - low) / torch.where(spread > 0, spread, 1)


def layer_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to mean 0 and variance 1."""
    return nn.functional.layer_norm(vectors, vectors.shape[1:])


NORMALIZATIONS = {"minmax": minmax_normalize, "layer": layer_normalize, None: lambda vectors: vectors}


class Standardize(nn.Module):
    """Centre and scale each feature with the training patients' mean and standard deviation."""

    def __init__(self, values: Tensor):
        super().__init__()
        scale = values.std(dim=0, correction=0)
        # Rounding leaves a constant feature a tiny deviation, by which other patients must not be divided.
        varies = (values.amax(dim=0) > values.amin(dim=0)) & (scale > 0)
        self.register_buffer("mean", values.mean(dim=0))
        self.register_buffer("scale", torch.where(varies, scale, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / self.scale


def add_noise(inputs, scale: float):
    """Add Gaussian noise of standard deviation `scale` to vectors or to the tiles of bags."""
    if isinstance(inputs, PackedBags):
        return inputs.with_values(add_noise(inputs.values, scale))
    return inputs + scale * torch.randn_like(inputs)


def drop_modalities(present: Tensor, probability: float) -> Tensor:
    """Hide each modality of a patient with the given probability, but never all that the patient has."""
    kept = present & (torch.rand(present.shape, device=present.device) >= probability)
    return torch.where(kept.any(dim=1, keepdim=True), kept, present)


class FusionNetwork(nn.Module):
    """From a batch of patients to the outputs that an objective reads.

    Parameters
    ----------
    encoders : list of Module
        One for each modality.
    fusion : Module
        What a :class:`~sksurv_mmf.fusions.Fusion` builds.
    n_outputs : int
        Number of outputs.
    input_noise : list of float
        Standard deviation of the Gaussian noise on each modality's input, in training only.
    normalization : {"minmax", "layer", None}
        How each modality vector is rescaled before the fusion.
    modality_dropout : float
        Probability with which a modality of a patient is hidden, in training only.
    """

    def __init__(self, encoders, fusion, n_outputs, *, input_noise, normalization, modality_dropout):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.dims = [encoder[-1].out_dim for encoder in encoders]
        self.fusion = fusion
        self.head = nn.Linear(fusion.out_dim, n_outputs)
        self.input_noise = input_noise
        self.normalization = normalization
        self.modality_dropout = modality_dropout

    def embed(self, batch: Batch) -> list[Tensor]:
        """One (n_patients, dim) tensor per modality, zeros for a patient who lacks it."""
        return [self._embed_one(m, batch) for m in range(len(self.encoders))]

    def _embed_one(self, m: int, batch: Batch) -> Tensor:
        inputs, rows = batch.inputs[m], batch.rows[m]
        if inputs is None:
            return self.head.weight.new_zeros(len(batch), self.dims[m])
        if self.training and self.input_noise[m]:
            inputs = add_noise(inputs, self.input_noise[m])
        embedding = NORMALIZATIONS[self.normalization](self.encoders[m](inputs))
        if rows is None:
            return embedding
        return embedding.new_zeros(len(batch), self.dims[m]).index_copy(0, rows, embedding)

    def fuse(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The fused (n_patients, out_dim) tensor and the weights of the modalities, if the fusion has them."""
        embeddings, present = self.embed(batch), batch.present
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout)
            embeddings = [one * present[:, m, None] for m, one in enumerate(embeddings)]
        return self.fusion(embeddings, present)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.fuse(batch)[0])
