"""Late fusion: its own numbers as JSON; the models that it holds are saved one by one, like steps of a pipeline."""

from copy import copy
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..late_fusion._late_fusion import JUDGED, LateFusionSurvivalAnalysis
from ..late_fusion._ranks import RankingModel
from ..utils._validation import shorten
from ._integrity import check_times
from ._tree import encode

LEARNT_TABLES = ["held_out_ranks_", "brier_scores_"]
"""Attributes that are tables, and not in every fit."""


def held_by(estimator):
    """Names of what a fitted late fusion holds, and these: its members' models, the combination if any, and `cv`."""
    cv = int(estimator.cv) if isinstance(estimator.cv, Integral) else estimator.cv
    return [*estimator.estimators_.items(), ("combiner_", getattr(estimator, "combiner_", None)), ("cv", cv)]


def encode_late_fusion(estimator, where, parts):
    """JSON of the rest."""
    rest = copy(estimator)
    del rest.estimators_
    vars(rest).pop("combiner_", None)
    rest.cv = None
    rest.modalities = [(name, None, *columns) for name, _, *columns in estimator.modalities]
    rest._models = [model.reference for model in estimator._models]
    rest.weights_ = estimator.weights_.to_numpy()
    # Without the index, which names the training patients: a saved model is for others.
    for name in LEARNT_TABLES:
        if hasattr(rest, name):
            setattr(rest, name, getattr(rest, name).to_numpy())
    return encode(rest, where, parts)


def decode_late_fusion(node, held, decoder):
    """Build a fitted late fusion from its JSON and from what `held_by` gave, loaded again."""
    estimator = decoder.decode(node)
    if not isinstance(estimator, LateFusionSurvivalAnalysis):
        raise ValueError(f"parameters.json holds a {type(estimator).__name__} where a late fusion is expected")
    vars(estimator).setdefault("_bags", [])  # older files do not say which columns are bags
    *models, (_, combiner), (_, estimator.cv) = held
    names = [name for name, _ in models]
    if names != [name for name, _ in estimator._columns]:
        raise ValueError(f"parameters.json has models of {shorten(names)}, but columns of others")
    estimator.estimators_ = dict(models)
    estimator.modalities = [
        (name, clone(model), *columns) for (name, model), (_, _, *columns) in zip(models, estimator.modalities)
    ]
    estimator._validate_params()
    if estimator.combine == "curves":
        _check_curves(estimator)
    else:
        estimator.combiner_ = combiner
    _check_numbers(estimator, names)
    estimator._models = [
        RankingModel(model, reference) for (_, model), reference in zip(models, estimator._models, strict=True)
    ]
    estimator.weights_ = pd.Series(estimator.weights_, index=names, name="weight")
    if hasattr(estimator, "held_out_ranks_"):
        estimator.held_out_ranks_ = pd.DataFrame(estimator.held_out_ranks_, columns=names)
    if hasattr(estimator, "brier_scores_"):
        estimator.brier_scores_ = pd.DataFrame(estimator.brier_scores_, index=names, columns=JUDGED)
    return estimator


def _check_numbers(estimator, names):
    for name, reference in zip(names, estimator._models):
        if reference.ndim != 1 or not len(reference) or not np.isfinite(reference).all():
            raise ValueError(f"the risks of the training patients of {name!r} are not a list of finite numbers")
    if not set(estimator._bags).issubset(range(estimator.n_features_in_)):
        raise ValueError("the late fusion has columns of bags beyond those of X")
    if not np.isfinite(estimator.weights_).all():
        raise ValueError("weights_ of the late fusion has numbers that are NaN or infinite")


def _check_curves(estimator):
    """Refuse times and curves of a mean of curves that do not belong together."""
    check_times(estimator.unique_times_, "unique_times_ of the late fusion")
    if not np.isin(estimator._event_times, estimator.unique_times_).all() or not len(estimator._event_times):
        raise ValueError("the event times of the late fusion are not among its unique_times_")
    marginal = estimator._marginal
    if marginal.shape != estimator.unique_times_.shape or not ((marginal >= 0) & (marginal <= 1)).all():
        raise ValueError("the Kaplan-Meier curve of the late fusion does not have a probability for each time")
    if (estimator.weights_ < 0).any():
        raise ValueError("weights_ of the late fusion has negative numbers")
