"""Fixtures of the tests that read slides: slides made on the spot, and the real ones."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

SLIDES = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[2] / "shared" / "data")) / "slides"


@pytest.fixture
def real_slide():
    """Path of a real slide by its name."""

    def find(name):
        if not (SLIDES / name).is_file():
            pytest.skip(f"slides/{name} is not in $SKSURV_MMF_DATA")
        return SLIDES / name

    return find


@pytest.fixture
def make_slide(tmp_path):
    """Write an image as a slide with a pyramid of levels, and return its path; `mpp` may differ in x and y."""

    def make(image, mpp=0.5, downsamples=(1,), name="slide"):
        path = tmp_path / f"{name}.tiff"
        path.write_bytes(pyramidal_tiff(image, mpp, downsamples))
        return path

    return make


def pyramidal_tiff(image, mpp, downsamples, side=64):
    """Bytes of a TIFF file: for each level a directory of uncompressed tiles, see the TIFF 6.0 specification."""
    content, pointer = bytearray(b"II*\0\0\0\0\0"), 4  # the pointer to the next directory is filled in below
    across, down = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    for level, factor in enumerate(downsamples):
        tiles, (height, width) = cut(shrink(image, factor), side), shrink(image, factor).shape[:2]
        offsets = [len(content) + i * 3 * side * side for i in range(len(tiles))]
        content += b"".join(tile.tobytes() for tile in tiles)
        extra = {}
        for tag, kind, values in [
            (258, "H", [8, 8, 8]),  # bits per sample
            (282, "I", resolution(across, factor)),
            (283, "I", resolution(down, factor)),
            (324, "I", offsets),
            (325, "I", [3 * side * side] * len(tiles)),
        ]:
            extra[tag] = len(content)
            content += struct.pack(f"<{len(values)}{kind}", *values)
        entries = [
            (254, 4, 1, int(level > 0)),  # a reduced image
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 3, extra[258]),
            (259, 3, 1, 1),  # no compression
            (262, 3, 1, 2),  # RGB
            (277, 3, 1, 3),
            *([(282, 5, 1, extra[282]), (283, 5, 1, extra[283])] if mpp else []),
            (284, 3, 1, 1),
            *([(296, 3, 1, 3)] if mpp else []),  # per centimetre
            (322, 4, 1, side),
            (323, 4, 1, side),
            (324, 4, len(tiles), extra[324] if len(tiles) > 1 else offsets[0]),
            (325, 4, len(tiles), extra[325] if len(tiles) > 1 else 3 * side * side),
        ]
        content += b"\0" * (len(content) % 2)
        struct.pack_into("<I", content, pointer, len(content))
        content += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        pointer = len(content)
        content += b"\0\0\0\0"
    return bytes(content)


def resolution(mpp, factor):
    return [round(10_000_000 / (mpp * factor)), 1000] if mpp else [0, 1]


def shrink(image, factor):
    """Mean of squares of pixels; the sides of the image must be multiples of the factor."""
    height, width, _ = image.shape
    squares = image.reshape(height // factor, factor, width // factor, factor, 3)
    return squares.mean(axis=(1, 3)).round().astype(np.uint8)


def cut(image, side):
    height, width, _ = image.shape
    padded = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)))
    return [
        padded[y : y + side, x : x + side]
        for y in range(0, padded.shape[0], side)
        for x in range(0, padded.shape[1], side)
    ]


@pytest.fixture
def ramp():
    """Image whose red grows by 1 every fourth pixel to the right, and its green downwards."""
    y, x = np.mgrid[:768, :1024]
    return np.stack([x // 4, y // 4, np.full_like(x, 128)], axis=2).astype(np.uint8)
