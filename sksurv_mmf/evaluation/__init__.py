"""What a chosen model is worth: other hospitals' patients, calibration, decisions."""

from ._added_value import AddedValue, added_value
from ._decision_curve import DecisionCurveDisplay, net_benefit
from ._recalibrate import RecalibratedModel, recalibrate
from ._validate import validate
from ._validation import Validation

__all__ = [
    "AddedValue",
    "DecisionCurveDisplay",
    "RecalibratedModel",
    "Validation",
    "added_value",
    "net_benefit",
    "recalibrate",
    "validate",
]
