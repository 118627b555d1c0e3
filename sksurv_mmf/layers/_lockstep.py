"""What layers do where many networks of one shape compute at once, each with weights and random numbers of its own.

Such networks, the members of an ensemble, are one network under `torch.func.vmap` over stacked weights. A layer sees
the weights of one member and knows nothing of the others, unless it draws random numbers or has a gradient of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

STOCK = 2**14
"""Random numbers that are drawn for a member at once: a draw for each layer would take longer than the layer."""


class Randomness:
    """Random numbers of each member, from a generator of its own.

    A member draws what it would draw alone, whoever computes beside it.

    Parameters
    ----------
    generators : list of torch.Generator
        One for each member.
    """

    def __init__(self, generators: list[torch.Generator]):
        self.generators = generators
        self.stock = self._draw(STOCK)
        self.used = 0

    def _draw(self, size):
        return torch.stack([torch.rand(size, device=one.device, generator=one) for one in self.generators])

    def state(self) -> dict:
        """What decides the numbers to come."""
        return {"generators": [one.get_state() for one in self.generators], "stock": self.stock, "used": self.used}

    def load(self, state: dict) -> None:
        """Put back what `state` has told of as many members."""
        stock, used = state["stock"], state["used"]
        if (stock.shape, stock.dtype) != (self.stock.shape, self.stock.dtype) or not 0 <= used <= STOCK:
            raise ValueError(f"random numbers of {len(self.generators)} members are expected")
        for generator, one in zip(self.generators, state["generators"], strict=True):
            generator.set_state(one)
        self.stock, self.used = stock, used

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Numbers in [0, 1) for the member that computes."""
        size = int(torch.Size(shape).numel())
        if self.used + size > STOCK:
            if size > STOCK // 4:
                return lift(lambda: self._draw(size)).view(shape)
            _own.set((_own.get()[0], lift(self._renew)))
        numbers = _own.get()[1][self.used : self.used + size]
        self.used += size
        return numbers.view(shape)

    def _renew(self):
        self.stock, self.used = self._draw(STOCK), 0
        return self.stock

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers for the member that computes."""
        return lift(
            lambda: torch.stack([torch.randn(shape, device=one.device, generator=one) for one in self.generators])
        )


_randomness = ContextVar("randomness", default=None)  # of all members, while they compute
_own = ContextVar("own", default=None)  # what the member that computes sees: its number, its stock


@contextmanager
def as_member(randomness: Randomness | None, number: Tensor, stock: Tensor | None) -> Iterator[None]:
    """Inside the block, which is under vmap, `number` and `stock` are those of the member that computes."""
    tokens = _randomness.set(randomness), _own.set((number, stock))
    try:
        yield
    finally:
        _randomness.reset(tokens[0])
        _own.reset(tokens[1])


def in_lockstep() -> bool:
    """Whether members compute at once."""
    return _own.get() is not None


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
    return _Lifted.apply(lambda _, *members: function(*members), _own.get()[0], *tensors)


def for_members(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(generators, *tensors)`` of all members at once, for what vmap cannot look into.

    The tensors have the members along a first axis. In it, what all members share is there once, with a stride of 0.
    """
    randomness = _randomness.get()

    def compute(*members):
        return function([None] * len(members[0]) if randomness is None else randomness.generators, *members)

    return lift(compute, *tensors)


def uniform(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Random numbers in [0, 1), from the generator of the member that computes, or from torch's own."""
    return _randomness.get().uniform(shape) if in_lockstep() else torch.rand(shape, device=device)


def normal(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal random numbers, from the generator of the member that computes, or from torch's own."""
    return _randomness.get().normal(shape) if in_lockstep() else torch.randn(shape, device=device)
