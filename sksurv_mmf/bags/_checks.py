"""What the arrays of a bag must look like, whether they come from memory or from a header."""


def check_numbers(dtype):
    """Refuse anything but real numbers."""
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {dtype}.")


def check_features(shape):
    """Refuse features that are not a matrix with at least one tile."""
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"features must have shape (n_tiles, n_features), at least one of each, got shape {shape}.")


def check_coords(shape, n_tiles):
    """Refuse coordinates that are not one (x, y) per tile."""
    if shape != (n_tiles, 2):
        raise ValueError(f"coords must have shape ({n_tiles}, 2), one row per tile, got shape {shape}.")
