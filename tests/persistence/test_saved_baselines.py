"""Which of the baselines a file may hold without the user's trust, and that all come back as they were."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.tree._tree import Tree
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from sksurv.tree import SurvivalTree

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.persistence._tree import full_name
from sksurv_mmf.presets import baselines, super_learner

FOREST = [RandomSurvivalForest, SurvivalTree, Tree]
NEED = {
    "Kaplan-Meier": [],
    "Ridge Cox": [],
    "Elastic net Cox": [],
    "Random survival forest": FOREST,
    "Gradient boosting": [GradientBoostingSurvivalAnalysis, Tree],
    "Clinical Cox": [],
    "Late fusion, rank": FOREST,
    "Late fusion, stack": FOREST,
    "Super learner": FOREST,
}


def models():
    network = FusionSurvivalAnalysis(embedding_dim=4, n_estimators=1, max_epochs=1, device="cpu", random_state=0)
    learner = super_learner(network=network, random_state=0)
    return baselines(random_state=0) | {"Super learner": learner}


@pytest.fixture(scope="module")
def cohort(make_cohort):
    cohort = make_cohort()
    cohort.X = cohort.X.assign(clinical__age=50.0 + np.arange(30) % 7, clinical__stage=["I", "II", "III"] * 10)
    cohort.X.iloc[0, 0] = pd.NA
    cohort.X.iloc[1, 1:5] = np.nan
    return cohort


@pytest.mark.parametrize("name", NEED)
def test_baselines_come_back(cohort, tmp_path, name):
    model, path = models()[name], tmp_path / "model.zip"
    few = [parameter for parameter in model.get_params() if parameter.endswith("n_estimators")]
    model.set_params(**dict.fromkeys(few, 3)).fit(cohort.X, cohort.y)
    save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        needed = json.loads(archive.read("manifest.json"))["needs_trusted"]
    assert sorted(needed) == sorted(map(full_name, NEED[name]))
    if NEED[name]:
        with pytest.raises(ValueError, match=r"which load_model does not know"):
            load_model(path)
    assert_array_equal(load_model(path, trusted=NEED[name]).predict(cohort.X), model.predict(cohort.X))


def test_no_baseline_is_forgotten_here():
    assert list(NEED) == list(models())
