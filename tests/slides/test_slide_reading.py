"""Reading at a scale: the ramp's red is a quarter of x and its green a quarter of y, so that colours tell places."""

import sys

import numpy as np
import pytest
from PIL import Image

from sksurv_mmf.slides import _slide
from sksurv_mmf.slides._slide import Slide


@pytest.mark.parametrize("downsamples", [(1,), (1, 2), (1, 2, 4), (1, 4), (1, 2, 4, 8)])
@pytest.mark.parametrize(("side", "size"), [(200, 200), (400, 100), (300, 100), (100, 100), (104, 100)])
def test_a_tile_shows_the_same_tissue_whatever_the_pyramid(make_slide, ramp, downsamples, side, size):
    x, y = 328, 104
    with Slide(make_slide(ramp, downsamples=downsamples)) as slide:
        tile = np.asarray(slide.read(x, y, side, size), dtype=float)
    assert tile.shape == (size, size, 3)
    centres = (np.arange(size) + 0.5) * side / size  # of the tile's pixels, in level-0 pixels from its corner
    red, green = (x + centres - 0.5) / 4, (y + centres - 0.5) / 4
    assert np.abs(tile[:, :, 0] - red).max() <= 1.2  # the ramp has steps, and 8 bits are rounded twice
    assert np.abs(tile[:, :, 1] - green[:, None]).max() <= 1.2


def test_the_nearest_finer_level_is_read(make_slide, ramp):
    with Slide(make_slide(ramp, downsamples=(1, 2, 4))) as slide:
        levels = {scale: slide._level_for(scale)[0] for scale in (0.9, 1, 1.9, 2, 3.9, 3.97, 4, 100)}
    assert levels == {0.9: 0, 1: 0, 1.9: 0, 2: 1, 3.9: 1, 3.97: 2, 4: 2, 100: 2}


def test_a_tile_without_resizing_has_the_pixels_of_the_slide(make_slide, ramp):
    with Slide(make_slide(ramp)) as slide:
        np.testing.assert_array_equal(slide.read(5, 7, 64, 64), ramp[7:71, 5:69])


def test_what_was_not_scanned_has_the_background_colour(make_slide, ramp):
    with Slide(make_slide(ramp)) as slide:
        tile = np.asarray(slide.read(1000, 0, 64, 64))
    np.testing.assert_array_equal(tile[:, :24], ramp[:64, 1000:])
    assert (tile[:, 24:] == 255).all()


@pytest.mark.parametrize("strip_pixels", [1, 2**24])
@pytest.mark.parametrize(("downsamples", "wanted", "scale"), [((1,), 16, 16), ((1, 4), 16, 16), ((1, 4), 6, 8)])
def test_every_pixel_of_an_overview_is_the_mean_of_its_square(
    make_slide, ramp, monkeypatch, strip_pixels, downsamples, wanted, scale
):
    monkeypatch.setattr(_slide, "_STRIP_PIXELS", strip_pixels)
    with Slide(make_slide(ramp, downsamples=downsamples)) as slide:
        image, got = slide.overview(wanted)
    assert got == scale
    assert image.shape == (768 // scale, 1024 // scale, 3)
    means = ramp.reshape(image.shape[0], scale, image.shape[1], scale, 3).mean(axis=(1, 3))
    assert np.abs(image - means).max() <= 1


def test_an_overview_covers_the_rest_at_the_borders(make_slide, ramp):
    with Slide(make_slide(ramp)) as slide:
        image, scale = slide.overview(100)
    assert (image.shape, scale) == ((8, 11, 3), 100)
    assert image[0, -1, 0] == pytest.approx(ramp[0, 1000:, 0].mean(), abs=1)


def test_the_size_of_a_pixel_comes_from_the_file_or_the_user(make_slide, ramp):
    with Slide(make_slide(ramp, mpp=0.25)) as slide:
        assert (slide.mpp, slide.magnification) == (0.25, 40)
    with Slide(make_slide(ramp, mpp=None), 0.5) as slide:
        assert (slide.mpp, slide.magnification) == (0.5, 20)
    with Slide(make_slide(ramp, mpp=None)) as slide, pytest.raises(ValueError, match=r"slide\.tiff.*Pass slide_mpp"):
        slide.mpp  # noqa: B018


def test_oblong_pixels_are_refused(make_slide, ramp):
    with (
        Slide(make_slide(ramp, mpp=(0.5, 0.625))) as slide,
        pytest.raises(ValueError, match=r"not square: 0\.5 x 0\.625"),
    ):
        slide.mpp  # noqa: B018


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no slide '.*absent\.svs'"):
        Slide(tmp_path / "absent.svs")
    (tmp_path / "text.svs").write_text("no slide")
    with pytest.raises(ValueError, match=r"cannot read '.*text\.svs'"):
        Slide(tmp_path / "text.svs")


def test_absent_openslide_is_explained(monkeypatch, make_slide, ramp):
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(ImportError, match=r"pip install 'sksurv_mmf\[slides\]'"):
        Slide(make_slide(ramp))


def test_levels_of_a_real_slide_show_the_same_tissue(real_slide):
    with Slide(real_slide("luna_1065626.svs")) as slide:
        fine = slide.read(4700, 6100, 800, 800).resize((200, 200), Image.Resampling.BOX)
        coarse = slide.read(4700, 6100, 800, 200)
        assert slide._level_for(4)[0] == 1
    fine, coarse = np.asarray(fine, dtype=float), np.asarray(coarse, dtype=float)
    assert fine.std() > 10  # there is something to see
    assert np.corrcoef(fine.ravel(), coarse.ravel())[0, 1] > 0.95
    shifted = np.corrcoef(fine[:, 2:].ravel(), coarse[:, :-2].ravel())[0, 1]
    assert shifted < np.corrcoef(fine.ravel(), coarse.ravel())[0, 1]


def test_who_still_reads_a_closed_slide_is_left_alone(make_slide, ramp):
    slide = Slide(make_slide(ramp))
    read = slide._handle.read_region
    slide.close()
    assert read((0, 0), 0, (4, 4)).size == (4, 4)
