"""What is learnt: the loss, and how outputs become a risk and a curve."""

from ._base import Objective
from ._cox import CoxPH
from ._discrete_hazard import DiscreteHazard
from ._weibull import Weibull

__all__ = ["CoxPH", "DiscreteHazard", "Objective", "Weibull"]
