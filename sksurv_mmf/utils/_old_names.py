"""Names that have changed, and are understood for one more release."""

from functools import wraps

from ._warnings import warn


def warn_of_old_name(old, new):
    """Say that `old` is called `new` from now on."""
    warn(f"{old} is now called {new}, and its old name goes with the next release.", FutureWarning)


def renamed_parameters(**names):
    """Let a function take keyword arguments by their old names too, which are given as ``old="new"``."""

    def decorate(function):
        @wraps(function)
        def call(*args, **kwargs):
            for old, new in names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise TypeError(f"{function.__qualname__} got {new} and also {old}, its old name. Leave {old} out.")
                warn_of_old_name(f"{old} of {function.__qualname__}", new)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_attribute(old, new):
    """Property that reads the attribute `new` under the name `old`."""

    def read(self):
        warn_of_old_name(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)

    return property(read, doc=f"Old name of `{new}`.")


def renamed_method(cls, old, new):
    """Make a class that defines a method by one of its two names have it by the other one too.

    Each name calls the method of this very class, so that ``super()`` works by both of them, and overriding one of them
    overrides both.
    """
    # Of a class that defines neither, a mixin in front may define one.
    owner = next((one for one in cls.__mro__ if old in vars(one) or new in vars(one)), cls)
    own = vars(owner)
    if (old in own) == (new in own):
        return
    defined, other = (new, old) if new in own else (old, new)
    method = own[defined]

    @wraps(method)
    def call(self, *args, **kwargs):
        warn_of_old_name(f"{cls.__name__}.{old}", new)
        return method(self, *args, **kwargs)

    call.__name__, call.__qualname__ = other, f"{cls.__qualname__}.{other}"  # where docstrings are inherited from
    setattr(cls, other, call)
