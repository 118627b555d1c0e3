"""An open slide whose scale is known."""

from pathlib import Path

import numpy as np

from ..files._regular_file import check_regular_file
from ..utils._optional import import_optional

# A level counts as fine enough if its pixels are larger than wanted by less than this factor: the sides of the levels
# are whole numbers, so that a downsample of 4 may read 4.0002.
_SAME_SCALE = 1.01
# Two sides of a pixel may differ by this factor; beyond it a square of pixels is no square of tissue.
_SQUARE = 1.02
_BOUNDS = ("x", "y", "width", "height")
# Pixels that an overview reads at a time, so that a slide without a pyramid does not fill the memory.
_STRIP_PIXELS = 2**24


def import_openslide():
    """Import openslide, which only slides need."""
    return import_optional("openslide", "slides", "Reading slides")


class Slide:
    """A slide, open for reading. Positions and sides are in pixels of level 0, the finest.

    Several threads may read at the same time. Use it as a context manager, or call `close`.

    Parameters
    ----------
    path : str or path-like
        File in a format that OpenSlide reads.
    slide_mpp : float, default=None
        Size of a pixel in um. None takes it from the file.
    """

    def __init__(self, path, slide_mpp=None):
        openslide = import_openslide()
        self.path = Path(path)
        self._slide_mpp = slide_mpp
        if not self.path.exists():
            raise FileNotFoundError(f"There is no slide {str(self.path)!r}.")
        check_regular_file(self.path, "Slide ")
        try:
            self._handle = openslide.OpenSlide(self.path)
        except openslide.OpenSlideError as error:
            raise ValueError(f"OpenSlide cannot read {str(self.path)!r}: {error}.") from error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Let go of the file, which is closed once no thread reads it any more."""
        # After an interrupt threads may still read, and OpenSlide crashes if a file is closed then, or twice.
        self._handle = None

    @property
    def name(self):
        """Name of the file without folder and suffix."""
        return self.path.stem

    @property
    def dimensions(self):
        """Width and height."""
        return self._handle.dimensions

    @property
    def mpp(self):
        """Side of a pixel in um."""
        if self._slide_mpp is not None:
            return self._slide_mpp
        sides = [float(self._handle.properties.get(f"openslide.mpp-{axis}") or 0) for axis in "xy"]
        if min(sides) <= 0:
            raise ValueError(
                f"Slide {str(self.path)!r} does not say how large its pixels are. Pass slide_mpp, their side in um: "
                "about 0.25 for a scan at 40x, 0.5 at 20x."
            )
        if max(sides) > _SQUARE * min(sides):
            raise ValueError(
                f"The pixels of slide {str(self.path)!r} are not square: {sides[0]} x {sides[1]} um. If that is wrong, "
                "pass slide_mpp, their side in um."
            )
        return sum(sides) / 2

    @property
    def magnification(self):
        """Power of the objective as the file says, or the number that fits the pixels best: 20 at 0.5 um."""
        power = self._handle.properties.get("openslide.objective-power")
        return round(float(power) if power else 10 / self.mpp)

    @property
    def bounds_corner(self):
        """Upper left corner of what was scanned, (0, 0) if the file does not tell the bounds."""
        try:
            x, y, _, _ = (int(self._handle.properties[f"openslide.bounds-{name}"]) for name in _BOUNDS)
        except (KeyError, ValueError):
            return 0, 0
        return x, y

    def read(self, x, y, side, size):
        """Read a square as an RGB image of `size` x `size` pixels.

        It comes from the coarsest level that still has all detail, and is resized. What the scanner left out has
        the background colour of the slide.
        """
        level, downsample = self._level_for(side / size)
        n_pixels = max(1, round(side / downsample))
        image = self._read_level(x, y, level, (n_pixels, n_pixels))
        return image if n_pixels == size else image.resize((size, size), resample=3)  # bicubic, over all pixels

    def overview(self, scale):
        """Read the whole slide at about `scale` pixels of level 0 per pixel.

        Returns the image, an array of shape (height, width, 3), and its exact scale: the pixel in row i and column j
        is the mean of the square of this side at (j * scale, i * scale).
        """
        level, downsample = self._level_for(scale)
        factor = max(1, round(scale / downsample))
        width, height = self._handle.level_dimensions[level]
        step = factor * max(1, _STRIP_PIXELS // (width * factor))
        strips = [
            self._read_level(0, round(top * downsample), level, (width, min(step, height - top))).reduce(factor)
            for top in range(0, height, step)
        ]
        return np.concatenate([np.asarray(strip) for strip in strips]), factor * downsample

    def _level_for(self, downsample):
        """Coarsest level that is fine enough, and its downsample."""
        downsamples = self._handle.level_downsamples
        fine_enough = [level for level, own in enumerate(downsamples) if own <= _SAME_SCALE * downsample]
        level = max(fine_enough, default=0)
        return level, downsamples[level]

    def _read_level(self, x, y, level, size):
        from PIL import Image

        openslide = import_openslide()
        try:
            region = self._handle.read_region((int(x), int(y)), level, size)
        except openslide.OpenSlideError as error:
            raise ValueError(f"Slide {str(self.path)!r} is damaged at x={x}, y={y}: {error}.") from error
        background = self._handle.properties.get("openslide.background-color", "FFFFFF")
        image = Image.new("RGB", region.size, f"#{background}")
        image.paste(region, mask=region.getchannel("A"))
        return image
