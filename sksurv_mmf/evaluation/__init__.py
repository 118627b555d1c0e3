"""What a chosen model is worth: other hospitals' patients, calibration, decisions."""

from ._decision_curve import DecisionCurveDisplay, net_benefit
from ._recalibrate import RecalibratedModel, recalibrate
from ._validate import validate
from ._validation import Validation

__all__ = ["DecisionCurveDisplay", "RecalibratedModel", "Validation", "net_benefit", "recalibrate", "validate"]
