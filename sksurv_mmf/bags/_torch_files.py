"""Headers of ``.pt`` files: a bare tensor, as CLAM writes it, or a dict of tensors."""

import math
import pickle
import zipfile
from dataclasses import dataclass

import torch

from ..utils._torch_state import usual_settings
from ._checks import check_announced, choose_coords, choose_features

_REAL = {torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.bool}
_REAL |= {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """A tensor of a ``.pt`` file."""

    key: str | None
    shape: tuple

    def read(self, path):
        """Read the tensor; bfloat16, which numpy lacks, becomes float32."""
        # Mapped, storages cannot reach beyond the file, whatever size the pickle claims.
        tensor = _load(path, map_location="cpu", mmap=True)
        tensor = tensor if self.key is None else tensor[self.key]
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy().copy()


def read_torch_headers(path, size, features_key, coords_key):
    """Describe features and coordinates of a ``.pt`` file, reading no storage."""
    _check_archive(path, size)
    content = _load(path, map_location="meta")
    if isinstance(content, torch.Tensor):
        if features_key is not None or coords_key is not None:
            raise ValueError("it holds a single tensor without a name; leave features_key and coords_key out.")
        return _describe(None, content, size), None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}; expected a tensor or a dict of tensors.")
    names = [key for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)]
    keys = choose_features(names, features_key), choose_coords(names, coords_key)
    return [None if key is None else _describe(key, content[key], size) for key in keys]


def _check_archive(path, size):
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "it is not a zip archive, as torch.save writes it since version 1.6; it is truncated, older or no file of "
            "PyTorch. If you trust it, load it and save its tensor again."
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError("it is a TorchScript archive, which holds code; save the tensor alone with torch.save.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed, which torch.save never does.")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members announce more bytes than the file has; it is truncated or damaged.")


@usual_settings()
def _load(path, **how):
    try:
        return torch.load(path, weights_only=True, **how)
    except pickle.UnpicklingError:
        # The message of torch advises to unpickle it after all.
        raise ValueError(
            "it holds more than tensors, and pickled objects are never loaded from a feature file. Save the tensor "
            "alone, with torch.save(features, path)."
        ) from None


def _describe(key, tensor, size):
    if tensor.layout != torch.strided or tensor.dtype not in _REAL:
        raise ValueError(f"expected a dense tensor of numbers, got {tensor.dtype}, {tensor.layout}.")
    shape = tuple(tensor.shape)
    # A tensor can have stride 0 and so more elements than bytes.
    if math.prod(shape) * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise ValueError(f"its tensor of shape {shape} repeats its elements; save it with torch.save(x.contiguous()).")
    check_announced(shape, tensor.itemsize, size)
    return SavedTensor(key, shape)
