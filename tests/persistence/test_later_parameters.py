"""Files without a parameter that came later mean what they meant when they were written."""

import json
import zipfile
from inspect import signature

import numpy as np
import pytest

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.fusions import CrossModalAttention
from sksurv_mmf.objectives import DiscreteHazard
from sksurv_mmf.persistence._later_parameters import MEANT, meant_without


@pytest.mark.parametrize("cls", MEANT)
def test_they_are_parameters(cls):
    assert MEANT[cls].keys() <= signature(cls).parameters.keys()


def test_a_class_of_the_users_own_inherits_them():
    assert meant_without(type("Own", (DiscreteHazard,), {})) == MEANT[DiscreteHazard]
    assert meant_without(dict) == {}


def without(path, cls, names):
    """Take parameters from all objects of a class in a file, as if it were of before there were any."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    del manifest["checksums"]

    def strip(node):
        if node.get("object") == f"sksurv_mmf.{cls.__name__}":
            node["state"] = {name: value for name, value in node["state"].items() if name not in names}
        return node

    members["parameters.json"] = json.dumps(json.loads(members["parameters.json"], object_hook=strip))
    members["manifest.json"] = json.dumps(manifest)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def as_then(cls, **params):
    return cls(**MEANT.get(cls, {}) | params)


@pytest.mark.parametrize("cls", MEANT)
def test_files_that_do_not_name_them_are_read(make_cohort, tmp_path, cls):
    cohort, then = make_cohort(), MEANT[cls]
    params = {"embedding_dim": 4, "max_epochs": 2, "device": "cpu", "random_state": 0}
    params |= {"fusion": as_then(CrossModalAttention), "objective": as_then(DiscreteHazard)}
    model = as_then(FusionSurvivalAnalysis, **params).fit(cohort.X, cohort.y)
    save_model(model, tmp_path / "model.zip")
    without(tmp_path / "model.zip", cls, then)
    loaded = load_model(tmp_path / "model.zip")
    np.testing.assert_array_equal(loaded.predict(cohort.X), model.predict(cohort.X))
    read = [one for one in (loaded, loaded.fusion, loaded.objective, loaded.objective_) if type(one) is cls]
    assert read
    assert all({name: getattr(one, name) for name in then} == then for one in read)
