"""Models as JSON, with their arrays beside it.

Beside plain values there are instances of classes: ``{"object": "sksurv_mmf.SNN", "state": {...}}``.
"""

from dataclasses import dataclass, field
from functools import singledispatch
from inspect import getattr_static, signature

import pandas as pd
import torch
from sklearn.base import BaseEstimator

from ..bags._tiling import Tiling
from ..encoders._base import Encoder
from ..files._tree import Decoder, Plain, encode_plain, full_name, place
from ..fusions._base import Fusion
from ..late_fusion._late_fusion import LateFusionSurvivalAnalysis
from ..objectives._base import Objective
from ..patients._modality import Modality
from ..survival import FusionSurvivalAnalysis
from ._later_parameters import meant_without

PACKAGE = __name__.partition(".")[0]


def is_ours(cls):
    """Whether a class or function belongs to this package."""
    return cls.__module__.partition(".")[0] == PACKAGE


def subclasses(cls):
    """All classes below `cls`."""
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


def saved_name(cls):
    """How files name a class: ours by the package alone, so that its modules may move, others by themselves."""
    return f"{PACKAGE}.{cls.__qualname__}" if is_ours(cls) else cls.__qualname__


def known_classes(trusted=()):
    """Names in files, and the classes that they mean: this package's, torch's optimizers, and those of the user."""
    ours = [one for base in (Encoder, Fusion, Objective) for one in subclasses(base) if is_ours(one)]
    optimizers = [one for one in subclasses(torch.optim.Optimizer) if is_torch_optimizer(one)]
    ours += [FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, Modality, Tiling]
    named = {saved_name(one): one for one in [*ours, *trusted]}
    return named | {full_name(one): one for one in optimizers}


def is_torch_optimizer(cls):
    """Whether torch itself brings this optimizer."""
    return cls.__module__.startswith("torch.optim.")


@dataclass
class Parts(Plain):
    """What does not fit into JSON, gathered while a model is encoded.

    Attributes
    ----------
    files : dict of str to bytes
        Steps of pipelines that skops writes.
    left_out : list of str
        Places of what is not saved.
    classes : set of type
        Classes from elsewhere that are needed to load the model.
    names : set of str
        Types within `files` that must be trusted to load the model.
    networks : dict of str to FusionSurvivalAnalysis
        The networks by the place where they occur.
    """

    files: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)
    classes: set = field(default_factory=set)
    names: set = field(default_factory=set)
    networks: dict = field(default_factory=dict)

    def encode(self, value, where):
        """Turn a value, or a part of one, into JSON."""
        return encode(value, where, self)


@singledispatch
def encode(value, where, parts):
    """Turn a value into JSON; what does not fit goes into `parts` under names that begin with `where`."""
    return encode_plain(value, where, parts)


@encode.register
def _(value: pd.Index, where, parts):
    return encode(value.tolist(), where, parts)


@encode.register
def _(value: slice, where, parts):
    return {"slice": encode([value.start, value.stop, value.step], where, parts)}


@encode.register
def _(value: type, where, parts):
    return {"class": name_class(value, parts)}


@encode.register(Encoder)
@encode.register(Fusion)
@encode.register(Objective)
@encode.register(FusionSurvivalAnalysis)
@encode.register(LateFusionSurvivalAnalysis)
@encode.register(Modality)
@encode.register(Tiling)
def _(value, where, parts):
    state = {name: encode(one, place(where, name), parts) for name, one in vars(value).items()}
    return {"object": name_class(type(value), parts), "state": state}


def name_class(cls, parts):
    """The name of a class in the file, after noting whether it is from elsewhere."""
    if is_torch_optimizer(cls):
        return full_name(cls)
    if not is_ours(cls):
        parts.classes.add(cls)
    return saved_name(cls)


class ModelDecoder(Decoder):
    """Reads models, too.

    The file chooses among the classes of a table and cannot name others.

    Parameters
    ----------
    classes : dict of str to type
        The classes that may occur, see `known_classes`.
    tensors : dict of str to Tensor
        The arrays. Those that are read are removed.
    """

    def __init__(self, classes, tensors):
        super().__init__(tensors)
        self.classes = classes
        self.readers |= {
            ("slice",): lambda ends: slice(*self.decode(ends)),
            ("class",): self._class,
            ("object", "state"): self._object,
        }

    def _class(self, name):
        if name not in self.classes:
            raise ValueError(
                f"parameters.json names the class {name!r}, which load_model does not know. If it is yours and you "
                "trust the file, pass the class in trusted=[...]"
            )
        return self.classes[name]

    def _object(self, name, state):
        cls = self._class(name)
        if not issubclass(cls, BaseEstimator | Modality | Tiling):
            raise ValueError(f"parameters.json holds an instance of {name}, which save_model does not write")
        parameters = signature(cls).parameters
        given = {name: value for name, value in meant_without(cls).items() if name in parameters}
        given |= {name: self.decode(state[name]) for name in parameters.keys() & state.keys()}
        value = cls(**given)
        for attribute in state.keys() - parameters:
            if not may_be_set(cls, attribute):
                raise ValueError(f"parameters.json gives {name} an unknown {attribute!r}")
            setattr(value, attribute, self.decode(state[attribute]))
        return value


def may_be_set(cls, attribute):
    """Whether a name is one of data that `fit` leaves behind, and not one that the class itself uses."""
    found = getattr_static(cls, attribute, None)
    if attribute.startswith("_"):
        return issubclass(cls, BaseEstimator) and not attribute.startswith("__") and found is None
    hides_code = callable(found) or hasattr(found, "__get__")
    return issubclass(cls, BaseEstimator) and attribute.endswith("_") and not hides_code
