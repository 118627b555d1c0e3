"""The whole network: encoders, normalisation, fusion, and the outputs."""

from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor, nn

from ..bags._packed import PackedBags, segment_mean
from ..utils._validation import shorten
from ._patients import Batch

Embedding = Tensor | PackedBags
"""What an encoder makes of a batch: a row per patient, or a bag of tokens per patient."""


class _MinMax(torch.autograd.Function):
    """Rescaling to [0, 1] with a gradient of six operations, where automatic differentiation needs thirty."""

    @staticmethod
    def forward(ctx, vectors):
        (low, first), (high, last) = vectors.min(dim=1, keepdim=True), vectors.max(dim=1, keepdim=True)
        spread = high - low
        spread.masked_fill_(spread == 0, 1)
        scaled = (vectors - low).div_(spread)
        ctx.save_for_backward(scaled, spread, torch.cat([first, last], dim=1))
        return scaled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        scaled, spread, ends = ctx.saved_tensors
        grad = grad / spread
        at_high = (grad * scaled).sum(dim=1, keepdim=True)
        at_low = grad.sum(dim=1, keepdim=True) - at_high
        return grad.scatter_add(1, ends, -torch.cat([at_low, at_high], dim=1))


def minmax_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to [0, 1] by its own minimum and maximum; a constant row becomes zeros."""
    return _MinMax.apply(vectors)


def layer_normalize(vectors: Tensor) -> Tensor:
    """Rescale each row to mean 0 and variance 1."""
    return nn.functional.layer_norm(vectors, vectors.shape[1:])


NORMALIZATIONS = {"minmax": minmax_normalize, "layer": layer_normalize}


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
    return torch.add(inputs, torch.randn_like(inputs), alpha=scale)


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


def as_vectors(embedding: Embedding) -> Tensor:
    """One vector per patient: the mean of the tokens."""
    return segment_mean(embedding.values, embedding.lengths) if isinstance(embedding, PackedBags) else embedding


def as_tokens(embedding: Embedding) -> PackedBags:
    """A bag of tokens per patient: a vector is a single token."""
    return embedding if isinstance(embedding, PackedBags) else PackedBags(embedding, (1,) * len(embedding))


READERS = {"vectors": as_vectors, "tokens": as_tokens}


def width_of(module: nn.Module) -> int:
    """The ``out_dim`` of a module that a part built."""
    width = getattr(module, "out_dim", None)
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        what = "has no out_dim" if width is None else f"has out_dim={width!r}"
        raise ValueError(
            f"The module {type(module).__name__} {what}. A module that `build` returns must say how wide the vectors "
            "are that it makes: set module.out_dim to a whole number."
        )
    return int(width)


# Tensors of other shapes would be broadcast further on, and a model would learn from them without a word.
def check_embedding(module: nn.Module, embedding: Embedding, n_patients: int) -> None:
    """Refuse what an encoder's module returns if it is not one vector, or tokens, of its width for each patient."""
    packed = isinstance(embedding, PackedBags)
    values = embedding.values if packed else embedding
    is_table = isinstance(values, Tensor) and values.ndim == 2 and values.shape[1] == module.out_dim
    if not is_table or len(embedding) != n_patients:
        raise ValueError(
            f"The encoder's module {type(module).__name__} was given {n_patients} patients and returned "
            f"{shape_of(values)}{f' for {len(embedding)} patients' if packed else ''}. Expected is a tensor of shape "
            f"(n_patients, out_dim) = ({n_patients}, {module.out_dim}), or PackedBags of tokens of the width "
            f"{module.out_dim}."
        )


def check_fused(module: nn.Module, fused, n_patients: int) -> None:
    """Refuse what a fusion's module returns if it is not a pair with one vector of its width for each patient."""
    is_pair = isinstance(fused, tuple | list) and len(fused) == 2
    if not is_pair or getattr(fused[0], "shape", None) != (n_patients, module.out_dim):
        raise ValueError(
            f"The fusion's module {type(module).__name__} was given {n_patients} patients and returned "
            f"{shape_of(fused[0]) + ' first' if is_pair else shape_of(fused)}. Expected is a pair: a tensor of shape "
            f"(n_patients, out_dim) = ({n_patients}, {module.out_dim}), and the weights of the modalities or None."
        )


