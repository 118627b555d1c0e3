"""Late fusion: its own numbers as JSON; the models that it holds are saved one by one, like steps of a pipeline."""

from copy import copy
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..late_fusion import LateFusionSurvivalAnalysis, RankingModel
from ..utils._validation import shorten
from ._tree import encode


def held_by(estimator):
    """Names of what a fitted late fusion holds, and these: a model per modality, the combination and `cv`."""
    cv = int(estimator.cv) if isinstance(estimator.cv, Integral) else estimator.cv
    return [*estimator.estimators_.items(), ("combiner_", estimator.combiner_), ("cv", cv)]


def encode_late_fusion(estimator, where, parts):
    """JSON of the rest."""
    rest = copy(estimator)
    del rest.estimators_, rest.combiner_
    rest.cv = None
    rest.modalities = [(name, None, *columns) for name, _, *columns in estimator.modalities]
    rest._models = [model.reference for model in estimator._models]
    rest.weights_ = estimator.weights_.to_numpy()
    # Without the index, which names the training patients: a saved model is for others.
    rest.held_out_ranks_ = estimator.held_out_ranks_.to_numpy()
    return encode(rest, where, parts)


def decode_late_fusion(node, held, decoder):
    """Build a fitted late fusion from its JSON and from what `held_by` gave, loaded again."""
    estimator = decoder.decode(node)
    if not isinstance(estimator, LateFusionSurvivalAnalysis):
        raise ValueError(f"parameters.json holds a {type(estimator).__name__} where a late fusion is expected")
    *models, (_, estimator.combiner_), (_, estimator.cv) = held
    names = [name for name, _ in models]
    if names != [name for name, _ in estimator._columns]:
        raise ValueError(f"parameters.json has models of {shorten(names)}, but columns of others")
    estimator.estimators_ = dict(models)
    estimator.modalities = [
        (name, clone(model), *columns) for (name, model), (_, _, *columns) in zip(models, estimator.modalities)
    ]
    for name, reference in zip(names, estimator._models):
        if reference.ndim != 1 or not len(reference) or not np.isfinite(reference).all():
            raise ValueError(f"the risks of the training patients of {name!r} are not a list of finite numbers")
    if not np.isfinite(estimator.weights_).all():
        raise ValueError("weights_ of the late fusion has numbers that are NaN or infinite")
    estimator._models = [
        RankingModel(model, reference) for (_, model), reference in zip(models, estimator._models, strict=True)
    ]
    estimator.weights_ = pd.Series(estimator.weights_, index=names, name="weight")
    estimator.held_out_ranks_ = pd.DataFrame(estimator.held_out_ranks_, columns=names)
    estimator._validate_params()
    return estimator
