"""What a fit is known by when it is called again: patients, outcome, parameters and the code of parts of one's own."""

import inspect
import io
import pickle
import sys
from contextlib import suppress
from dataclasses import fields

import joblib
import numpy as np
from skorch.callbacks import Callback

from ..bags._named_files import contents_of_files, states_of_files
from ..utils._device import resolve_device

DECIDE_NOTHING = ("verbose",)

NOT_THE_USERS = {__name__.partition(".")[0], "numpy", "pandas", "scipy", "skorch", "sklearn", "sksurv", "torch"}


def identity_of(recipe, X, outcome, seed: int) -> dict:
    """What must be the same for a fit to be the same, as values of JSON."""
    names = [one.name for one in fields(recipe) if one.name not in DECIDE_NOTHING]
    parameters = {name: _known_by(name, getattr(recipe, name)) for name in names}
    parameters["device"] = resolve_device(recipe.device)
    return {
        "patients": joblib.hash((X, states_of_files(X))),
        "outcome": joblib.hash(tuple(outcome)),
        "parameters": parameters,
        "files": joblib.hash(contents_of_files(recipe, apart_from=Callback)),
        "code": joblib.hash(own_code(recipe)),
        "seed": seed,
    }


def _known_by(name, value):
    """A plain value itself, another one's hash."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return joblib.hash(value)
    except Exception as error:
        why = error.args[0] if error.args else type(error).__name__  # joblib adds all that it was hashing
        raise ValueError(
            f"checkpoint_dir cannot tell whether {name} is the same when fit is called again: {why}. Replace lambdas "
            "and local functions by functions of a module, or leave checkpoint_dir out."
        ) from error


class _FoundCode(pickle.Pickler):
    """Collects the classes and functions in an object, however deep."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.found = set()

    def reducer_override(self, obj):
        if isinstance(obj, type):
            self.found.update(obj.__mro__)
        elif inspect.isroutine(obj):
            self.found.add(obj)
        return NotImplemented


def own_code(recipe) -> dict[str, str]:
    """The source of classes and functions from elsewhere, by name, as far as Python finds it."""
    pickler, sources = _FoundCode(), {}
    pickler.dump(recipe)
    for one in pickler.found:
        package = (getattr(one, "__module__", None) or "builtins").partition(".")[0]
        if package not in NOT_THE_USERS | sys.stdlib_module_names - {"__main__"}:
            with suppress(OSError, TypeError):
                sources[f"{one.__module__}.{one.__qualname__}"] = inspect.getsource(one)
    return sources


def differences(ours: dict, theirs) -> list[str]:
    """In what two identities differ, in words."""
    if not isinstance(theirs, dict):
        return ["what it is a checkpoint of"]
    found = [_NAMES.get(name, name) for name in ours if name != "parameters" and theirs.get(name) != ours[name]]
    own, other = ours["parameters"], theirs.get("parameters")
    if not isinstance(other, dict):
        return [*found, "parameters"]
    return found + [_difference(name, own[name], other.get(name)) for name in own if own[name] != other.get(name)]


_NAMES = {
    "code": "the code of parts of your own",
    "files": "the contents of files that parameters name",
    "seed": "random_state",
    "training": "the networks that it trains",
}


def _difference(name, own, other):
    is_hash = any(isinstance(one, str) and len(one) == 32 for one in (own, other))
    return name if is_hash else f"{name} ({other!r:.40} there, {own!r:.40} here)"
