"""Parameters that came later, and what files that do not name them meant: not always what is the default today."""

from ..fusions._cross_modal_attention import CrossModalAttention
from ..objectives._discrete_hazard import DiscreteHazard
from ..survival import FusionSurvivalAnalysis

# One line for each parameter that was added to a class whose instances may be in files already.
MEANT = {
    CrossModalAttention: {"heads": "shared"},
    DiscreteHazard: {"proportional": False},
    FusionSurvivalAnalysis: {
        "n_estimators": 1,
        "average_epochs": False,
        "fair_inputs": False,
        "zero_start": False,
        "attention_lr": 1.0,
        "checkpoint_dir": None,
        "max_tiles": None,
        "precision": "float32",
    },
}


def meant_without(cls):
    """The parameters of a class that older files do not name, with the values by which these files were written."""
    return {name: value for one in reversed(cls.__mro__) for name, value in MEANT.get(one, {}).items()}


# What None meant while FusionSurvivalAnalysis had no n_estimators.
DEFAULT_PARTS = {
    "fusion": {"object": "sksurv_mmf.CrossModalAttention", "state": {"activation": "tanh"}},
    "objective": {"object": "sksurv_mmf.DiscreteHazard", "state": {"n_bins": 4, "interpolation": "step"}},
}


def as_it_was(node):
    """JSON of a network in which parts that were the default of an older package are named."""
    state = node["network"]["state"]
    # What has no fusion is no network, which is told elsewhere.
    if "n_estimators" in state or "fusion" not in state:
        return node
    parts = {name: part for name, part in DEFAULT_PARTS.items() if state.get(name) is None}
    return {**node, "network": {**node["network"], "state": state | parts}}
