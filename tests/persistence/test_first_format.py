"""Files of the first format are read, and predict what they predicted when they were written."""

import json
import re
import zipfile

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sksurv_mmf.bags import BagArray
from sksurv_mmf.persistence import load_model
from sksurv_mmf.persistence._first_format import upgrade_network


@pytest.fixture
def data(request):
    return request.path.parents[1] / "data"


@pytest.fixture
def arrays(reference):
    return reference("first_format")


def test_a_network(data, arrays):
    X = pd.DataFrame({"wsi__tiles": BagArray(list(arrays["tiles"]))})
    X[["rna__a", "rna__b", "age__x"]] = arrays["table"]
    model = load_model(data / "first_format_network.zip")
    assert_allclose(model.predict(X), arrays["network"], rtol=1e-5)
    assert_allclose(model.tile_attention(X)["attention"], arrays["tile_attention"], rtol=1e-5)
    assert [one.name for one in model.modalities_] == ["wsi", "rna", "age"]
    assert model.modalities_[0].encoder.cluster_centers_.shape == (2, 3)


def test_a_late_fusion_of_networks(data, arrays):
    X = pd.DataFrame(arrays["table"][:, :2], columns=["rna__a", "rna__b"])
    # Other versions of torch round risks of about 2 differently, by 1e-7. A rank rises by 1/12 between two neighbours,
    # the closest of which are 0.0005 apart in risk, and so differs by up to 2e-5.
    rank = load_model(data / "first_format_late_fusion.zip").predict(X)
    assert_allclose(rank, arrays["late_fusion"], rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["modalities_"].pop(), "has 2 encoders, 3 modalities"),
        (
            lambda state: state["modalities_"].reverse(),
            "an encoder of modality 'age', columns [3], where",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(data, tmp_path, change, message):
    with zipfile.ZipFile(data / "first_format_network.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest, tree = (json.loads(members[name]) for name in ("manifest.json", "parameters.json"))
    del manifest["checksums"]
    change(tree["network"]["state"])
    members |= {"manifest.json": json.dumps(manifest), "parameters.json": json.dumps(tree)}
    with zipfile.ZipFile(tmp_path / "edited.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_model(tmp_path / "edited.zip")


def test_weights_of_other_parts_keep_their_names():
    modality = {"state": {"name": "rna", "columns": [0], "is_bag": False}}
    state = {"standardize": True, "_layout": [modality], "modalities_": [{"tuple": ["rna", {}, [0]]}]}
    names = {
        "encoders.0.0.mean": "encoders.0.standardize.mean",
        "encoders.0.1.0.weight": "encoders.0.encoder.0.weight",
        "fusion.encoders.0.0.weight": "fusion.encoders.0.0.weight",
        "encoders.7.0.weight": "encoders.7.0.weight",
    }
    _, weights = upgrade_network({"network": {"state": state}}, {name: name for name in names})
    assert weights == {new: old for old, new in names.items()}
