"""One transformer per modality."""

from dataclasses import dataclass

import numpy as np
from sklearn import compose
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from ..bags._array import BagDtype
from ..utils._frames import as_frame
from ..utils._lacking_columns import add_lacking_columns
from ..utils._modality_names import belongs_to, column_name, columns_by_modality
from ..utils._validation import shorten
from ._checks import frame_with_names, refuse_polars
from ._present_patients import PresentPatients


def make_modality_transformer(
    *, remainder: str = "passthrough", n_jobs: int | None = None, **modalities
) -> "ColumnTransformer":
    """Make a ColumnTransformer that has one transformer for each modality.

    Use it as the first step of a pipeline, so that whatever is learnt from the patients is learnt inside the fold. A
    modality consists of the columns named ``<modality>__<feature>``; what comes out is a frame whose columns are named
    in the same way.

    Parameters
    ----------
    remainder : {"passthrough", "drop", "error"}, default="passthrough"
        What happens to the columns of modalities that are not named here; "error" refuses them in `fit`, by name.

    n_jobs : int, default=None
        Number of modalities to transform in parallel.

    **modalities : transformer, "passthrough" or "drop"
        The transformer of each modality, as in ``rna=StandardScaler()``: any scikit-learn transformer or pipeline of
        transformers, that also receives y. Bags need a `BagTransformer`.

    Returns
    -------
    ColumnTransformer
        Ready to fit. The columns of the named modalities come first, in the order of the arguments.

    Raises
    ------
    ValueError
        If no modality is named; in `fit`, if X has no column of a modality, or columns that `remainder` refuses.

    See Also
    --------
    PresentPatients : Leaves out the patients who lack a modality; it is put around each transformer.

    Notes
    -----
    Each transformer sees only the patients who have its modality; for the others the modality stays missing. If new
    patients have no column of a modality at all, it is missing for all of them. Columns that a transformer does not
    name are ``<modality>__0``, ``<modality>__1``, and so on; a column that a function such
    as ``numpy.log1p`` changes by itself keeps its name.

    The parameters of the transformer of modality ``rna`` are found under ``rna__transformer__``, for instance
    ``rna__transformer__with_mean``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksurv_mmf.preprocessing import make_modality_transformer
    >>> X = pd.DataFrame({"rna__TP53": [1.0, 3.0, np.nan], "clinical__age": [50, 60, 70]}, index=["Ann", "Bea", "Cleo"])
    >>> make_modality_transformer(rna=StandardScaler()).fit_transform(X)
          rna__TP53  clinical__age
    Ann        -1.0             50
    Bea         1.0             60
    Cleo        NaN             70
    """
    if not modalities:
        raise ValueError("Name at least one modality, as in make_modality_transformer(rna=StandardScaler()).")
    if not isinstance(remainder, str) or remainder not in REMAINDERS:
        raise ValueError(
            f"remainder must be 'passthrough', 'drop' or 'error', got {remainder!r}; name the modalities one by one."
        )
    return ColumnTransformer(
        [(modality, _of_present(transformer), ColumnsOf(modality)) for modality, transformer in modalities.items()],
        remainder=clone(REMAINDERS[remainder], safe=False),
        n_jobs=n_jobs,
        verbose_feature_names_out=name_with_modality,
    ).set_output(transform="pandas")


def _of_present(transformer):
    if isinstance(transformer, str):
        return Unchanged() if transformer == "passthrough" else transformer
    return PresentPatients(transformer)


class Unchanged(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Returns what it is given, bags and columns of any type included; scikit-learn's "passthrough" knows no bags."""

    def fit(self, X, y=None):
        """Remember the columns."""
        self._check_X(X, reset=True)
        return self

    def transform(self, X):
        """Return X as a frame of pandas."""
        return self._check_X(X, reset=False)

    def _check_X(self, X, reset):
        X = as_frame(X)
        if any(isinstance(dtype, BagDtype) for dtype in X.dtypes):
            refuse_polars(self)
        return validate_data(self, X, skip_check_array=True, reset=reset)


class Refused(Unchanged):
    """Refuses columns, in the place of those that nobody asked for."""

    def fit(self, X, y=None):
        """Say which they are."""
        names = list(as_frame(X).columns)
        known = columns_by_modality(names)
        others = [name for name in names if not any(name in columns for columns in known.values())]
        raise ValueError(
            f"X has {shorten([*known, *others])}, which this model would leave out in silence. Name the modality, pass "
            "remainder='drop' to leave it out, or take it out of X."
        )


REMAINDERS = {"passthrough": Unchanged(), "drop": "drop", "error": Refused()}


class ColumnTransformer(compose.ColumnTransformer):
    """scikit-learn's, of whose name pipelines and searches make names; it refuses what is no frame of a cohort."""

    def fit_transform(self, X, y=None, **params):
        """Fit all transformers, and transform and join the columns."""
        return super().fit_transform(frame_with_names(X), y, **params)

    def transform(self, X, **params):
        """Transform and join the columns; a modality of which X has no column is missing for all of its patients."""
        check_is_fitted(self)
        names = list(self.feature_names_in_)
        modalities = [list(columns) for columns in columns_by_modality(names).values()]
        X = add_lacking_columns(frame_with_names(X), names, modalities)
        try:
            return super().transform(X, **params)
        except ValueError as error:
            # It knows which columns its transformers need, and says no more than their names.
            if not str(error).startswith("columns are missing"):
                raise
            raise ValueError(_why_missing(list(X.columns), names)) from error


def _why_missing(there, names):
    """What to say of new patients whose columns are not those of `fit`."""
    unknown = [name for name in there if name not in names]
    sentences = []
    for modality, columns in columns_by_modality(names).items():
        absent = [name for name in columns if name not in there]
        if absent:
            share = "all" if len(absent) == len(columns) else len(absent)
            sentences.append(f"{share} of the {len(columns)} columns of modality {modality!r}: {shorten(absent, 3)}")
    text = f"X lacks columns that fit has seen: {'; '.join(sentences)}."
    if unknown:
        text += f" It has others, which may be misspelt: {shorten(unknown, 3)}. Rename these, or drop them."
    return f"{text} A modality may be absent as a whole where no column is unknown; of one, all columns are needed."


def name_with_modality(modality, feature):
    """Return ``<modality>__<feature>``, without repeating a prefix that is there; other columns keep their name."""
    if modality == "remainder" or belongs_to(feature, modality):
        return feature
    return column_name(modality, feature)


@dataclass(frozen=True)
class ColumnsOf:
    """Chooses the columns of a modality; picklable, for a ColumnTransformer."""

    modality: str

    def __call__(self, X):
        # A mask, because scikit-learn looks up each of a list of names among all names: seconds for 20,000 genes.
        chosen = np.array([belongs_to(name, self.modality) for name in X.columns])
        if not chosen.any():
            raise ValueError(
                f"X has no column of the modality {self.modality!r}: none is named "
                f"{column_name(self.modality, '<feature>')}. The modalities of X are "
                f"{list(columns_by_modality(X.columns))}."
            )
        return chosen
