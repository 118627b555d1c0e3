"""Python values as JSON, with their arrays beside it.

JSON's own values stand for themselves. Everything else is an object with one key that says what it is, such as
``{"tuple": [1, 2]}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from os import PathLike, fspath

import numpy as np
import torch

from ..utils._validation import shorten


def full_name(cls):
    """How messages and manifests name a class or function."""
    return f"{cls.__module__}.{cls.__qualname__}"


def place(where, name):
    """Where something lies: its name behind those of what it is in."""
    return f"{where}/{name}" if where else name


@dataclass
class Plain:
    """What does not fit into JSON, gathered while values are encoded.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Arrays by the place where they occur.
    """

    tensors: dict = field(default_factory=dict)

    def encode(self, value, where):
        """Turn a value, or a part of one, into JSON."""
        return encode_plain(value, where, self)


@singledispatch
def encode_plain(value, where, parts):
    """Turn a value into JSON; what does not fit goes into `parts` under names that begin with `where`."""
    kind = full_name(type(value))
    raise ValueError(f"{where} is of the type {kind}, which no file without code can hold: {value!r:.80}.")


@encode_plain.register(type(None))
@encode_plain.register(bool)
@encode_plain.register(int)
@encode_plain.register(str)
def _(value, where, parts):
    return value


@encode_plain.register
def _(value: float, where, parts):
    return float(value) if np.isfinite(value) else {"float": repr(float(value))}


@encode_plain.register
def _(value: np.generic, where, parts):
    return encode_plain(value.item(), where, parts)


@encode_plain.register
def _(value: PathLike, where, parts):
    return fspath(value)


@encode_plain.register
def _(value: list, where, parts):
    return [parts.encode(one, f"{where}/{i}") for i, one in enumerate(value)]


@encode_plain.register
def _(value: tuple, where, parts):
    return {"tuple": parts.encode(list(value), where)}


@encode_plain.register
def _(value: Mapping, where, parts):
    return {"dict": [parts.encode(list(item), f"{where}/{i}") for i, item in enumerate(value.items())]}


@encode_plain.register
def _(value: np.ndarray, where, parts):
    if value.dtype.kind in "biuf" and value.dtype != np.longdouble:
        parts.tensors[where] = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
        return {"array": where}
    if value.ndim == 1 and all(isinstance(one, str) for one in value):
        return {"strings": [str(one) for one in value]}
    raise ValueError(f"{where} is an array of dtype {value.dtype}, and files hold numbers and names only.")


@encode_plain.register
def _(value: torch.Tensor, where, parts):
    parts.tensors[where] = value.detach()
    return {"tensor": where}


class Decoder:
    """Reads what `Plain.encode` wrote; nothing is imported.

    Parameters
    ----------
    tensors : dict of str to Tensor
        The arrays. Those that are read are removed.
    """

    def __init__(self, tensors):
        self.tensors = tensors
        self.readers = {
            ("float",): float,
            ("tuple",): lambda items: tuple(self.decode(items)),
            ("dict",): lambda items: dict(pairs_of(self.decode(items))),
            ("array",): lambda name: self._take(name).numpy(),
            ("tensor",): self._take,
            ("strings",): lambda names: np.array([str(name) for name in names], dtype=object),
        }

    def decode(self, node):
        """Turn JSON into the value that it stands for."""
        if isinstance(node, list):
            return [self.decode(one) for one in node]
        if not isinstance(node, dict):
            return node
        if tuple(node) not in self.readers:
            raise ValueError(f"parameters.json holds an object with the keys {shorten(node)}, which means nothing")
        return self.readers[tuple(node)](*node.values())

    def _take(self, name):
        if name not in self.tensors:
            raise ValueError(f"weights.safetensors lacks {name!r}")
        return self.tensors.pop(name)


def pairs_of(items):
    """The items of a dict, after checking that they are pairs."""
    if not isinstance(items, list) or not all(isinstance(one, list) and len(one) == 2 for one in items):
        raise ValueError(f"parameters.json has a dict whose items are no pairs: {items!r:.80}")
    return items
