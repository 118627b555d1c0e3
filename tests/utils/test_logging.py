"""What the logger tells those who ask, and nobody else."""

import logging

import numpy as np
import pytest

from sksurv_mmf import FusionSurvivalAnalysis, read_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN
from sksurv_mmf.model_selection import KaplanMeier, SurvivalKFold, compare_models
from sksurv_mmf.training import _checkpoint


@pytest.fixture
def told(caplog):
    """Ask for messages, and get what was told so far."""
    caplog.set_level(logging.INFO, "sksurv_mmf")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "sksurv_mmf"]


@pytest.fixture(scope="module")
def cohort():
    cohort = make_multimodal_survival(n_patients=30, n_genes=3, n_tiles=(2, 3), random_state=0)
    return cohort.X.filter(like="rna__"), cohort.y


def small_model(**params):
    settings = {"max_epochs": 1, "average_epochs": False, "random_state": 0, "device": "cpu"}
    return FusionSurvivalAnalysis([("rna", SNN())], **{**settings, **params})


def test_training_tells_where_and_of_whom(told, cohort):
    small_model(n_estimators=1).fit(*cohort)
    assert told() == ["Training a network of 30 patients on cpu."]


def test_an_ensemble_tells_who_trains_together(told, cohort):
    small_model(n_estimators=3).fit(*cohort)
    assert told() == ["Training members 0, 1, 2 of an ensemble together on cpu."]


def test_a_fit_that_goes_on_says_from_where(told, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)  # a quick fit would write none
    model = small_model(n_estimators=1, checkpoint_dir=tmp_path)
    model.fit(*cohort)
    assert not [line for line in told() if "goes on" in line]
    model.fit(*cohort)
    [line] = [line for line in told() if "goes on" in line]
    assert line == f"Training goes on from the checkpoint {str(next(tmp_path.glob('*.checkpoint')))!r}."


def test_a_comparison_tells_what_the_cache_had(told, cohort, tmp_path):
    for n_found in (0, 2):
        compare_models({"nobody": KaplanMeier()}, *cohort, SurvivalKFold(2), scoring="harrell", cache=tmp_path)
        assert sum("found in the cache" in line for line in told()) == n_found
    assert told()[-1] == f"A fit of KaplanMeier is found in the cache {str(tmp_path)!r}."


def test_reading_tells_how_much_there_is(told, tmp_path):
    for slide in ("a_1", "a_2", "b_1"):
        np.save(tmp_path / f"{slide}.npy", np.ones((4, 2), dtype=np.float32))
    read_bags(tmp_path, lambda slide: slide[0])
    assert told() == ["Opened 3 feature files of 2 patients: 12 tiles of 2 features."]


def test_nobody_who_did_not_ask_is_told(capfd, cohort):
    small_model(n_estimators=1).fit(*cohort)
    assert capfd.readouterr() == ("", "")
