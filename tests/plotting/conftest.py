import pytest


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")  # in each test, because pandas' own test suite leaves another one behind
    yield
    plt.close("all")