def shape_of(value) -> str:
    """A tensor by its shape, anything else by its type."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def normalize(normalization: str | None, embeddings: list[Embedding]) -> list[Embedding]:
    """Rescale every vector or token by itself; zeros, which a lacking patient has, stay zeros."""
    if normalization is None:
        return embeddings
    rescale = NORMALIZATIONS[normalization]
    rows = [one.values if isinstance(one, PackedBags) else one for one in embeddings]
    if len({one.shape[1] for one in rows}) == 1:  # all at once, since small steps are bound by the number of operations
        rescaled = rescale(torch.cat(rows)).split([len(one) for one in rows])
    else:
        rescaled = map(rescale, rows)
    return [one.with_values(new) if isinstance(one, PackedBags) else new for one, new in zip(embeddings, rescaled)]


def spread(embedding: Embedding, rows: Tensor, n_patients: int) -> Embedding:
    """Give patients who are not among `rows` zeros, or no tokens."""
    if isinstance(embedding, PackedBags):
        lengths = np.zeros(n_patients, dtype=int)
        lengths[rows.cpu().numpy()] = embedding.lengths
        return PackedBags(embedding.values, tuple(lengths.tolist()))
    return embedding.new_zeros(n_patients, embedding.shape[1]).index_copy(0, rows, embedding)


def hide(embedding: Embedding, kept: Tensor) -> Embedding:
    """Give patients who are not `kept` zeros, or no tokens."""
    if not isinstance(embedding, PackedBags):
        return embedding.masked_fill(~kept.unsqueeze(1), 0)
    kept = kept.cpu()
    lengths = torch.tensor(embedding.lengths)
    rows = torch.repeat_interleave(kept, lengths).nonzero().squeeze(1).to(embedding.values.device)
    return PackedBags(embedding.values[rows], tuple((lengths * kept).tolist()))


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
        How each modality vector or token is rescaled before the fusion.
    modality_dropout : float
        Probability with which a modality of a patient is hidden, in training only.
    reads : {"vectors", "tokens"}, default="vectors"
        What the fusion is given.
    initial_outputs : float or ndarray of shape (n_outputs,), default=0.0
        Biases with which the outputs start.
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
    ):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.dims = [width_of(encoder[-1]) for encoder in encoders]
        self.fusion = fusion
        self.penalty = getattr(fusion, "penalty", None)  # asked once: a module is slow to say what it does not have
        self.head = nn.Linear(width_of(fusion), n_outputs)
        with torch.no_grad():
            self.head.bias.copy_(torch.as_tensor(initial_outputs).expand(n_outputs))
        self.reads = reads
        self.input_noise = input_noise
        self.normalization = normalization
        self.modality_dropout = modality_dropout

    def embed(self, batch: Batch) -> tuple[list[Embedding], Tensor]:
        """What the fusion is given: one embedding per modality, and who has what."""
        embeddings = normalize(self.normalization, [self._embed_one(m, batch) for m in range(len(self.encoders))])
        present = batch.present
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout)
            embeddings = [hide(one, kept) for one, kept in zip(embeddings, present.T)]
        return embeddings, present

    def embed_one(self, m: int, batch: Batch) -> Embedding:
        """What the fusion is given of one modality, outside training."""
        return normalize(self.normalization, [self._embed_one(m, batch)])[0]

    def _embed_one(self, m: int, batch: Batch) -> Embedding:
        inputs, rows = batch.inputs[m], batch.rows[m]
        if inputs is None:
            nothing = READERS[self.reads](self.head.weight.new_zeros(0, self.dims[m]))
            return spread(nothing, torch.empty(0, dtype=torch.long, device=self.head.weight.device), len(batch))
        if self.training and self.input_noise[m]:
            inputs = add_noise(inputs, self.input_noise[m])
        embedding = self.encoders[m](inputs)
        check_embedding(self.encoders[m][-1], embedding, len(inputs))
        embedding = READERS[self.reads](embedding)
        return embedding if rows is None else spread(embedding, rows, len(batch))

    def fuse(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The fused (n_patients, out_dim) tensor and the weights of the modalities, if the fusion has them."""
        return self._fuse(*self.embed(batch))

    def _fuse(self, embeddings, present):
        fused = self.fusion(embeddings, present)
        check_fused(self.fusion, fused, len(present))
        return fused

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.fuse(batch)[0])

    def outputs_and_penalty(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The outputs, and the term that the fusion adds to the loss in training, if it has one."""
        embeddings, present = self.embed(batch)
        outputs = self.head(self._fuse(embeddings, present)[0])
        return outputs, None if self.penalty is None else self.penalty(embeddings, present)
