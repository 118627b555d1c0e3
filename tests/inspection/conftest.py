import matplotlib
import pytest
from slide_files import make_slide, ramp, real_slide

__all__ = ["make_slide", "ramp", "real_slide"]

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
