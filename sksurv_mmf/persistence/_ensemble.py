"""An ensemble: its own parameters and numbers as JSON, and its members as networks one by one."""

from copy import copy

import numpy as np
import pandas as pd

from ..files._tree import place
from ..survival import FusionSurvivalAnalysis
from ..utils._validation import shorten
from ._network import check_writes_nowhere, decode_network, encode_network, without_training_aids
from ._tree import encode

FROM_MEMBERS = ("estimators_", "modalities_", "history_")
OF_TRAINING_PATIENTS = "oob_survival_function_"
"""Left out: a saved model is for others, to whom the curves of single training patients are nothing."""


def encode_ensemble(estimator, where, parts):
    """JSON of a fitted ensemble; arrays and weights, and what is left out, go into `parts`."""
    rest, left_out = without_training_aids(estimator)
    parts.left_out += [place(where, name) for name in left_out]
    members = [copy(member) for member in estimator.estimators_]
    for member in members:
        for name in left_out:
            setattr(member, name, getattr(rest, name))
    for name in (*FROM_MEMBERS, OF_TRAINING_PATIENTS):
        vars(rest).pop(name, None)
    if hasattr(estimator, "length_shares_"):
        rest.length_shares_ = {int(epoch): float(share) for epoch, share in estimator.length_shares_.items()}
    return {
        "ensemble": encode(rest, where, parts),
        "members": [encode_network(member, place(where, f"{k}"), parts) for k, member in enumerate(members)],
    }


def decode_ensemble(node, where, decoder):
    """Build a fitted ensemble from its JSON and from the tensors of `decoder`."""
    estimator = decoder.decode(node["ensemble"])
    if not isinstance(estimator, FusionSurvivalAnalysis) or not isinstance(node["members"], list):
        raise ValueError("parameters.json holds an ensemble that is none of networks")
    estimator._validate_params()
    check_writes_nowhere(estimator)
    members = [decode_network(one, place(where, f"{k}"), decoder) for k, one in enumerate(node["members"])]
    if len(members) != estimator.n_estimators or estimator.n_estimators == 1:
        raise ValueError(f"parameters.json says n_estimators={estimator.n_estimators}, but has {len(members)} members")
    for name in ("unique_times_", "risk_times_"):
        check_times(name, getattr(estimator, name, None))
    check_members(estimator, members)
    estimator._keep_members(members)
    if hasattr(estimator, "length_shares_"):
        estimator.length_shares_ = pd.Series(estimator.length_shares_, name="share").rename_axis("epoch")
    return estimator


def check_times(name, times):
    """Refuse times that no curve can have."""
    is_array = isinstance(times, np.ndarray) and times.ndim == 1 and len(times) and times.dtype.kind == "f"
    if not is_array or not np.isfinite(times).all() or (np.diff(times) <= 0).any() or times[0] < 0:
        raise ValueError(f"parameters.json has {name}={times!r:.80}, where increasing times are expected")


def check_members(estimator, members):
    """Refuse members that read something else than the ensemble."""
    read = [[(one.name, list(one.columns)) for one in member.modalities_] for member in members]
    columns = [(one.n_features_in_, list(getattr(one, "feature_names_in_", []))) for one in [estimator, *members]]
    if any(one != read[0] for one in read) or any(one != columns[0] for one in columns):
        raise ValueError(f"parameters.json has members that read other columns: {shorten(read)}")
