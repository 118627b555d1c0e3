import numpy as np
import pytest

from sksurv_mmf.slides import level0_tile_size, tile_slide

GLASS, STAIN = (240, 240, 240), (190, 90, 160)


@pytest.fixture
def tissue_image():
    """Glass with a rectangle of tissue from (208, 112) to (848, 592), whole pixels of the overview."""
    image = np.full((768, 1024, 3), GLASS, dtype=np.uint8)
    image[112:592, 208:848] = STAIN
    return image


def covered(coords, side, shape=(768, 1024)):
    """How many tiles cover each pixel."""
    count = np.zeros(shape, dtype=int)
    for x, y in coords:
        count[y : y + side, x : x + side] += 1
    return count


@pytest.mark.parametrize(
    ("slide_mpp", "mpp", "tile_size", "side"),
    [(0.5, 0.5, 128, 128), (0.25, 0.5, 128, 256), (0.5, 1.0, 64, 128), (0.499, 0.5, 512, 513), (0.5026, 0.5, 512, 509)],
)
def test_a_tile_has_the_same_physical_side_whatever_the_resolution(
    make_slide, tissue_image, slide_mpp, mpp, tile_size, side
):
    path = make_slide(tissue_image, mpp=slide_mpp)
    assert level0_tile_size(path, tile_size, mpp) == side
    assert abs(side * slide_mpp - tile_size * mpp) <= slide_mpp / 2
    coords = tile_slide(path, tile_size, mpp, tissue=None)
    assert coords.dtype == np.int64
    assert {side} >= set(np.diff(np.unique(coords[:, 0]))) | set(np.diff(np.unique(coords[:, 1])))


@pytest.mark.parametrize("tile_size", [64, 100, 250])
def test_tiles_do_not_overlap_and_cover_all_but_a_rest_at_the_borders(make_slide, tissue_image, tile_size):
    count = covered(tile_slide(make_slide(tissue_image), tile_size, tissue=None), tile_size)
    assert count.max() == 1
    rows, columns = 768 - 768 % tile_size, 1024 - 1024 % tile_size
    assert (count[:rows, :columns] == 1).all()
    assert count.sum() == rows * columns


@pytest.mark.parametrize("downsamples", [(1,), (1, 4)])
def test_the_tissue_is_covered_and_the_glass_is_not(make_slide, tissue_image, downsamples):
    path = make_slide(tissue_image, downsamples=downsamples)
    tissue = (tissue_image == STAIN).all(axis=2)
    every = covered(tile_slide(path, 64, min_tissue=1e-3), 64)
    assert every[tissue].all()
    only = covered(tile_slide(path, 64, min_tissue=1.0), 64)
    assert not only[~tissue].any()
    half = tile_slide(path, 64, min_tissue=0.5)
    shares = [tissue[y : y + 64, x : x + 64].mean() for x, y in tile_slide(path, 64, tissue=None)]
    assert len(half) == np.sum(np.array(shares) >= 0.5)
    assert all(tissue[y : y + 64, x : x + 64].mean() >= 0.5 for x, y in half)


def test_a_callable_says_what_is_kept(make_slide, tissue_image):
    def tumour(image):
        assert image.dtype == np.uint8
        mask = np.zeros(image.shape[:2])
        mask[: image.shape[0] // 2, : image.shape[1] // 4] = 0.6
        return mask

    coords = tile_slide(make_slide(tissue_image), 128, tissue=tumour, min_tissue=0.6)
    assert coords.tolist() == [[x, y] for y in (0, 128, 256) for x in (0, 128)]
    with pytest.raises(ValueError, match=r"min_tissue=0\.61"):
        tile_slide(make_slide(tissue_image), 128, tissue=tumour, min_tissue=0.61)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (lambda image: np.zeros((3, 4)), r"mask of shape \(48, 64\), that of its image, got \(3, 4\)"),
        (lambda image: np.full(image.shape[:2], 255), r"numpy\.isin"),
        (lambda image: np.full(image.shape[:2], np.nan), "between 0 and 1"),
        (lambda image: np.full(image.shape[:2], "tumour"), "booleans"),
    ],
)
def test_unusable_masks_are_explained(make_slide, tissue_image, mask, message):
    with pytest.raises(ValueError, match=message):
        tile_slide(make_slide(tissue_image), 128, tissue=mask)


def test_a_slide_that_is_too_coarse_or_too_small_is_refused(make_slide, tissue_image):
    path = make_slide(tissue_image, mpp=0.56)
    with pytest.raises(ValueError, match=r"slide\.tiff' have a side of 0\.56 um.*Pass mpp=0\.56 or more"):
        tile_slide(path, 128)
    with pytest.raises(ValueError, match=r"0\.56 um"):
        level0_tile_size(path)
    assert len(tile_slide(path, 128, slide_mpp=0.5, tissue=None)) == 48
    assert level0_tile_size(make_slide(tissue_image, mpp=0.54)) == 474  # what scanners call 20x is let pass
    with pytest.raises(ValueError, match=r"1024 x 768 pixels, a tile of tile_size=512 at mpp=1\.0 has 1024 x 1024"):
        tile_slide(make_slide(tissue_image), mpp=1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"tile_size": 0}, {"mpp": 0}, {"tissue": "hsv"}, {"min_tissue": 0}, {"min_tissue": 1.5}, {"tissue_mpp": -1}],
)
def test_bad_parameters_are_named(make_slide, tissue_image, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of tile_slide"):
        tile_slide(make_slide(tissue_image), **wrong)


@pytest.mark.parametrize(("name", "side"), [("CMU-1-Small-Region.svs", 513), ("luna_1065626.svs", 509)])
def test_tiles_of_real_slides_lie_on_tissue(real_slide, name, side):
    import openslide

    path = real_slide(name)
    coords, every = tile_slide(path), tile_slide(path, tissue=None)
    kept = {tuple(corner) for corner in coords}
    with openslide.OpenSlide(path) as slide:
        assert (every.max(axis=0) + side <= slide.dimensions).all()
        brightness = {
            tuple(corner): np.asarray(slide.read_region(tuple(corner), 0, (side, side)).convert("L")).mean()
            for corner in every[:: len(every) // 15]
        } | {corner: np.asarray(slide.read_region(corner, 0, (side, side)).convert("L")).mean() for corner in kept}
    glass = [value for corner, value in brightness.items() if corner not in kept]
    assert max(value for corner, value in brightness.items() if corner in kept) < np.median(glass)
    assert 1 < len(coords) < len(every) / 2
