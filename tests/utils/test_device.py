import pytest
import torch

from sksurv_mmf.utils._device import resolve_device


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ValueError, match=r"device='cuda:1'.*no GPU.*'auto'"):
        resolve_device("cuda:1")
    with pytest.raises(ValueError, match=r"device='gpu' is no torch device"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cpu") == "cpu"
