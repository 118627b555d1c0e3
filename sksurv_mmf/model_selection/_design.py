"""What a comparison was made with, in words that stay when estimators and splitters are gone."""

import re
from dataclasses import dataclass

import pandas as pd
from sklearn.base import BaseEstimator

from ._groups import read_groups
from ._split import SurvivalKFold

MOST_CHARACTERS = 20_000


@dataclass(frozen=True, eq=False)
class Design:
    """How the folds and the models of a comparison were made.

    Attributes
    ----------
    folds : str
        The splitter as code, or that the folds were given.
    groups : Series or None
        Who stayed on one side of each fold, by patient.
    models : dict of str to str
        Each model as code, with the parameters that are not at their defaults.
    """

    folds: str
    groups: pd.Series | None
    models: dict

    @classmethod
    def of(cls, models, cv, groups, X, patients):
        """The design of a comparison of these."""
        if groups is not None:
            numbers, names = read_groups(groups, X, len(patients))
            groups = pd.Series(names[numbers], patients)
        return cls(_describe_splitter(cv), groups, {name: _as_code(model) for name, model in models.items()})


def _describe_splitter(cv):
    if isinstance(cv, int):
        cv = SurvivalKFold(cv)
    return repr(cv) if hasattr(cv, "split") else "folds that were given as lists of patients"


def _as_code(model):
    # scikit-learn's own repr is cut at 700 characters, which a pipeline soon has, and indents it off the page.
    code = model.__repr__(N_CHAR_MAX=MOST_CHARACTERS) if isinstance(model, BaseEstimator) else repr(model)
    return re.sub(r"\n\s*", " ", code)
