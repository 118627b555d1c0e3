"""Methods that exist for some objects only."""

from functools import partial, update_wrapper
from types import MethodType


class AvailableMethod:
    """A method of those objects for which ``check(object)`` raises no AttributeError."""

    def __init__(self, check, function):
        self.check = check
        self.function = function
        update_wrapper(self, function)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.function  # with signature and docstring for the documentation
        self.check(instance)
        return MethodType(self.function, instance)


def available_if(check):
    """Decorate a method as scikit-learn's `available_if` does, whose error hides the message of the check."""
    return partial(AvailableMethod, check)
