"""pandas' own suite for extension arrays, run against BagArray.

pandas itself skips what does not apply: storage in two dimensions, reductions to a number, division and differences.
"""

import operator

import numpy as np
import pandas as pd
import pandas._testing as tm
import pytest
from pandas.tests.extension import base
from pandas.tests.extension.conftest import *  # noqa: F403

from sksurv_mmf.bags import Bag, BagArray, BagDtype

PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3

# The suite of pandas 2 expects errors of any message in a way of which later versions of pytest warn.
pytestmark = pytest.mark.filterwarnings("ignore:matching against an empty string:pytest.PytestWarning")


def each_of(*params):
    """A fixture with these parameters."""
    return pytest.fixture(params=params)(lambda request: request.param)


# The suite of pandas 2 looks for these in pandas' own conftest, which needs hypothesis.
all_boolean_reductions = each_of("all", "any")
all_numeric_reductions = each_of("count", "max", "mean", "median", "min", "prod", "sem", "skew", "std", "sum", "var")
all_numeric_accumulations = each_of("cummax", "cummin", "cumprod", "cumsum")
all_arithmetic_operators = each_of(*tm.arithmetic_dunder_methods)
comparison_op = each_of(operator.eq, operator.ne, operator.gt, operator.ge, operator.lt, operator.le)
sort_by_key = each_of(None, lambda x: x)


def make_bags(*values):
    """Bags told apart by their one repeated value; None is a missing one."""
    return BagArray([None if value is None else Bag(np.full((2, 3), value)) for value in values])


@pytest.fixture
def dtype():
    return BagDtype()


@pytest.fixture
def data():
    return make_bags(*range(10 if PANDAS_3 else 100))  # as many as the suite counts


@pytest.fixture
def data_missing():
    return make_bags(None, 1)


@pytest.fixture
def data_for_sorting():
    return make_bags(2, 3, 1)


@pytest.fixture
def data_missing_for_sorting():
    return make_bags(2, None, 1)


@pytest.fixture
def data_for_grouping():
    return make_bags(2, 2, None, None, 1, 1, 2, 3)


NO_ORDER = "one bag is neither smaller nor larger than another, so nothing can sort or rank by a bag"
NO_TEXT = "a text names a bag, it cannot hold its tiles"
NO_NUMBER = "a bag is not a number that could be drawn on an axis"

# name of the test -> why it cannot pass, and what it raises instead
NOT_MEANINGFUL = {
    "test_argsort": (NO_ORDER, TypeError),
    "test_argsort_missing": (NO_ORDER, TypeError),
    "test_argsort_missing_array": (NO_ORDER, TypeError),
    "test_argmin_argmax": (NO_ORDER, TypeError),
    "test_nargsort": (NO_ORDER, TypeError),
    "test_sort_values": (NO_ORDER, TypeError),
    "test_sort_values_missing": (NO_ORDER, TypeError),
    "test_sort_values_frame": (NO_ORDER, TypeError),
    "test_sort_inplace": (NO_ORDER, TypeError),
    "test_sort_inplace_descending": (NO_ORDER, TypeError),
    "test_sort_inplace_na_position": (NO_ORDER, TypeError),
    "test_rank": (NO_ORDER, TypeError),
    "test_rank_method": (NO_ORDER, TypeError),
    "test_rank_missing": (NO_ORDER, TypeError),
    "test_searchsorted": (NO_ORDER, TypeError),
    "test_combine_le": (NO_ORDER, TypeError),
    "test_groupby_extension_agg": (NO_ORDER, TypeError),
    "test_json_roundtrip": (NO_TEXT, AssertionError),
    "test_EA_types": (NO_TEXT, NotImplementedError),
    "test_plot_on_y_axis": (NO_NUMBER, TypeError),
}


@pytest.fixture(autouse=True)
def expect_failure_where_not_meaningful(request):
    reason, error = NOT_MEANINGFUL.get(request.node.originalname, (None, None))
    if reason:
        request.node.add_marker(pytest.mark.xfail(reason=reason, raises=error, strict=True))


class TestBagArray(base.ExtensionTests):
    """The overridden tests sort by a bag on the way; here they check the same without it."""

    @pytest.mark.parametrize("dropna", [True, False])
    def test_value_counts(self, data_for_grouping, dropna):
        counts = pd.Series(data_for_grouping).value_counts(dropna=dropna, sort=False)
        expected = {2: 3, 1: 2, 3: 1} if dropna else {2: 3, None: 2, 1: 2, 3: 1}
        assert list(counts) == list(expected.values())
        tm.assert_extension_array_equal(counts.index.array, make_bags(*expected))

    def test_value_counts_with_normalize(self, data_for_grouping):
        shares = pd.Series(data_for_grouping).value_counts(normalize=True, sort=False)
        assert shares.tolist() == [3 / 6, 2 / 6, 1 / 6]
        tm.assert_extension_array_equal(shares.index.array, make_bags(2, 1, 3))

    def test_is_monotonic_increasing(self, data_for_sorting):
        assert pd.Series(data_for_sorting.take([2, 0, 1])).is_monotonic_increasing is False

    def test_is_monotonic_decreasing(self, data_for_sorting):
        assert pd.Series(data_for_sorting.take([1, 0, 2])).is_monotonic_decreasing is False

    @pytest.mark.parametrize("method", ["idxmax", "idxmin", "argmax", "argmin"])
    def test_argreduce_series(self, data_missing_for_sorting, method):
        column = pd.Series(data_missing_for_sorting)
        if PANDAS_3:  # before, it announces this error
            with pytest.raises(ValueError, match="Encountered an NA value"):
                getattr(column, method)(skipna=False)
        with pytest.raises(TypeError, match="not supported between instances of 'Bag' and 'Bag'"):
            getattr(column, method)(skipna=True)

    def test_groupby_extension_transform(self, data_for_grouping):
        frame = pd.DataFrame({"A": [1, 1, 3, 3, 1, 4], "B": data_for_grouping[~data_for_grouping.isna()]})
        assert frame.groupby("B", sort=False).A.transform(len).tolist() == [3, 3, 2, 2, 3, 1]

    @pytest.mark.filterwarnings("ignore:DataFrameGroupBy.apply operated on the grouping columns")  # before pandas 3
    def test_groupby_extension_apply(self, data_for_grouping, groupby_apply_op):
        frame = pd.DataFrame({"A": [1, 1, 2, 2, 3, 3, 1, 4], "B": data_for_grouping})
        for by, other in [("A", "B"), ("B", "A")]:
            groups = frame.groupby(by, group_keys=False, sort=False)
            groups.apply(groupby_apply_op)
            groups[other].apply(groupby_apply_op)
