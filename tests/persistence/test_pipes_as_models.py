"""A pipe, a device or a folder in place of a saved model is an error, and nobody waits for it."""

import os

import pytest

from sksurv_mmf import load_model


def test_pipes_devices_and_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    for path, kind in [(tmp_path / "pipe.zip", "named pipe"), (tmp_path, "folder"), ("/dev/zero", "device")]:
        with pytest.raises(ValueError, match=rf"The model '.*' is a {kind}; a regular file is expected"):
            load_model(path)
