"""What this package uses of scikit-learn that scikit-learn calls private; a release of it may move these names."""

from sklearn.utils import (
    _safe_indexing as safe_indexing,
)
from sklearn.utils._indexing import (
    _get_column_indices as get_column_indices,
)
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._set_output import (
    _get_output_config as get_output_config,
)
from sklearn.utils.metaestimators import (
    _BaseComposition as BaseComposition,
)
from sklearn.utils.validation import (
    _check_feature_names as check_feature_names,
)
from sklearn.utils.validation import (
    _check_feature_names_in as check_feature_names_in,
)
from sklearn.utils.validation import (
    _check_n_features as check_n_features,
)
from sklearn.utils.validation import (
    _num_samples as num_samples,
)

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "check_feature_names",
    "check_feature_names_in",
    "check_n_features",
    "get_column_indices",
    "get_output_config",
    "num_samples",
    "safe_indexing",
    "validate_parameter_constraints",
    "validate_params",
]
