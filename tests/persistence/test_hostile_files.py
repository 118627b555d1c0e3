"""Files that are no saved models, or were changed afterwards, are refused by name, and nothing in them runs."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.encoders import SNN
from sksurv_mmf.preprocessing import make_modality_transformer

RAN = []


class Trap:
    """Notes when a pickle of it is loaded."""

    def __reduce__(self):
        return RAN.append, ("ran",)


@pytest.fixture(scope="module")
def saved(make_cohort, tmp_path_factory):
    """A saved pipeline as a dict of members."""
    cohort = make_cohort()
    X = cohort.X.drop(columns="wsi__tiles")
    network = FusionSurvivalAnalysis(
        [("rna", SNN(4, n_layers=1))], n_estimators=1, max_epochs=1, embedding_dim=4, device="cpu"
    )
    model = Pipeline([("prepare", make_modality_transformer(rna=StandardScaler())), ("fuse", network)]).fit(X, cohort.y)
    path = tmp_path_factory.mktemp("saved") / "model.zip"
    save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def refused(saved, tmp_path):
    """Check that the saved model is refused once some of its members are replaced (or, by None, removed)."""
    path = tmp_path / "model.zip"

    def check(message, replaced, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in (saved | replaced).items():
                if data is not None:
                    archive.writestr(name, data)
        with pytest.raises(ValueError, match=message) as caught:
            load_model(path)
        assert str(path) in str(caught.value)
        assert RAN == []

    return check


def edited(saved, change):
    """The parameters after `change` was applied to what they say of the network."""
    tree = json.loads(saved["parameters.json"])
    change(tree["pipeline"][1][1])
    return {"parameters.json": json.dumps(tree).encode()}


def state(network):
    return network["network"]["state"]


def encoder(network):
    return state(network)["modalities_"][0]["state"]["encoder"]


def layout(network):
    return state(network)["modalities_"][0]["state"]


def with_tensors(saved, change):
    tensors = load_tensors(saved["weights.safetensors"])
    change(tensors)
    return {"weights.safetensors": save_tensors(tensors)}


WEIGHT = "fuse/net_/head.weight"


def test_the_untouched_members_are_accepted(saved, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, data in (saved | edited(saved, lambda network: None)).items():
            archive.writestr(name, data)
    load_model(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no zip file"),
        (b"PK\x03\x04 and then nothing", "no zip file"),
        (pickle.dumps(Trap()), "no zip file"),
    ],
    ids=["empty", "cut", "pickle"],
)
def test_a_file_of_another_kind(tmp_path, data, message):
    path = tmp_path / "model.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_model(path)
    assert RAN == []


def test_a_file_of_torch(tmp_path):
    path = tmp_path / "model.zip"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(ValueError, match=r"lacks manifest\.json, parameters\.json, weights\.safetensors"):
        load_model(path)
    assert RAN == []


@pytest.mark.parametrize("member", ["manifest.json", "parameters.json", "weights.safetensors", "0.skops"])
def test_a_pickle_in_place_of_a_member(refused, member):
    refused("cannot be loaded", {member: pickle.dumps(Trap())})


@pytest.mark.parametrize("member", ["manifest.json", "parameters.json", "weights.safetensors", "0.skops"])
def test_a_member_that_is_absent(refused, member):
    refused("unknown step 'skops'" if member == "0.skops" else f"lacks {member}", {member: None})


@pytest.mark.parametrize("member", ["../../evil.py", "/etc/cron.d/evil", "more.json", "1.skops"])
def test_a_member_too_many(refused, member):
    refused(f"unexpected member '{member}'", {member: b"import os"})


def test_a_member_twice(saved, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in saved.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("parameters.json", "{}")
    with pytest.raises(ValueError, match=r"several members named 'parameters\.json'"):
        load_model(path)


def test_compressed_members(refused):
    refused("compressed, which no saved one is", {"more": bytes(10**6)}, zipfile.ZIP_DEFLATED)


def test_a_damaged_member(saved, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in saved.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(saved["weights.safetensors"]) + 500] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"Bad CRC-32 for file 'weights\.safetensors'"):
        load_model(path)


@pytest.mark.parametrize(("key", "value"), [("format", "another"), ("format_version", 4), ("format_version", None)])
def test_another_format(saved, refused, key, value):
    manifest = json.loads(saved["manifest.json"]) | {key: value}
    refused(f"{value!r}.* reads 'sksurv_mmf model', versions 1, 2, 3", {"manifest.json": json.dumps(manifest)})


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "sksurv_mmf.persistence._model.Path", "Evil"])
def test_an_unknown_class(saved, refused, name):
    def change(network):
        encoder(network)["object"] = name

    refused(f"names the class '{name}', which load_model does not know", edited(saved, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda network: encoder(network)["state"].update(wings=2), "gives sksurv_mmf.SNN an unknown 'wings'"),
        (lambda network: encoder(network)["state"].update(build="x"), "gives sksurv_mmf.SNN an unknown 'build'"),
        (lambda network: encoder(network)["state"].update(__class__="x"), "an unknown '__class__'"),
        (lambda network: encoder(network)["state"].update(_repr_html_="x"), "an unknown '_repr_html_'"),
        (lambda network: encoder(network)["state"].update(_validate_params="x"), "an unknown '_validate_params'"),
        (lambda network: encoder(network)["state"].update(_parameter_constraints={"dict": []}), "_constraints'"),
        (
            lambda network: state(network).update(objective={"object": "torch.optim.sgd.SGD", "state": {}}),
            "instance of",
        ),
        (lambda network: encoder(network)["state"].update(n_layers=-1), "'n_layers' parameter of SNN"),
        (lambda network: encoder(network)["state"].update(activation="eval"), "'activation' parameter of SNN"),
        (lambda network: encoder(network)["state"].update(hidden_dim=10**9), "'hidden_dim' parameter of SNN"),
        (lambda network: encoder(network)["state"].update(n_layers=10**9), "'n_layers' parameter of SNN"),
        (lambda network: encoder(network)["state"].update(n_layers=1000), "fewer weights than the network"),
        (lambda network: state(network).update(embedding_dim=10**12), "'embedding_dim' parameter of Fusion"),
        (lambda network: state(network).update(lr="fast"), "'lr' parameter of FusionSurvivalAnalysis"),
        (lambda network: state(network).update(optimizer={"class": "os.system"}), "names the class 'os.system'"),
        (lambda network: state(network).update(fusion={"code": "x"}), "an object with the keys 'code'"),
        (lambda network: state(network).update(fusion={"array": "absent"}), "lacks 'absent'"),
        (lambda network: state(network).update(modalities_=[]), "modalities_=\\[\\], where a list of modalities"),
        (lambda network: state(network).pop("objective_"), "no attribute 'objective_'"),
        (lambda network: layout(network).update(columns=[7]), "a modality that is none of the 4 columns"),
        (lambda network: layout(network).update(n_features=10**10), "n_features of 'rna'=10000000000, more than"),
        (lambda network: layout(network).update(n_features=3), r"of shape \(4,\), but the parameters ask for .*\(3,\)"),
        (lambda network: network.update(more=1), "an unknown step"),
        (lambda network: network.update(network=encoder(network)), "where a network is expected"),
    ],
)
def test_parameters_that_mean_nothing(saved, refused, change, message):
    refused(message, edited(saved, change))


def test_a_cache_from_elsewhere(saved, refused):
    # A pipeline that is fitted would unpickle what lies in its cache.
    tree = json.loads(saved["parameters.json"])
    tree["parameters"]["memory"] = "somewhere"
    refused("the parameters 'transform_input', 'verbose', 'memory'", {"parameters.json": json.dumps(tree)})


def test_endless_nesting(refused):
    refused("recursion", {"parameters.json": b"[" * 10**5})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(WEIGHT), "lacks weight: 'head.weight'"),
        (lambda tensors: tensors.update({"fuse/net_/more": torch.ones(1)}), "has an unexpected weight: 'more'"),
        (lambda tensors: tensors.update(more=torch.ones(1)), "unexpected array 'more'"),
        (
            lambda tensors: tensors.update({WEIGHT: torch.ones(4, 5)}),
            r"'head.weight' .*shape \(4, 5\), .*shape \(1, 4\)",
        ),
        (lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].double()}), "'head.weight' as torch.float64"),
        (lambda tensors: tensors.pop("fuse/unique_times_"), "lacks 'fuse/unique_times_'"),
    ],
)
def test_weights_that_do_not_fit(saved, refused, change, message):
    refused(message, with_tensors(saved, change))


def test_a_header_that_announces_more_than_follows(refused):
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    refused("cannot be loaded", {"weights.safetensors": len(header).to_bytes(8, "little") + header})


class TestTransformers:
    """The members that skops reads."""

    @pytest.fixture
    def inner(self, saved):
        with zipfile.ZipFile(io.BytesIO(saved["0.skops"])) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    @pytest.fixture
    def inner_refused(self, refused, inner):
        def check(message, replaced, compression=zipfile.ZIP_STORED):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", compression) as archive:
                for name, data in (inner | replaced).items():
                    archive.writestr(name, data)
            refused(message, {"0.skops": buffer.getvalue()})

        return check

    def test_an_unknown_type(self, inner, inner_refused):
        schema = (
            inner["schema.json"]
            .replace(b'"StandardScaler"', b'"Evil"')
            .replace(b'"sklearn.preprocessing._data"', b'"os"')
        )
        inner_refused(r"in '0\.skops', it holds 'os\.Evil', which load_model does not know", {"schema.json": schema})

    def test_a_function(self, inner, inner_refused):
        schema = inner["schema.json"].replace(b'"name_with_modality"', b'"system"')
        schema = schema.replace(b'"sksurv_mmf.preprocessing._modality_transformer"', b'"os"')
        inner_refused(r"in '0\.skops', it holds .*'os\.system'", {"schema.json": schema})

    def test_compressed_members(self, inner_refused):
        inner_refused("compressed, which no saved one is", {"more.npy": bytes(10**6)}, zipfile.ZIP_DEFLATED)

    @pytest.mark.parametrize("name", ["more.npy", "../../evil.py", "more.npz"])
    def test_members_that_are_no_arrays(self, inner_refused, name):
        inner_refused(f"its member '{name}' is no array", {name: pickle.dumps(Trap())})

    def test_arrays_of_pickles(self, inner, inner_refused):
        buffer = io.BytesIO()
        np.save(buffer, np.array([Trap()], dtype=object), allow_pickle=True)
        name = next(name for name in inner if name.endswith(".npy"))
        inner_refused(f"its member '{name}' is no array", {name: buffer.getvalue()})

    def test_arrays_that_announce_more_than_follows(self, inner, inner_refused):
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
        name = next(name for name in inner if name.endswith(".npy"))
        inner_refused(f"its member '{name}' is no array of the size", {name: buffer.getvalue()})
