"""Hospitals whose patients have known hazards, and models that predict what they are told to."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sksurv.base import SurvivalAnalysisMixin
from sksurv.functions import StepFunction
from sksurv.util import Surv

TIMES = np.linspace(0, 12, 601)


def hospital(n_patients, *, factor=1.0, seed=0, prefix="P"):
    """Patients with the hazard ``0.1 * factor * exp(a__x + b__x)``, half of them censored by a uniform time."""
    random = np.random.default_rng(seed)
    names = [f"{prefix}{i}" for i in range(n_patients)]
    X = pd.DataFrame(random.normal(size=(n_patients, 2)), names, ["a__x", "b__x"])
    time = random.exponential(10 / factor / np.exp(X.sum(axis=1).to_numpy()))
    censored = random.uniform(2, 12, n_patients)
    return X, Surv.from_arrays(time <= censored, np.minimum(time, censored))


class KnownHazard(SurvivalAnalysisMixin, BaseEstimator):
    """Predicts the cumulative hazard ``(0.1 * factor * t) ** shape * exp(spread * lp)``, whatever it is fitted to."""

    def __init__(self, factor=1.0, spread=1.0, shape=1.0):
        self.factor = factor
        self.spread = spread
        self.shape = shape

    def fit(self, X, y):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        return self

    def predict(self, X):
        return self.spread * X.sum(axis=1).to_numpy()

    def predict_survival_function(self, X):
        hazards = np.outer(np.exp(self.predict(X)), (0.1 * self.factor * TIMES) ** self.shape)
        return np.array([StepFunction(TIMES, np.exp(-one)) for one in hazards], dtype=object)


def known(*, columns=("a__x", "b__x"), **parameters):
    """A fitted `KnownHazard`."""
    return KnownHazard(**parameters).fit(pd.DataFrame(columns=list(columns)), None)
