"""Parameters that came later, and what files that do not name them meant: not always what is the default today."""

from ..objectives._discrete_hazard import DiscreteHazard

# One line for each parameter that was added to a class whose instances may be in files already.
MEANT = {
    DiscreteHazard: {"proportional": False},
}


def meant_without(cls):
    """The parameters of a class that older files do not name, with the values by which these files were written."""
    return {name: value for one in reversed(cls.__mro__) for name, value in MEANT.get(one, {}).items()}
