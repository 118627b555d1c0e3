"""Tables as `tile_attention` returns them, for the tests that draw or export them."""

import pandas as pd


def table(weights, coords=None, patient="A", slide=None):
    """Tiles of one patient, where `slide` is the name of the slide of each tile, or of all."""
    index = pd.MultiIndex.from_product([[patient], range(len(weights))], names=["patient", "tile"])
    frame = pd.DataFrame({"attention": weights}, index=index)
    if slide is not None:
        frame["slide"] = slide
    if coords is not None:
        frame[["x", "y"]] = coords
    return frame
