"""Where on a slide there is tissue."""

import numpy as np

# Brightest channel of the pixels, of 255, that have no hue to speak of: margins that a scanner left black.
_BLACK = 32


def otsu_tissue(image) -> np.ndarray:
    """Find tissue as what is more saturated than the glass around it, with Otsu's threshold.

    The default of :func:`tile_slide`; the threshold is that of [1]_. Call it yourself to combine it with something
    else, such as a filter for pen.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3)
        RGB image of the whole slide, uint8.

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
        True where there is tissue.

    Notes
    -----
    The saturation of a pixel is the difference of its largest and its smallest channel, divided by the largest; it is
    taken as 0 where the largest is below 32 of 255. The threshold divides the pixels of the image in two groups whose
    means are as far apart as possible, and does so even if all of them are tissue, or none: the slide must show both.
    Pen and coloured dirt count as tissue.

    References
    ----------
    .. [1] Otsu, N. "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
           Cybernetics 9, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.slides import otsu_tissue
    >>> image = np.full((2, 3, 3), 240, dtype=np.uint8)
    >>> image[1, :2] = [200, 90, 160]
    >>> otsu_tissue(image)
    array([[False, False, False],
           [ True,  True, False]])
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 of shape (height, width, 3), got {image.dtype} of shape {image.shape}.")
    high, low = image.max(axis=2).astype(int), image.min(axis=2)
    saturation = np.where(high < _BLACK, 0, (high - low) * 255 // np.maximum(high, 1))
    return saturation > otsu_threshold(saturation)


def otsu_threshold(values):
    """Threshold that maximises the variance between the group up to it and the group above, for integers 0 to 255.

    In a gap of the histogram all thresholds are equally good, and the middle one is returned.
    """
    counts = np.bincount(values.ravel(), minlength=256)
    below, sums = counts.cumsum()[:-1], (counts * np.arange(256)).cumsum()
    above, sums, total = values.size - below, sums[:-1], sums[-1]
    # The variance between two groups of n and m members is n * m * (difference of means)^2, up to a constant.
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num(below * above * (sums / below - (total - sums) / above) ** 2)
    return np.flatnonzero(between == between.max()).mean()


def tissue_fraction(mask, scale, coords, side):
    """Share of tissue in squares of `side` at `coords`, for a mask whose pixels have the side `scale`.

    Exact, also where a square cuts through pixels: the area of tissue left of and above a point, which is linear
    between the corners of pixels, is looked up at the corners of the squares.
    """
    from scipy.ndimage import map_coordinates

    area = np.pad(mask.cumsum(axis=0, dtype=float).cumsum(axis=1), ((1, 0), (1, 0)))
    left, top = coords.T / scale
    right, bottom = (coords.T + side) / scale

    def area_before(x, y):
        return map_coordinates(area, [y, x], order=1, mode="nearest")

    inside = area_before(right, bottom) - area_before(left, bottom) - area_before(right, top) + area_before(left, top)
    return inside / ((right - left) * (bottom - top))
