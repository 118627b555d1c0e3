"""Tensors as bytes that hold no code."""

import torch

from ..utils._optional import import_optional
from ..utils._validation import say


def tensors_as_bytes(tensors, purpose):
    """The contents of a safetensors file; `purpose` says what needs the package, should it be absent."""
    return _safetensors(purpose).save({name: _on_cpu(one) for name, one in tensors.items()})


def tensors_of_bytes(data, name, purpose):
    """The tensors in the contents of a safetensors file; `name` is that of the file in messages."""
    safetensors = _safetensors(purpose)
    try:
        tensors = safetensors.load(data)
    # The library's own type of error, which is not there without it.
    except Exception as error:
        raise ValueError(f"{name} is damaged, or was not written by this package ({say(error)})") from error
    # Copies, because the bytes of a file are aligned otherwise, and then sums may come out different in the last bit.
    return {key: one.clone() for key, one in tensors.items()}


def _on_cpu(tensor):
    """A tensor of its own, as safetensors wants it."""
    return tensor.cpu().clone(memory_format=torch.contiguous_format)


def _safetensors(purpose):
    return import_optional("safetensors.torch", "io", purpose)
