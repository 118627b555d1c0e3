import numpy as np
import pytest

from sksurv_mmf.slides import otsu_tissue
from sksurv_mmf.slides._tissue import otsu_threshold, tissue_fraction


def variance_between(values, threshold):
    low, high = values[values <= threshold], values[values > threshold]
    if not len(low) or not len(high):
        return 0.0
    return len(low) * len(high) / len(values) ** 2 * (low.mean() - high.mean()) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_maximises_the_variance_between_groups(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(40, 25, 500), rng.normal(150, 40, 100 * seed + 20)])
    values = values.round().clip(0, 255).astype(np.uint8)
    best = max(variance_between(values, threshold) for threshold in range(255))
    assert variance_between(values, otsu_threshold(values)) == pytest.approx(best)


def test_two_values_are_divided_half_way():
    assert otsu_threshold(np.array([20] * 50 + [200] * 7)) == pytest.approx(109.5)


def test_saturated_pixels_are_tissue_and_grey_ones_are_not():
    rng = np.random.default_rng(0)
    image = rng.integers(225, 245, (60, 80, 1)).repeat(3, axis=2) + rng.integers(-2, 3, (60, 80, 3))
    tissue = np.zeros((60, 80), dtype=bool)
    tissue[10:40, 20:50] = True
    image[tissue] = rng.integers(-15, 16, (900, 3)) + np.array([190, 110, 160])
    image[50:, :] = rng.integers(0, 4, (10, 80, 3))  # a black margin, whose noise has any hue
    np.testing.assert_array_equal(otsu_tissue(image.astype(np.uint8)), tissue)


def test_other_arrays_than_images_are_refused():
    with pytest.raises(ValueError, match=r"uint8 of shape \(height, width, 3\), got float64"):
        otsu_tissue(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"got uint8 of shape \(4, 4\)"):
        otsu_tissue(np.zeros((4, 4), dtype=np.uint8))


def test_the_fraction_is_that_of_the_enlarged_mask():
    rng = np.random.default_rng(0)
    mask = rng.random((12, 15))
    enlarged = mask.repeat(7, axis=0).repeat(7, axis=1)
    coords = rng.integers(0, 60, (20, 2))
    expected = [enlarged[y : y + 23, x : x + 23].mean() for x, y in coords]
    np.testing.assert_allclose(tissue_fraction(mask, 7, coords, 23), expected, rtol=1e-9)
    np.testing.assert_allclose(tissue_fraction(mask > 0.5, 7.0, coords, 23).max(), 1, atol=0.6)
