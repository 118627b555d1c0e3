"""What layers do where many networks of one shape compute at once, each with weights and random numbers of its own.

Such networks, the members of an ensemble, are one network under `torch.func.vmap` over stacked weights. A layer sees
the weights of one member and knows nothing of the others, unless it draws random numbers or has a gradient of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

Draw = Callable[[torch.Generator | None], Tensor]

_generators = ContextVar("generators", default=None)  # of the members, while they compute
_member = ContextVar("member", default=None)  # a tensor of which each member sees one entry


@contextmanager
def lockstep(generators: list[torch.Generator]) -> Iterator[None]:
    """Inside the block, members draw random numbers from their own generators."""
    token = _generators.set(generators)
    try:
        yield
    finally:
        _generators.reset(token)


@contextmanager
def as_member(number: Tensor) -> Iterator[None]:
    """Inside the block, which is under vmap, `number` is the one of the member that computes."""
    token = _member.set(number)
    try:
        yield
    finally:
        _member.reset(token)


def in_lockstep() -> bool:
    """Whether members compute at once."""
    return _member.get() is not None


class _Lifted(torch.autograd.Function):
    """A function that vmap calls once for all members, whose entries lie along a first axis."""

    @staticmethod
    def forward(function, *tensors):
        raise NotImplementedError("Lifted functions are for members only.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, function, *tensors):
        return function(*map(_members_first, tensors, in_dims[1:], [info.batch_size] * len(tensors))), 0


def _members_first(tensor, dim, n_members):
    return tensor.expand(n_members, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def lift(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """What a member gets of ``function(*tensors)``, in which all tensors have the members along a first axis."""
    # The number is what makes vmap look for a rule where no other tensor differs between members.
    return _Lifted.apply(lambda _, *members: function(*members), _member.get(), *tensors)


def draw(sample: Draw) -> Tensor:
    """Random numbers: ``sample(generator)`` of the generator of each member, or of torch's own.

    A member draws what it would draw alone, whoever computes beside it.
    """
    if not in_lockstep():
        return sample(None)
    return lift(lambda: torch.stack([sample(generator) for generator in _generators.get()]))


def for_each_member(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(generator, *tensors)`` of one member after the other, for what vmap cannot look into."""

    def compute(*members):
        return torch.stack([function(*one) for one in zip(_generators.get(), *members)])

    return lift(compute, *tensors)
