"""Small cohorts on which the contracts are tried."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sksurv.util import Surv

N_PATIENTS = 48


@dataclass(frozen=True)
class CheckCohort:
    """Patients with a strong signal: every feature rises with the hidden risk.

    Attributes
    ----------
    X : DataFrame
        One row per patient, columns numeric or of dtype "bag".
    y : structured array
        Event and time. The earliest time is censored: a :class:`~sksurv.functions.StepFunction` continues its
        first value to the left, so that S(0) = 1 holds for step functions at observed times only then.
    """

    X: pd.DataFrame
    y: np.ndarray

    @property
    def event(self):
        """Whether the event was observed."""
        return self.y[self.y.dtype.names[0]]

    @property
    def time(self):
        """Time of event or censoring."""
        return self.y[self.y.dtype.names[1]]

    @property
    def bag_columns(self):
        """Names of the columns that hold bags."""
        return [name for name, dtype in self.X.dtypes.items() if dtype == "bag"]


def make_check_cohort(bags=False):
    """Make a numeric cohort, or one with a modality of tile bags beside a numeric one."""
    rng = np.random.default_rng(0)
    risk = rng.normal(size=N_PATIENTS)
    patients = [f"P{i:02d}" for i in range(N_PATIENTS)]
    if bags:
        tiles = [rng.normal(r, 0.3, size=(rng.integers(2, 7), 4)).astype(np.float32) for r in risk]
        X = _numeric(rng, risk, patients, prefix="rna__g")
        X.insert(0, "wsi__tiles", pd.array(tiles, dtype="bag"))
    else:
        X = _numeric(rng, risk, patients, prefix="x")
    return CheckCohort(X, _outcome(rng, risk))


def _numeric(rng, risk, patients, prefix):
    values = risk[:, np.newaxis] + rng.normal(scale=0.5, size=(len(risk), 4))
    return pd.DataFrame(values, index=patients, columns=[f"{prefix}{i}" for i in range(values.shape[1])])


def _outcome(rng, risk):
    time = 1 + np.exp(-1.5 * risk) * rng.exponential(scale=10, size=len(risk))
    event = rng.random(len(risk)) < 0.75
    event[np.argmin(time)] = False
    return Surv.from_arrays(event, time)
