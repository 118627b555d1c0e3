"""The whole network: encoders, normalisation, fusion, and the outputs."""

from numbers import Real

import torch
from torch import Tensor, nn

from ..patients._batch import Batch
from ..utils._validation import shorten
from ._embeddings import READERS, Embedding, drop_modalities, hide, normalize, rows_of, spoil_overflow, spread
from ._head import SharedLinear
from ._modality_encoder import add_noise, shape_of, width_of


def noise_scales(input_noise: float | dict[str, float], names: list[str]) -> list[float]:
    """Standard deviation of the noise on each modality, after checking those given by name."""
    if not isinstance(input_noise, dict):
        return [input_noise] * len(names)
    unknown = [name for name in input_noise if name not in names]
    if unknown:
        raise ValueError(f"input_noise names {shorten(unknown)}, but the modalities are {shorten(names)}.")
    for name, scale in input_noise.items():
        if not (isinstance(scale, Real) and scale >= 0):
            raise ValueError(f"input_noise of modality {name!r} must be a number of at least 0, got {scale!r}.")
    return [input_noise.get(name, 0.0) for name in names]


def check_fused(module: nn.Module, fused, leading: tuple[int, ...], n_patients: int) -> None:
    """Refuse what a fusion's module returns if it is not a pair with one vector of its width for each patient.

    `leading` is the shape in front of the patients.
    """
    is_pair = isinstance(fused, tuple | list) and len(fused) == 2
    if not is_pair or getattr(fused[0], "shape", None) != (*leading, n_patients, module.out_dim):
        raise ValueError(
            f"The fusion's module {type(module).__name__} was given {n_patients} patients and returned "
            f"{shape_of(fused[0]) + ' first' if is_pair else shape_of(fused)}. Expected is a pair: a tensor of shape "
            f"(n_patients, out_dim) = ({n_patients}, {module.out_dim}), and the weights of the modalities or None."
        )


class FusionNetwork(nn.Module):
    """From a batch of patients to the outputs that an objective reads.

    Parameters
    ----------
    encoders : list of ModalityEncoder
        One for each modality.
    fusion : Module
        What a :class:`~sksurv_mmf.fusions.Fusion` builds.
    n_outputs : int
        Number of outputs.
    input_noise : list of float
        Standard deviation of the Gaussian noise on each modality's input, in training only.
    normalization : {"minmax", "layer", None}
        How each modality vector or token is rescaled before the fusion.
    modality_dropout : float
        Probability with which a modality of a patient is hidden, in training only.
    reads : {"vectors", "tokens"}, default="vectors"
        What the fusion is given.
    initial_outputs : float or ndarray of shape (n_outputs,), default=0.0
        Biases with which the outputs start.
    proportional : bool, default=False
        Whether the last layer has one row of weights that the outputs share, beside a bias for each.
    """

    def __init__(
        self,
        encoders,
        fusion,
        n_outputs,
        *,
        input_noise,
        normalization,
        modality_dropout,
        reads="vectors",
        initial_outputs=0.0,
        proportional=False,
    ):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.fusion = fusion
        self.penalty = getattr(fusion, "penalty", None)  # asked once: a module is slow to say what it does not have
        self.head = (SharedLinear if proportional else nn.Linear)(width_of(fusion), n_outputs)
        with torch.no_grad():
            self.head.bias.copy_(torch.as_tensor(initial_outputs).expand(n_outputs))
        self.reads = reads
        self.input_noise = input_noise
        self.normalization = normalization
        self.modality_dropout = modality_dropout

    def embed(self, batch: Batch) -> tuple[list[Embedding], Tensor]:
        """What the fusion is given: one embedding per modality, and who has what that is not hidden."""
        embeddings = normalize(self.normalization, [self._embed_one(m, batch) for m in range(len(self.encoders))])
        present = batch.present
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout)
            embeddings = [hide(one, kept) for one, kept in zip(embeddings, present.unbind(-1))]
        return embeddings, present

    def embed_one(self, m: int, batch: Batch) -> Embedding:
        """What the fusion is given of one modality, outside training."""
        return normalize(self.normalization, [self._embed_one(m, batch)])[0]

    def _embed_one(self, m: int, batch: Batch) -> Embedding:
        inputs, rows = batch.inputs[m], batch.rows[m]
        if inputs is None:
            # What nobody in the batch has still needs an embedding of its kind and width.
            nothing = READERS[self.reads](self.head.weight.new_zeros(*batch.leading, 0, self.encoders[m].out_dim))
            return spread(nothing, torch.empty(0, dtype=torch.long), len(batch))
        if self.training and self.input_noise[m]:
            inputs = add_noise(inputs, self.input_noise[m])
        embedding = READERS[self.reads](self.encoders[m](inputs))
        # In training the loss shows that numbers went wrong, and this pass over them would slow down each step.
        if not self.training:
            embedding = spoil_overflow(embedding)
        return embedding if rows is None else spread(embedding, rows, len(batch))

    def fuse(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The fused (n_patients, out_dim) tensor and the weights of the modalities, if the fusion has them."""
        return self._fuse(*self.embed(batch))

    def _fuse(self, embeddings, present):
        fused = self.fusion(embeddings, present)
        check_fused(self.fusion, fused, rows_of(embeddings[0]).shape[:-2], present.shape[-2])
        return fused

    def attention(self, batch: Batch) -> Tensor:
        """The (n_patients, n_modalities) weights of a fusion that weighs modalities."""
        weights = self.fuse(batch)[1]
        if getattr(weights, "shape", None) != batch.present.shape:
            raise ValueError(
                f"The fusion's module {type(self.fusion).__name__} returned {shape_of(weights)} for weights. Of a "
                f"fusion that has_attention, expected is a tensor of shape {tuple(batch.present.shape)}: one for each "
                "patient and modality."
            )
        return weights

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.fuse(batch)[0])

    def outputs_and_penalty(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The outputs, and the term that the fusion adds to the loss in training, if it has one."""
        embeddings, present = self.embed(batch)
        outputs = self.head(self._fuse(embeddings, present)[0])
        return outputs, None if self.penalty is None else self.penalty(embeddings, present)
