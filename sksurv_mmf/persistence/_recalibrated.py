"""Recalibrated models: the correction as JSON; the model that is corrected is saved like a step of a pipeline."""

import numpy as np
import pandas as pd

from ..evaluation._recalibrate import EVERYBODY, OTHERS, RecalibratedModel
from ._integrity import check_times

COLUMNS = ["n_patients", "n_events", "expected", "intercept", "slope"]


def encode_recalibrated(estimator, where, parts):
    """JSON of all but the model."""
    parameters = {name: value for name, value in estimator.get_params(deep=False).items() if name != "model"}
    corrections = {name: estimator.corrections_[name].to_numpy() for name in COLUMNS}
    learnt = {"modalities": list(estimator.corrections_.index), "corrections": corrections}
    learnt |= {"horizon": estimator.horizon_, "times": estimator.unique_times_}
    return parts.encode({"parameters": parameters, "learnt": learnt}, where)


def decode_recalibrated(node, held, decoder):
    """Build a recalibrated model from its JSON and from the model, loaded again."""
    state = decoder.decode(node)
    ((_, model),) = held
    estimator = RecalibratedModel(model, **state["parameters"])
    estimator._validate_params()
    learnt = state["learnt"]
    index = pd.Index(learnt["modalities"], name="modalities")
    estimator.corrections_ = pd.DataFrame(learnt["corrections"], index)[COLUMNS]
    estimator.horizon_, estimator.unique_times_ = float(learnt["horizon"]), learnt["times"]
    _check(estimator)
    return estimator


def _check(estimator):
    """Refuse corrections that make no survival functions."""
    check_times(estimator.unique_times_, "unique_times_ of the recalibrated model")
    table = estimator.corrections_
    # Those of earlier versions were called "all others" even where there were no others.
    if not table.index.is_unique or table.index[-1] not in (OTHERS, *[EVERYBODY] * (len(table) == 1)):
        raise ValueError(
            f"the corrections of the recalibrated model do not end with one of {OTHERS!r} or {EVERYBODY!r}"
        )
    numbers = table.to_numpy(dtype=float)
    if not (np.isfinite(numbers).all() and (table["slope"] > 0).all() and 0 < estimator.horizon_ < np.inf):
        raise ValueError("the corrections of the recalibrated model are not finite numbers with positive slopes")
