"""Recalibrated models are saved with the model that they correct."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.evaluation import recalibrate


@pytest.fixture(scope="module")
def cohort():
    return make_multimodal_survival(
        n_patients=150, n_genes=3, n_tile_features=4, image_as="table", missing=0.5, random_state=0
    )


def test_a_network_by_modalities(cohort, tmp_path):
    network = FusionSurvivalAnalysis(n_estimators=1, average_epochs=False, max_epochs=1, random_state=0)
    network.fit(cohort.X[:50], cohort.y[:50])
    model = recalibrate(network, cohort.X[50:], cohort.y[50:], by_modalities=True, min_events=3, method="intercept")
    assert len(model.corrections_) == 4
    save_model(model, tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(loaded.corrections_, model.corrections_)
    assert loaded.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    for method in ("predict", "predict_survival_function"):
        arguments = {} if method == "predict" else {"return_array": True}
        one, two = (getattr(each, method)(cohort.X, **arguments) for each in (model, loaded))
        np.testing.assert_array_equal(one, two)


def test_a_cox_model_and_a_correction_that_was_tampered_with(cohort, tmp_path):
    X, y = cohort.X.fillna(0), cohort.y
    model = recalibrate(CoxPHSurvivalAnalysis(alpha=1).fit(X[:50], y[:50]), X[50:], y[50:], min_events=1)
    save_model(model, tmp_path / "model.zip")
    np.testing.assert_array_equal(load_model(tmp_path / "model.zip").predict(X), model.predict(X))
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["parameters.json"].decode()
    assert '"all"' in text
    for old, new in (('"all"', '"some"'), ('"intercept"', '"no intercept"')):
        changed = members | {"parameters.json": json.dumps(json.loads(text.replace(old, new))).encode()}
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
            for name, data in changed.items():
                archive.writestr(name, data)
        with pytest.raises(ValueError, match=r"changed\.zip' cannot be loaded"):
            load_model(tmp_path / "changed.zip")
