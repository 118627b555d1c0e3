"""Estimators other than ours, by skops: it stores parameters and arrays, and builds types that are listed only."""

import io
import math
import warnings

from numpy.lib import format as npy_format
from sklearn.base import BaseEstimator

from ..files._archive import read_archive
from ..files._tree import full_name
from ..model_selection._split import RepeatedSurvivalKFold, SurvivalKFold
from ..preprocessing._modality_transformer import ColumnsOf, name_with_modality
from ..presets import _weigh_alike
from ..utils._optional import import_optional
from ..utils._validation import shorten
from ._tree import is_ours, subclasses

# Beside what skops trusts by itself: estimators of scikit-learn, functions and types of numbers of numpy and scipy.
# Models of trees are not among either, because compiled code follows the indices in them without a check.
KNOWN = {
    "numpy.dtype",
    "scipy.optimize._optimize.OptimizeResult",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    # Which metadata are passed on, text by name: scikit-learn 1.7 leaves them in a fitted search.
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sksurv.ensemble.boosting.ComponentwiseGradientBoostingSurvivalAnalysis",
    "sksurv.ensemble.boosting._ComponentwiseLeastSquares",
    "sksurv.ensemble.survival_loss.CoxPH",
    "sksurv.functions.StepFunction",
    "sksurv.linear_model.aft.IPCRidge",
    "sksurv.linear_model.coxnet.CoxnetSurvivalAnalysis",
    "sksurv.linear_model.coxph.BreslowEstimator",
    "sksurv.linear_model.coxph.CoxPHSurvivalAnalysis",
    "sksurv.svm.minlip.HingeLossSurvivalSVM",
    "sksurv.svm.minlip.MinlipSurvivalAnalysis",
    "sksurv.svm.naive_survival_svm.NaiveSurvivalSVM",
    "sksurv.svm.survival_svm.FastKernelSurvivalSVM",
    "sksurv.svm.survival_svm.FastSurvivalSVM",
    "sksurv_mmf.presets.weigh_alike",  # what _weigh_alike was called
}

SCHEMA = "schema.json"


def known_types():
    """Names of the types that a file may hold without being trusted by the user."""
    estimators = [one for one in subclasses(BaseEstimator) if is_ours(one)]
    others = [SurvivalKFold, RepeatedSurvivalKFold, ColumnsOf, name_with_modality, _weigh_alike]
    return KNOWN | {full_name(one) for one in [*estimators, *others]}


def dump_foreign(estimator):
    """Turn an estimator into bytes; returns these and the names of the types that must be trusted to load them."""
    skops = import_skops()
    # Which exception skops raises depends on the type; the user needs to know which part of the model it is about.
    try:
        data = dump(estimator)
    except Exception as error:
        culprits = [f"{name} ({full_name(type(value))})" for name, value in unwritable(estimator)]
        raise ValueError(f"skops cannot write {', '.join(culprits) or 'it'}: {error}") from error
    return data, set(skops.get_untrusted_types(data=data)) - known_types()


def dump(value):
    """Turn a value into bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking for a type, skops touches attributes that numpy deprecates
        return import_skops().dumps(value)


def unwritable(estimator):
    """Yield names and values of the attributes that skops cannot write."""
    for name, value in vars(estimator).items():
        try:
            dump(value)
        except Exception:
            yield name, value


def load_foreign(data, trusted):
    """Build an estimator again; types that are neither known nor named in `trusted` are refused by name."""
    skops = import_skops()
    check_members(read_archive(io.BytesIO(data)))
    allowed = known_types() | trusted
    unknown = sorted(set(skops.get_untrusted_types(data=data)) - allowed)
    if unknown:
        raise ValueError(
            f"it holds {shorten(unknown)}, which load_model does not know. If you trust the file, pass the class or "
            "function in trusted=[...]"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "presets.weigh_alike", FutureWarning)  # the file cannot help its age
        return skops.loads(data, trusted=sorted(allowed))


def check_members(members):
    """Refuse members other than the description and arrays, and arrays whose header announces what does not follow."""
    for name, data in members.items():
        if name != SCHEMA and not is_array(data):
            raise ValueError(f"its member {name!r} is no array of the size that its header announces")


def is_array(data):
    """Whether bytes are a ``.npy`` file, and of the size that the header announces."""
    stream = io.BytesIO(data)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    try:
        shape, _, dtype = readers[npy_format.read_magic(stream)](stream)
    except (KeyError, ValueError):
        return False
    return not dtype.hasobject and math.prod(shape) * dtype.itemsize == len(data) - stream.tell()


def import_skops():
    """Import ``skops.io``, or say what to install."""
    return import_optional("skops.io", "io", "Saving and loading transformers")
