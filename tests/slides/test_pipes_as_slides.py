"""A pipe, a device or a folder in place of a slide is an error, and nobody waits for it."""

import os

import pytest

from sksurv_mmf.slides._slide import Slide

pytest.importorskip("openslide")


def test_pipes_devices_and_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    for path, kind in [(tmp_path / "pipe.svs", "named pipe"), (tmp_path, "folder"), ("/dev/zero", "device")]:
        with pytest.raises(ValueError, match=rf"Slide '.*' is a {kind}; a regular file is expected"):
            Slide(path)
