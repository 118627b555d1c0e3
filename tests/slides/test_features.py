import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import openslide
import pytest
import torch
from PIL import Image
from torch import nn

from sksurv_mmf.slides import extract_features, tile_slide
from sksurv_mmf.slides._feature_file import describe_source
from sksurv_mmf.slides._features import read_ahead, standardize


def small_encoder(seed=0, n_features=5):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Conv2d(3, n_features, 5, stride=2), nn.BatchNorm2d(n_features), nn.ReLU(), nn.Dropout(0.5)]
        encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        for weights in encoder.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator))
    return encoder


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (256, 320, 3), dtype=np.uint8)


@pytest.fixture
def extract(tmp_path):
    """Extract features with small tiles of everything, into one folder."""

    def extract(paths, **changes):
        settings = {"encoder": small_encoder(), "tile_size": 64, "tissue": None, "verbose": False} | changes
        return extract_features(paths, tmp_path / "features", **settings)

    return extract


def read(path):
    with h5py.File(path) as file:
        return file["features"][:], file["coords"][:]


IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def by_hand(encoder, tiles):
    mean, std = IMAGENET
    batch = np.stack([(np.asarray(tile) / 255 - mean) / std for tile in tiles]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        return encoder.eval()(torch.tensor(batch, dtype=torch.float32)).numpy()


@pytest.mark.parametrize(("slide_mpp", "downsamples", "level"), [(0.5, (1,), 0), (0.25, (1, 2), 1), (0.25, (1,), 0)])
def test_features_are_those_of_the_tiles_read_by_hand(make_slide, noise, extract, slide_mpp, downsamples, level):
    path = make_slide(noise, mpp=slide_mpp, downsamples=downsamples)
    features, coords = read(extract(path)["path"].item())
    np.testing.assert_array_equal(coords, tile_slide(path, 64, tissue=None))
    side = round(64 * 0.5 / slide_mpp) // downsamples[level]
    with openslide.OpenSlide(path) as slide:
        tiles = [slide.read_region(tuple(corner), level, (side, side)).convert("RGB") for corner in coords]
    tiles = [tile if side == 64 else tile.resize((64, 64), Image.Resampling.BICUBIC) for tile in tiles]
    np.testing.assert_allclose(features, by_hand(small_encoder(), tiles), rtol=1e-4, atol=1e-5)


def test_the_file_is_what_readers_of_clam_and_trident_expect(make_slide, noise, extract):
    path = make_slide(noise, mpp=0.25)
    with h5py.File(extract(path)["path"].item()) as file:
        assert file["features"].dtype == np.float32
        assert file["features"].shape == (4, 5)
        assert file["coords"].dtype == np.int32
        assert file["coords"][:].tolist() == [[0, 0], [128, 0], [0, 128], [128, 128]]
        assert dict(file["coords"].attrs) == {
            "patch_size": 64,
            "patch_size_level0": 128,
            "level0_magnification": 40,
            "target_magnification": 20,
            "overlap": 0,
            "name": "slide",
            "level0_mpp": 0.25,
            "mpp": 0.5,
        }


def test_features_depend_neither_on_threads_nor_on_the_batch_size(make_slide, noise, extract):
    path = make_slide(noise)
    reference, coords = read(extract(path)["path"].item())
    assert len(coords) == 20
    for batch_size, n_jobs in [(32, 1), (1, 3), (7, -1), (9, None)]:
        files = extract(path, batch_size=batch_size, n_jobs=n_jobs, mpp=0.5000001, overwrite=True)
        features, same_coords = read(files["path"].item())
        np.testing.assert_array_equal(same_coords, coords)
        np.testing.assert_allclose(features, reference, rtol=1e-5, atol=1e-6)


def test_the_random_state_is_left_alone(make_slide, noise, extract, global_random_state):
    before = global_random_state()
    extract(make_slide(noise))
    assert global_random_state() == before


class Interrupted(nn.Module):
    """An encoder that is interrupted at some batch."""

    def __init__(self, error, at):
        super().__init__()
        self.error, self.at, self.n_calls = error, at, 0

    def forward(self, tiles):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise self.error
        return tiles.mean(dim=(2, 3))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_leaves_finished_slides_and_no_half_file(make_slide, noise, extract, tmp_path, error):
    paths = [make_slide(noise, name=name) for name in "abc"]
    with pytest.raises(type(error)):
        extract(paths, encoder=Interrupted(error, at=5), batch_size=8)  # each slide has three batches
    assert [path.name for path in (tmp_path / "features").iterdir()] == ["a.h5"]
    first = (tmp_path / "features" / "a.h5").stat()

    encoder = Interrupted(error, at=-1)
    files = extract(paths, encoder=encoder, batch_size=8)
    assert files["status"].to_dict() == {"a": "skipped", "b": "written", "c": "written"}
    assert files["n_tiles"].to_list() == [20, 20, 20]
    assert encoder.n_calls == 6
    assert (tmp_path / "features" / "a.h5").stat().st_mtime_ns == first.st_mtime_ns
    for before, after in zip(read(files.loc["a", "path"]), read(files.loc["b", "path"])):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("n_bytes", [0, 4000, 8000, 9000])
def test_where_the_disk_is_full_nothing_is_written(make_slide, noise, tmp_path, n_bytes):
    script = (
        "import resource, signal, sys, torch\n"
        "from sksurv_mmf.slides import extract_features\n"
        "class Encoder(torch.nn.Module):\n"
        "    def forward(self, tiles):\n"
        "        return torch.ones(len(tiles), 100)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)\n"
        "try:\n"
        "    extract_features(sys.argv[1], sys.argv[2], encoder=Encoder(), tile_size=64, tissue=None, verbose=False)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    command = [sys.executable, "-c", script, make_slide(noise), tmp_path / "features", str(n_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert not list((tmp_path / "features").iterdir())


def test_files_with_other_settings_are_refused_or_made_again(make_slide, noise, extract):
    path = make_slide(noise)
    extract(path)
    with pytest.raises(ValueError, match=r"slide\.h5' was made with other settings: tile_size=64 \(now 32\)\. .*overw"):
        extract(path, tile_size=32)
    with pytest.raises(ValueError, match=r"encoder='Sequential \w+' \(now 'Sequential \w+'\)"):
        extract(path, encoder=small_encoder(seed=1))
    with pytest.raises(ValueError, match=r"tissue=None \(now 'otsu'\), min_tissue"):
        extract(path, tissue="otsu", min_tissue=0.1)
    files = extract(path, tile_size=np.int64(32), overwrite=True)
    assert files.loc["slide", ["n_tiles", "status"]].to_list() == [80, "written"]
    assert extract(path, tile_size=32, overwrite=True)["status"].item() == "skipped"


@pytest.mark.parametrize("content", [b"", b"not h5", None])
def test_files_of_other_tools_are_not_replaced_unless_asked_for(make_slide, noise, extract, tmp_path, content):
    (tmp_path / "features").mkdir()
    file = tmp_path / "features" / "slide.h5"
    if content is None:
        with h5py.File(file, "w") as theirs:
            theirs["features"], theirs["coords"] = np.ones((2, 3)), np.zeros((2, 2))
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"was not written by extract_features\. Pass overwrite=True"):
        extract(make_slide(noise))
    assert file.read_bytes() == before
    assert extract(make_slide(noise), overwrite=True)["status"].item() == "written"


def test_a_slide_that_was_replaced_under_its_name_is_noticed(make_slide, noise, extract):
    path = make_slide(noise)
    extract(path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    for other in [bytes(damaged), content + b" ", make_slide(255 - noise, name="other").read_bytes()]:
        path.write_bytes(other)
        for changed in (False, True):
            if changed:
                os.utime(path, ns=times)
            with pytest.raises(ValueError, match=r"h5' was made from another slide than '.*slide\..*overwrite=True"):
                extract(path)
    assert extract(path, overwrite=True)["status"].item() == "written"
    features, _ = read(extract(path)["path"].item())
    path.write_bytes(content)
    assert extract(path, overwrite=True)["status"].item() == "written"
    assert not np.array_equal(read(extract(path)["path"].item())[0], features)


def test_a_copy_or_another_time_is_the_same_slide(make_slide, noise, extract, tmp_path):
    path = make_slide(noise)
    extract(path)
    os.utime(path, ns=(1, 1))
    assert extract(path)["status"].item() == "skipped"
    (tmp_path / "moved").mkdir()
    moved = Path(shutil.copy(path, tmp_path / "moved"))
    path.unlink()
    assert extract(moved)["status"].item() == "skipped"


def test_files_of_versions_that_did_not_know_the_slide_still_count(make_slide, noise, extract):
    file = extract(make_slide(noise))["path"].item()
    with h5py.File(file, "a") as opened:
        del opened.attrs["source"]
    assert extract(make_slide(255 - noise))["status"].item() == "skipped"


def test_pixels_beside_a_mirax_file_belong_to_it(tmp_path):
    slide, data = tmp_path / "a.mrxs", tmp_path / "a" / "Data0000.dat"
    data.parent.mkdir()
    slide.write_bytes(b"index")
    data.write_bytes(b"pixels")
    record = describe_source(slide)
    assert describe_source(slide) == record
    data.write_bytes(b"others")
    assert describe_source(slide)["sample_sha256"] != record["sample_sha256"]


def test_a_large_slide_is_not_read_as_a_whole(tmp_path):
    slide = tmp_path / "a.svs"
    with open(slide, "wb") as file:
        file.truncate(200 * 2**20)
    record = describe_source(slide)
    with open(slide, "r+b") as file:
        file.seek(1)
        file.write(b"header")
    assert describe_source(slide) != record
    assert set(record) == {"bytes", "sample_sha256"}


class Meanwhile(nn.Module):
    """An encoder that does something once."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def forward(self, tiles):
        action, self.action = self.action, None
        if action is not None:
            action()
        return tiles.mean(dim=(2, 3))


def test_of_two_processes_the_second_keeps_what_the_first_has_written(make_slide, noise, extract):
    path = make_slide(noise)
    with pytest.warns(UserWarning, match=r"Another process has just written '.*slide\.h5' with the same settings"):
        files = extract(path, encoder=Meanwhile(lambda: extract(path, encoder=Meanwhile(None))))
    assert files["status"].item() == "skipped"
    assert files["n_tiles"].item() == 20
    assert [file.name for file in Path(files["path"].item()).parent.iterdir()] == ["slide.h5"]


def test_of_two_processes_with_different_settings_the_second_is_refused(make_slide, noise, extract, tmp_path):
    path = make_slide(noise)
    file = tmp_path / "features" / "slide.h5"
    with pytest.raises(FileExistsError, match="another process has made it in the meantime"):
        extract(path, encoder=Meanwhile(lambda: extract(path, tile_size=32)))
    assert len(read(file)[0]) == 80


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_no_target(make_slide, noise, extract, tmp_path, overwrite):
    (tmp_path / "features").mkdir()
    os.mkfifo(tmp_path / "features" / "slide.h5")
    with pytest.raises((ValueError, OSError), match=r"slide\.h5.* (was not written by|is no regular file)"):
        extract(make_slide(noise), overwrite=overwrite)


def test_a_file_is_no_folder(make_slide, noise, extract, tmp_path):
    (tmp_path / "features").touch()
    with pytest.raises(NotADirectoryError, match=r"features is no folder"):
        extract(make_slide(noise))


def test_a_link_is_replaced_and_not_followed(make_slide, noise, extract, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "features" / "slide.h5").symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="was not written by extract_features"):
        extract(make_slide(noise))
    assert extract(make_slide(noise), overwrite=True)["status"].item() == "written"
    assert (tmp_path / "precious").read_text() == "mine"


def test_settings_know_functions_by_name(make_slide, noise, extract):
    def left_half(image):
        return np.arange(image.shape[1]) < image.shape[1] / 2 + np.zeros((image.shape[0], 1))

    files = extract(make_slide(noise), tissue=left_half, transform=standardize)
    with h5py.File(files["path"].item()) as file:
        settings = json.loads(file.attrs["settings"])
        assert file["coords"][:, 0].max() == 128
    assert settings["tissue"].endswith("left_half")
    assert settings["transform"] == "standardize"


def test_a_transform_replaces_the_standardisation(make_slide, noise, extract):
    class Identity(nn.Module):
        def forward(self, tiles):
            return tiles.flatten(1)

    def shrink(image):
        return torch.tensor(np.asarray(image.resize((2, 2), Image.Resampling.BOX))).permute(2, 0, 1).float()

    features, coords = read(extract(make_slide(noise), encoder=Identity(), transform=shrink)["path"].item())
    x, y = coords[7]
    quarters = noise[y : y + 64, x : x + 64].reshape(2, 32, 2, 32, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(features[7].reshape(3, 2, 2), quarters.transpose(2, 0, 1), atol=0.51)


def test_slides_that_would_share_a_file_and_absent_ones_are_named(make_slide, noise, extract, tmp_path):
    path = make_slide(noise)
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="belong to several slides, whose features would go to one file: 'slide'"):
        extract([path, tmp_path / "other" / "slide.svs"])
    with pytest.raises(FileNotFoundError, match=r"not there: '.*absent\.svs'"):
        extract([path, tmp_path / "absent.svs"])
    with pytest.raises(ValueError, match="paths is empty"):
        extract([])
    assert not (tmp_path / "features").exists()


def test_a_bad_slide_stops_the_run_or_is_reported(make_slide, noise, extract, tmp_path):
    bad, good = tmp_path / "bad.svs", make_slide(noise)
    bad.write_text("no slide")
    with pytest.raises(ValueError, match=r"cannot read '.*bad\.svs'"):
        extract([bad, good])
    with pytest.warns(UserWarning, match=r"No features of slide 'bad': OpenSlide cannot read"):
        files = extract([bad, good], on_error="warn")
    assert files["status"].to_dict() == {"bad": "failed", "slide": "written"}
    assert files["n_tiles"].to_list() == [0, 20]


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, tiles):
        return self.function(tiles)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda tiles: tiles, r"shape \(20, n_features\) for 20 tiles, got \(20, 3, 64, 64\)"),
        (lambda tiles: tiles[1:, 0, 0], r"got \(19, 64\)"),
        (lambda tiles: [tiles], "got list"),
        (lambda tiles: tiles[:, 0, 0] * np.nan, "NaN or infinite"),
    ],
)
def test_unusable_features_are_refused(make_slide, noise, extract, tmp_path, function, message):
    with pytest.raises(ValueError, match=message):
        extract(make_slide(noise), encoder=Returns(function))
    assert list((tmp_path / "features").iterdir()) == []


def test_reading_ahead_keeps_order_and_is_bounded():
    taken = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(3) as pool:
        for n_seen, result in enumerate(read_ahead(pool, lambda i: i * i, items(), 4)):
            assert result == n_seen**2
            assert len(taken) <= n_seen + 5
    assert n_seen == 49


def test_progress_is_shown_unless_it_is_not_wanted(make_slide, noise, extract, capsys):
    extract(make_slide(noise), verbose=True)
    assert "slides: 100%" in capsys.readouterr().err
    extract(make_slide(noise, name="other"))
    assert capsys.readouterr().err == ""


def test_absent_h5py_is_explained(make_slide, noise, extract, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'sksurv_mmf\[slides\]'"):
        extract(make_slide(noise))


def test_real_slides_become_bags(real_slide, tmp_path):
    paths = [real_slide("CMU-1-Small-Region.svs"), real_slide("luna_1065626.svs")]
    encoder = small_encoder(n_features=2)
    files = extract_features(paths, tmp_path, encoder=encoder, verbose=False)
    assert files.index.to_list() == ["CMU-1-Small-Region", "luna_1065626"]
    for path, file in zip(paths, files["path"]):
        features, coords = read(file)
        np.testing.assert_array_equal(coords, tile_slide(path))
        with openslide.OpenSlide(path) as slide, h5py.File(file) as written:
            side = int(written["coords"].attrs["patch_size_level0"])
            assert side * float(slide.properties["openslide.mpp-x"]) == pytest.approx(256, abs=0.26)
            tile = slide.read_region(tuple(coords[-1]), 0, (side, side)).convert("RGB")
        expected = by_hand(encoder, [tile.resize((512, 512), Image.Resampling.BICUBIC)])
        np.testing.assert_allclose(features[-1:], expected, rtol=1e-3, atol=1e-4)
