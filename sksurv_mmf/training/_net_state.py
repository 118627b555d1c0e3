"""What a skorch net has to remember to go on with its training."""

import inspect
from os import PathLike

from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.history import History
from torch import Tensor, nn

from ..files._tree import Plain
from ._checkpoint import copy_tensors, load_optimizer
from ._seeds import random_states, set_random_states


def state_of_net(net: NeuralNet) -> dict:
    """All that decides the epochs to come, as plain values and tensors."""
    check_can_be_kept(net)
    states = {name: state_of_callback(callback) for name, callback in net.callbacks_}
    return {
        "network": tensors_of(net.module_),
        "optimizer": net.optimizer_.state_dict(),
        "random_states": random_states(net.device),
        "history": list(net.history),
        "callbacks": {name: state for name, state in states.items() if state},
    }


def load_net(net: NeuralNet, state: dict) -> None:
    """Put back what `state_of_net` has told of a net of the same parts."""
    if len(state["history"]) > net.max_epochs:
        raise ValueError(f"it has {len(state['history'])} epochs of {net.max_epochs}")
    copy_tensors(tensors_of(net.module_), state["network"])
    load_optimizer(net.optimizer_, state["optimizer"])
    callbacks = dict(net.callbacks_)
    for name, one in state["callbacks"].items():
        load_callback(callbacks[name], one)
    net.history_ = History(state["history"])
    set_random_states(state["random_states"], net.device)


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers, of which `state_dict` leaves some out."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def state_of_callback(callback: Callback) -> dict:
    """What a callback keeps: what its `state_dict` tells, or else its attributes.

    Functions and classes do not change. What else is no plain value must be a parameter, by which the fit is known, or
    have a `state_dict` itself, as schedulers have.
    """
    if hasattr(callback, "state_dict"):
        return callback.state_dict()
    parameters, state = callback.get_params(deep=False), {}
    for name, value in vars(callback).items():
        if inspect.isroutine(value) or inspect.isclass(value):
            continue
        if hasattr(value, "state_dict"):
            state[name] = value.state_dict()
        elif name not in parameters or is_plain(value):
            state[name] = value
    return state


def is_plain(value) -> bool:
    """Whether a value can be written without code."""
    try:
        Plain().encode(value, "")
    except ValueError:
        return False
    return True


def load_callback(callback: Callback, state: dict) -> None:
    """Put back what `state_of_callback` has told."""
    if hasattr(callback, "load_state_dict"):
        callback.load_state_dict(state)
        return
    parameters = callback.get_params(deep=False)
    for name, value in state.items():
        if isinstance(parameters.get(name), str | PathLike) and str(parameters[name]) != str(value):
            raise ValueError(f"it gives the parameter {name!r} of a callback the value {value!r}")
        if name.startswith("__"):
            raise ValueError(f"it gives a callback {name!r}")
        if hasattr(getattr(callback, name, None), "load_state_dict"):
            getattr(callback, name).load_state_dict(value)
        elif inspect.isroutine(inspect.getattr_static(callback, name, None)):
            raise ValueError(f"it replaces the method {name!r} of a callback")
        else:
            setattr(callback, name, value)


def check_can_be_kept(net: NeuralNet) -> None:
    """Refuse callbacks and an optimizer with a state that is no plain value, by their names."""
    for name, callback in net.callbacks_:
        _check_plain(f"the callback {name} ({type(callback).__name__})", state_of_callback(callback))
    _check_plain(f"the optimizer {type(net.optimizer_).__name__}", net.optimizer_.state_dict())


def _check_plain(what, state):
    try:
        Plain().encode(state, "its state")
    except ValueError as error:
        raise ValueError(
            f"checkpoint_dir cannot keep {what}: {error} Give it a state_dict of numbers, text, arrays and tensors and "
            "a load_state_dict, or leave checkpoint_dir out."
        ) from error
