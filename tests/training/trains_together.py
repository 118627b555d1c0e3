"""Fits one network in each process of several, and writes what came out; run by test_processes.py."""

import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.objectives import CoxPH, Weibull
from sksurv_mmf.training import _checkpoint
from sksurv_mmf.training.several_processes import several_processes

# 23 patients in batches of 11: shares of unequal size, and of the last batch one process has nobody.
COHORT = make_multimodal_survival(n_patients=23, n_genes=5, n_tiles=(2, 6), missing=0.3, random_state=0)
QUIET = {"max_epochs": 3, "batch_size": 11, "modality_dropout": 0.0, "random_state": 0, "n_estimators": 1}
EARLY = {"early_stopping": True, "validation_fraction": 0.3, "patience": 2, "max_epochs": 4}
MODELS = {
    "default": {},
    "accumulation": {"gradient_accumulation": 2, "batch_size": 5},
    "single": {"batch_size": 1},
    "balance": {"balance": True},
    "early stopping": EARLY,
    "weibull": {"objective": Weibull()},
    "dropout": {"encoders": {"wsi": AttentionMIL(8, 4, dropout=0.5), "rna": SNN(8, dropout=0.5)}},
}
REFUSED = {
    "ensemble": {"n_estimators": 2},
    "cox": {"objective": CoxPH()},
    "batch norm": {"encoders": {"wsi": AttentionMIL(8, 4, batch_norm=True)}},
}


def model(**params):
    """The model of a case."""
    encoders = {"wsi": AttentionMIL(8, 4), "rna": SNN(8, dropout=0.0)}
    return FusionSurvivalAnalysis(**({"encoders": encoders, "embedding_dim": 8, "device": "cpu"} | QUIET | params))


def learnt(fitted):
    """Losses and weights of a fitted model."""
    weights = [one.flatten() for one in fitted.net_.module_.state_dict().values()]
    return {"history": fitted.history_.to_numpy().tolist(), "weights": torch.cat(weights).tolist()}


def fit(n_patients=None, **params):
    """What a case has learnt."""
    return learnt(model(**params).fit(COHORT.X[:n_patients], COHORT.y[:n_patients]))


def refusal(**params):
    """What a case is refused with."""
    try:
        fit(**params)
    except ValueError as error:
        return str(error)


def main(folder):
    """All cases, of which each process writes what it has learnt."""
    _checkpoint.EVERY = 0.0  # at once
    accelerator = Accelerator(cpu=True)
    index, found = accelerator.process_index, {}
    with several_processes(accelerator):
        for name, params in MODELS.items():
            found[name] = fit(**params)
        for name, params in REFUSED.items():
            found[name] = refusal(**params)
        found["seed"] = fit(random_state=None)
        found["other patients"] = refusal(n_patients=20 + index)
        shared, own = Path(folder, "shared"), Path(folder, str(index))
        # The first call trains, the second finds all epochs done, in a folder of its own only the first process does.
        found["kept"] = fit(checkpoint_dir=shared, **MODELS["dropout"])
        found["again"] = fit(checkpoint_dir=shared, **MODELS["dropout"])
        fit(checkpoint_dir=own, **MODELS["dropout"])
        found["elsewhere"] = refusal(checkpoint_dir=own, **MODELS["dropout"])
    (Path(folder) / f"{index}.json").write_text(json.dumps(found))
    accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1])
