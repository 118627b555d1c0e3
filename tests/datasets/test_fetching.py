"""Cohorts come from a server, here one on this machine, once, and are refused if they are not what they should be."""

import contextlib
import functools
import hashlib
import http.server
import os
import threading

import numpy as np
import pandas as pd
import pytest
import requests
from test_local_cohorts import REAL, real

from sksurv_mmf.datasets import _lung_mif, _tcga_nsclc, fetch_lung_mif, fetch_tcga_nsclc, load_lung_mif
from sksurv_mmf.datasets._cell_tiles import FEATURE_NAMES, tile_cells
from sksurv_mmf.files import _download
from sksurv_mmf.files._download import PublicFile


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder over HTTP; the server has the `url`, and lists in `asked` what it was asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SKSURV_MMF_DATA_URL", raising=False)
    servers = []

    def start(folder):
        handler = functools.partial(QuietHandler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        stop(server)


def stop(server):
    server.shutdown()
    server.server_close()


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_cells():
    """Cells of two patients: one region with two tiles, one with a tile and a few cells beside it."""
    rng = np.random.default_rng(0)
    corner = np.repeat([[0, 0], [100, 0], [200, 300], [0, 0]], [20, 12, 15, 4], axis=0)
    cells = pd.DataFrame(corner + rng.uniform(0, 100, (51, 2)), columns=["x", "y"])
    cells["patient_id"], cells["patientImage_id"] = (np.repeat(ids, [32, 19]) for ids in ([8, 2], ["8_1", "2_1"]))
    for name in ["cd8", "cd14", "cd19", "cd4"]:
        cells[f"phenotype_{name}"] = f"{name.upper()}-"
    is_tumour = rng.random(51) < 0.7
    cells["phenotype_ck"] = np.where(is_tumour, "CK+", "CK-")
    cells["phenotype_other"] = np.where(is_tumour, "Other-", "Other+")
    cells["immune"] = "other"
    outcome = {"survival_days": [500, 900], "survival_status": [1, 0], "age": [60, 70], "gender": ["M", "F"]}
    for name, (first, second) in (outcome | {"stage": [1, 3]}).items():
        cells[name] = np.where(cells["patient_id"] == 8, first, second)
    return cells


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder to serve, with a small cohort of cells that the package takes for the public one."""
    path = tmp_path / "mirror" / "lung_mif" / "cells.csv.gz"
    path.parent.mkdir(parents=True)
    make_cells().to_csv(path, index=False)
    monkeypatch.setattr(_lung_mif, "CELLS", PublicFile("cells.csv.gz", checksum(path), "http://127.0.0.1:9/cells"))
    return tmp_path / "mirror"


class TestDownloads:
    def test_once_and_never_again(self, serve, mirror, tmp_path):
        server = serve(mirror)
        first = fetch_lung_mif(tmp_path / "home", server.url)
        assert server.asked == ["/lung_mif/cells.csv.gz"]
        stop(server)
        again = fetch_lung_mif(tmp_path / "home", server.url)
        pd.testing.assert_frame_equal(again.X, first.X)
        np.testing.assert_array_equal(again.y, first.y)
        assert not list(tmp_path.glob("home/**/unfinished*"))

    def test_nothing_is_connected_when_all_is_there(self, serve, mirror, tmp_path, monkeypatch):
        fetch_lung_mif(tmp_path / "home", serve(mirror).url)

        def refuse(*args, **kwargs):
            raise AssertionError("a connection was tried")

        monkeypatch.setattr(requests.Session, "request", refuse)
        fetch_lung_mif(tmp_path / "home")
        for name in _lung_mif.FILES:  # the cells alone are enough, too
            (tmp_path / "home" / "lung_mif" / name).unlink()
        fetch_lung_mif(tmp_path / "home")

    def test_the_environment_says_where(self, serve, mirror, tmp_path, monkeypatch):
        monkeypatch.setenv("SKSURV_MMF_DATA", str(tmp_path / "home"))
        monkeypatch.setenv("SKSURV_MMF_DATA_URL", serve(mirror).url + "/")
        pd.testing.assert_frame_equal(fetch_lung_mif().X, load_lung_mif().X)
        assert (tmp_path / "home" / "lung_mif" / "cells.csv.gz").is_file()

    def test_licence_and_citation_come_along(self, serve, mirror, tmp_path):
        cohort = fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert "Artistic-2.0" in cohort.licence
        assert "Johnson" in cohort.citation

    def test_the_public_file_is_at_a_commit(self):
        assert _lung_mif.CELLS.url.split("/")[-3] == "1268caa52ddf5a2272bbc64ecf6c029fd8d0a842"

    def test_progress_is_shown(self, serve, mirror, tmp_path, capfd):
        fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert "100%" in capfd.readouterr().err


class TestWhatIsRefused:
    def test_no_network(self, mirror, tmp_path, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("SKSURV_MMF_DATA_URL", raising=False)
        with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/cells cannot be downloaded") as caught:
            fetch_lung_mif(tmp_path / "home")
        assert f"put the file at {tmp_path / 'home' / 'lung_mif' / 'cells.csv.gz'}" in str(caught.value)
        assert "SKSURV_MMF_DATA_URL" in str(caught.value)

    def test_a_mirror_without_the_file(self, serve, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(ConnectionError, match=r"/lung_mif/cells\.csv\.gz cannot be downloaded: 404"):
            fetch_lung_mif(tmp_path / "home", serve(tmp_path / "empty").url)

    def test_a_download_that_was_damaged(self, serve, mirror, tmp_path):
        with open(mirror / "lung_mif" / "cells.csv.gz", "ab") as file:
            file.write(b"more")
        with pytest.raises(ValueError, match="is not the file that is expected, of SHA-256"):
            fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert list((tmp_path / "home" / "lung_mif").iterdir()) == []

    def test_more_bytes_than_expected_are_not_waited_for(self, serve, mirror, tmp_path, monkeypatch):
        class Endless(QuietHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    while True:
                        self.wfile.write(bytes(1 << 16))

        monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", Endless.do_GET)
        known = PublicFile("cells.csv.gz", _lung_mif.CELLS.sha256, n_bytes=1_000_000)
        monkeypatch.setattr(_lung_mif, "CELLS", known)
        with pytest.raises(ValueError, match="was not kept: it has more than 1000000 bytes"):
            fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert list((tmp_path / "home" / "lung_mif").iterdir()) == []

    def test_sizes_are_known(self):
        assert _lung_mif.CELLS.n_bytes == 3_850_306
        assert _tcga_nsclc.SIZES.keys() == _tcga_nsclc.PREPARED.keys()

    def test_a_folder_or_pipe_in_place_of_the_file(self, serve, mirror, tmp_path):
        path = tmp_path / "home" / "lung_mif" / "cells.csv.gz"
        path.parent.mkdir(parents=True)
        for make in (os.mkfifo, os.mkdir):
            make(path)
            with pytest.raises(ValueError, match=r"cells\.csv\.gz is no file\. Move it away"):
                fetch_lung_mif(tmp_path / "home", serve(mirror).url)
            path.rename(tmp_path / make.__name__)

    def test_a_link_to_nowhere_is_replaced(self, serve, mirror, tmp_path):
        path = tmp_path / "home" / "lung_mif" / "cells.csv.gz"
        path.parent.mkdir(parents=True)
        path.symlink_to(tmp_path / "planted")
        fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert not path.is_symlink()
        assert not (tmp_path / "planted").exists()

    def test_another_file_that_lies_there_is_kept_and_refused(self, serve, mirror, tmp_path):
        path = tmp_path / "home" / "lung_mif" / "cells.csv.gz"
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        with pytest.raises(ValueError, match="is not the public file: its SHA-256 is"):
            fetch_lung_mif(tmp_path / "home", serve(mirror).url)
        assert path.read_text() == "mine"

    def test_files_that_nobody_publishes(self, tmp_path, monkeypatch):
        monkeypatch.delenv("SKSURV_MMF_DATA_URL", raising=False)
        with pytest.raises(FileNotFoundError, match=r"tcga_nsclc/clinical\.csv is absent, and no public address"):
            fetch_tcga_nsclc(tmp_path)

    def test_unknown_modalities_before_any_download(self, tmp_path):
        with pytest.raises(ValueError, match="modalities must be different names among"):
            fetch_tcga_nsclc(tmp_path, modalities=["wsi", "smell"])


def test_without_a_folder_the_cache_of_the_system_is_taken(monkeypatch):
    monkeypatch.delenv("SKSURV_MMF_DATA", raising=False)
    assert _download.find_home(None).name == "sksurv_mmf"


class TestTiles:
    def test_a_small_cohort(self):
        arrays = tile_cells(make_cells())
        assert arrays["patient"].tolist() == [2, 8]
        assert arrays["offsets"].tolist() == [0, 1, 3]
        assert arrays["coords"].tolist() == [[2, 3], [0, 0], [1, 0]]
        assert arrays["roi"].tolist() == ["2_1", "8_1", "8_1"]
        tiles = pd.DataFrame(arrays["features"], columns=FEATURE_NAMES)
        np.testing.assert_allclose(tiles["log_n"], np.log([16, 21, 13]), rtol=1e-6)
        np.testing.assert_allclose(tiles["frac_ck"] + tiles["frac_other"], 1, rtol=1e-6)
        share = tiles["frac_ck"]
        np.testing.assert_allclose(tiles["std_ck"], np.sqrt(share * (1 - share)), rtol=1e-5)
        np.testing.assert_allclose(
            tiles["entropy"], -share * np.log(share) - (1 - share) * np.log(1 - share), rtol=1e-5
        )

    def test_neighbours_by_hand(self):
        cells = make_cells().iloc[:20]
        (tile,) = pd.DataFrame(tile_cells(cells)["features"], columns=FEATURE_NAMES).to_dict("records")
        xy, is_ck = cells[["x", "y"]].to_numpy(), (cells["phenotype_ck"] == "CK+").to_numpy()
        distance = np.linalg.norm(xy[:, None] - xy, axis=2)
        nearest = distance.argsort(axis=1)[:, 1:7]
        share = is_ck[nearest].mean(axis=1)
        assert tile["nbr_ck"] == pytest.approx(share.mean(), rel=1e-5)
        assert tile["int_ck_ck"] == pytest.approx((is_ck * share).mean(), rel=1e-5)
        mean_distance = np.take_along_axis(distance, nearest, axis=1).mean(axis=1)
        assert tile["nnd_mean"] == pytest.approx(mean_distance.mean(), rel=1e-5)
        assert tile["nnd_std"] == pytest.approx(mean_distance.std(), rel=1e-5)

    def test_regions_with_few_cells_have_no_tile(self):
        cells = pd.concat([make_cells(), make_cells().iloc[:5].assign(patientImage_id="8_2", patient_id=8)])
        assert len(tile_cells(cells)["features"]) == 3


@real("lung_mif")
def test_the_public_cells_make_the_prepared_cohort(serve, tmp_path):
    fetched = fetch_lung_mif(tmp_path, serve(REAL).url)
    prepared = load_lung_mif(REAL)
    pd.testing.assert_frame_equal(fetched.X.drop(columns="wsi__tiles"), prepared.X.drop(columns="wsi__tiles"))
    np.testing.assert_array_equal(fetched.y, prepared.y)
    assert fetched.tile_feature_names == prepared.tile_feature_names
    pd.testing.assert_frame_equal(fetched.tiles, prepared.tiles)
    for bag, expected in zip(fetched.X["wsi__tiles"], prepared.X["wsi__tiles"], strict=True):
        np.testing.assert_allclose(bag.features, expected.features, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(bag.coords, expected.coords)


@real("tcga_nsclc")
def test_a_mirror_of_the_prepared_files(serve, tmp_path):
    server = serve(REAL)
    fetched = fetch_tcga_nsclc(tmp_path, "LUSC", "pfi", ["wsi", "clinical"], server.url)
    assert server.asked == ["/tcga_nsclc/clinical.csv", "/tcga_nsclc/hif_bags.npz"]
    stop(server)
    prepared = _tcga_nsclc.load_tcga_nsclc(REAL, "LUSC", "pfi", ["wsi", "clinical"])
    pd.testing.assert_frame_equal(fetched.X.drop(columns="wsi__tiles"), prepared.X.drop(columns="wsi__tiles"))
    np.testing.assert_array_equal(fetched.y, prepared.y)
    assert "CC BY-SA 4.0" in fetched.licence
    assert set(_tcga_nsclc.FILES.values()) == _tcga_nsclc.PREPARED.keys()
    for name, sha256 in _tcga_nsclc.PREPARED.items():
        assert checksum(REAL / "tcga_nsclc" / name) == sha256
        assert (REAL / "tcga_nsclc" / name).stat().st_size == _tcga_nsclc.SIZES[name]
