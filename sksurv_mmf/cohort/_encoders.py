"""Encoders of modalities that are inferred from the names of columns."""

from collections.abc import Mapping
from dataclasses import replace

from ..encoders._attention_mil import AttentionMIL
from ..encoders._base import Encoder
from ..encoders._snn import SNN
from ..utils._validation import check_part, shorten


def check_encoders(encoders, modalities):
    """Refuse what cannot be parts of inferred modalities."""
    if encoders and modalities is not None:
        raise ValueError(
            f"encoders has {shorten(encoders)}, but it is for modalities that are inferred, and modalities lists "
            "them with their encoders. Leave one of the two out."
        )
    for name, part in (encoders or {}).items():
        check_part(f"encoders[{name!r}]", part, Encoder)
        is_params = isinstance(part, Mapping) and all(isinstance(key, str) for key in part)
        if not (is_params or isinstance(part, Encoder)):
            raise ValueError(
                f"encoders[{name!r}] must be an encoder from sksurv_mmf.encoders or a dict of parameters, got {part!r}."
            )


def encoders_of(modalities, encoders):
    """Give each `Modality` its encoder: the one that the user named, or the default with the user's parameters."""
    encoders = encoders or {}
    names = [modality.name for modality in modalities]
    unknown = [name for name in encoders if name not in names]
    if unknown:
        raise ValueError(
            f"Parameters were set of {shorten(unknown)}, but the modalities of X are {shorten(names)}; see encoders."
        )
    return [replace(one, encoder=_encoder_of(one, encoders.get(one.name, {}))) for one in modalities]


def _encoder_of(modality, part):
    if isinstance(part, Encoder):
        return part
    encoder = AttentionMIL() if modality.is_bag else SNN()
    try:
        return encoder.set_params(**part)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"The encoder of modality {modality.name!r} cannot be set as asked: {error}") from error
