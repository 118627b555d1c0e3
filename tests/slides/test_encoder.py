"""The default encoder. timm is not needed here: a stand-in builds a network with weights made on the spot."""

import sys
from types import ModuleType

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from sksurv_mmf.slides import extract_features, imagenet_resnet50


class Maps(nn.Module):
    """Like timm's ``features_only`` networks: a list with the map of each stage that was asked for."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Conv2d(3, 1024, 16, stride=16, bias=False)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.stages.weight.copy_(torch.randn(self.stages.weight.shape, generator=generator) / 16)

    def forward(self, tiles):
        return [self.stages(tiles)]


@pytest.fixture
def asked(monkeypatch):
    """What timm was asked for."""
    calls, timm = [], ModuleType("timm")

    def create_model(name, **parameters):
        calls.append((name, parameters))
        return Maps()

    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    return calls


def test_the_third_stage_of_the_network_of_clam_is_asked_for(asked):
    imagenet_resnet50()
    assert asked == [("resnet50.tv_in1k", {"pretrained": True, "features_only": True, "out_indices": (3,)})]


def test_the_random_state_is_left_alone(asked, global_random_state):
    before = global_random_state()
    imagenet_resnet50()
    assert global_random_state() == before


def test_features_are_means_of_the_map(asked):
    tiles = torch.randn(2, 3, 64, 48)
    encoder = imagenet_resnet50()
    features = encoder(tiles)
    assert features.shape == (2, 1024)
    expected = encoder.network(tiles)[0][1].reshape(1024, -1).mean(dim=1)
    torch.testing.assert_close(features[1], expected)


def test_weights_may_come_from_a_file(asked, tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    imagenet_resnet50(path)
    assert asked[0][1]["pretrained_cfg_overlay"] == {"file": str(path)}
    with pytest.raises(FileNotFoundError, match=r"no weights '.*absent\.bin'"):
        imagenet_resnet50(tmp_path / "absent.bin")


def test_it_is_the_default_of_extract_features(asked, make_slide, ramp, tmp_path):
    path = make_slide(ramp)
    default = extract_features(path, tmp_path / "default", tile_size=256, tissue=None, verbose=False)
    given = extract_features(
        path, tmp_path / "given", tile_size=256, tissue=None, verbose=False, encoder=imagenet_resnet50()
    )
    with h5py.File(default["path"].item()) as one, h5py.File(given["path"].item()) as other:
        assert one["features"].shape == (12, 1024)
        assert one.attrs["settings"] == other.attrs["settings"]
        np.testing.assert_array_equal(one["features"], other["features"])


def test_absent_timm_is_explained(monkeypatch, make_slide, ramp, tmp_path):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"needs timm.*pip install timm, or pass encoder="):
        extract_features(make_slide(ramp), tmp_path / "features")
    assert not (tmp_path / "features").exists()


def test_weights_that_cannot_be_downloaded_are_explained(asked, monkeypatch):
    def create_model(name, **parameters):
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr(sys.modules["timm"], "create_model", create_model)
    with pytest.raises(OSError, match=r"the hub cannot be reached.*imagenet_resnet50\(weights="):
        imagenet_resnet50()


def test_real_timm_reads_weights_made_on_the_spot(tmp_path):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    whole = timm.create_model("resnet50.tv_in1k", pretrained=False).eval()
    path = tmp_path / "pytorch_model.bin"
    torch.save(whole.state_dict(), path)
    tiles = torch.randn(2, 3, 96, 96)
    stem = nn.Sequential(whole.conv1, whole.bn1, whole.act1, whole.maxpool, whole.layer1, whole.layer2, whole.layer3)
    with torch.no_grad():
        features = imagenet_resnet50(path).eval()(tiles)
        torch.testing.assert_close(features, stem(tiles).mean(dim=(2, 3)))
    assert features.shape == (2, 1024)
