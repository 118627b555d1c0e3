"""One modality's part of the network: standardisation and encoder."""

from numbers import Integral

import torch
from torch import Tensor, nn

from ..layers._lockstep import normal
from ..layers._packed_bags import PackedBags
from ._embeddings import Embedding, n_patients_of, rows_of


class Standardize(nn.Module):
    """Centre and scale each feature with the training patients' mean and standard deviation."""

    def __init__(self, values: Tensor):
        super().__init__()
        scale, mean = values.std(dim=-2, correction=0), values.mean(dim=-2)
        # Sums and squares may go beyond float32. A meta tensor, of a network that is loaded, has no values to look at.
        if not values.is_meta and not torch.isfinite(scale + mean).all():
            exact = values.double()
            scale, mean = exact.std(dim=-2, correction=0).float(), exact.mean(dim=-2).float()
        # Rounding leaves a constant feature a tiny deviation, by which other patients must not be divided.
        varies = (values.amax(dim=-2) > values.amin(dim=-2)) & (scale > 0)
        # Of a constant feature the value itself, for the mean of large numbers is a little off.
        self.register_buffer("mean", torch.where(varies, mean, values[..., 0, :]))
        self.register_buffer("scale", torch.where(varies, scale, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / self.scale


def add_noise(inputs, scale: float):
    """Add Gaussian noise of standard deviation `scale` to vectors or to the tiles of bags."""
    if isinstance(inputs, PackedBags):
        return inputs.with_values(add_noise(inputs.values, scale))
    noise = normal(inputs.shape, inputs.device).to(inputs.dtype)
    return torch.add(inputs, noise, alpha=scale)


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


class ModalityEncoder(nn.Module):
    """From a modality of a batch to its embedding.

    Parameters
    ----------
    standardize : Standardize or None
        What rescales the inputs first; None leaves them as they are.
    encoder : Module
        What an :class:`~sksurv_mmf.encoders.Encoder` builds.

    Attributes
    ----------
    out_dim : int
        Width of the embedding.
    """

    def __init__(self, standardize: Standardize | None, encoder: nn.Module):
        super().__init__()
        self.standardize = standardize
        self.encoder = encoder
        self.out_dim = width_of(encoder)

    def rescale(self, inputs):
        """The inputs as the encoder sees them."""
        return inputs if self.standardize is None else self.standardize(inputs)

    def forward(self, inputs: Tensor | PackedBags) -> Embedding:
        embedding = self.encoder(self.rescale(inputs))
        check_embedding(self.encoder, embedding, rows_of(inputs).shape[:-2], n_patients_of(inputs))
        return embedding

    def attention(self, bags: PackedBags) -> Tensor:
        """One weight per tile, of an encoder that weighs tiles."""
        attend = getattr(self.encoder, "attention", None)
        weights = None if attend is None else attend(self.rescale(bags))
        expected = bags.values.shape[:-1]
        if not isinstance(weights, Tensor) or weights.shape != expected:
            found = "has no method `attention`" if attend is None else f"returned {shape_of(weights)} from `attention`"
            raise ValueError(
                f"The encoder's module {type(self.encoder).__name__} {found}. Of an encoder that has_attention, "
                f"expected is one weight per tile, a tensor of shape {tuple(expected)}."
            )
        return weights


# Tensors of other shapes would be broadcast further on, and a model would learn from them without a word.
def check_embedding(module: nn.Module, embedding: Embedding, leading: tuple[int, ...], n_patients: int) -> None:
    """Refuse what an encoder's module returns if it is not one vector, or tokens, of its width for each patient.

    `leading` is the shape in front of the patients or tiles.
    """
    packed = isinstance(embedding, PackedBags)
    values = rows_of(embedding)
    is_table = isinstance(values, Tensor) and values.ndim > 1
    is_table = is_table and (*values.shape[:-2], values.shape[-1]) == (*leading, module.out_dim)
    if not is_table or n_patients_of(embedding) != n_patients:
        raise ValueError(
            f"The encoder's module {type(module).__name__} was given {n_patients} patients and returned "
            f"{shape_of(values)}{f' for {len(embedding)} patients' if packed else ''}. Expected is a tensor of shape "
            f"(n_patients, out_dim) = ({n_patients}, {module.out_dim}), or PackedBags of tokens of the width "
            f"{module.out_dim}."
        )


def shape_of(value) -> str:
    """A tensor by its shape, anything else by its type."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
