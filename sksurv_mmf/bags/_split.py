"""One column of bags for each kind of instance, such as a tissue compartment."""

import numpy as np
import pandas as pd

from ..utils._validation import shorten
from ._array import BagArray, BagDtype
from ._bag import Bag


def split_bags(bags: pd.Series, names: pd.Series) -> pd.DataFrame:
    """Divide each bag by the names of its instances.

    Use it where instances have names, such as tissue compartments, and a model for plain tables is to see each by
    itself: a mean over cancer and stroma says what neither is like. :class:`~sksurv_mmf.preprocessing.BagPooling` pools
    each column that comes out.

    Parameters
    ----------
    bags : Series of dtype "bag"
        A bag for each patient. Those in files are read, and stay in memory.
    names : Series of str, indexed by patient and tile
        The name of each instance, in the order of the tiles of her bag. Of other patients, names are not looked at.

    Returns
    -------
    DataFrame of shape (n_patients, n_names)
        A column of bags for each name, in the order in which names first appear; NA where a patient has no such
        instance. As a modality of :func:`~sksurv_mmf.join_modalities` they stand side by side, for pooling. A network
        reads one column of bags per modality: make each of them a modality of its own.

    Raises
    ------
    TypeError
        If `bags` is no Series of bags, or `names` no Series with patient and tile in its index.
    ValueError
        If a patient has another number of names than of instances, or if a name is missing.

    See Also
    --------
    sksurv_mmf.datasets.load_tcga_nsclc : Has the regions of its instances, ``cohort.tiles["region"]``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import split_bags
    >>> bags = pd.Series([np.eye(3), np.ones((1, 3))], index=["Ann", "Bea"], dtype="bag")
    >>> index = pd.MultiIndex.from_tuples([("Ann", 0), ("Ann", 1), ("Ann", 2), ("Bea", 0)])
    >>> split_bags(bags, pd.Series(["cancer", "stroma", "cancer", "stroma"], index))
                                cancer                      stroma
    Ann  Bag(2 tiles x 3 features)   Bag(1 tiles x 3 features)
    Bea                        <NA>  Bag(1 tiles x 3 features)
    """
    if not isinstance(bags, pd.Series) or not isinstance(bags.dtype, BagDtype):
        raise TypeError(f"bags must be a Series of dtype 'bag', got a {type(bags).__name__}.")
    if not isinstance(names, pd.Series) or names.index.nlevels != 2:
        raise TypeError("names must be a Series of texts whose index has two levels, patient and tile.")
    of_patient = dict(list(names.groupby(level=0, sort=False)))
    _check_names(bags, of_patient)
    kinds = list(dict.fromkeys(name for patient in bags.index[bags.notna()] for name in of_patient[patient]))
    columns = {kind: [_part(bags[i], of_patient.get(i), kind) for i in bags.index] for kind in kinds}
    return pd.DataFrame({kind: BagArray(parts) for kind, parts in columns.items()}, index=bags.index)


def _check_names(bags, of_patient):
    if bags.index.has_duplicates:
        raise ValueError(f"Patients {shorten(bags.index[bags.index.duplicated()], 2)} have several bags in `bags`.")
    for patient, bag in bags[bags.notna()].items():
        own = of_patient.get(patient, ())
        if len(own) != bag.n_tiles:
            raise ValueError(f"Patient {patient!r} has {bag.n_tiles} instances and {len(own)} names in `names`.")
        if not all(isinstance(one, str) for one in own):
            raise ValueError(f"Patient {patient!r} has instances without a name, or with one that is no text.")


def _part(bag, names, kind):
    if bag is pd.NA or not (chosen := (names == kind).to_numpy()).any():
        return pd.NA
    coords = None if bag.coords is None else bag.coords[chosen]
    slides = None
    if bag.slides is not None:
        of = np.repeat(list(bag.slides), list(bag.slides.values()))[chosen]
        slides = {slide: int((of == slide).sum()) for slide in bag.slides if (of == slide).any()}
    return Bag(bag.features[chosen], coords, bag.source, slides, bag.coord_unit, bag.tiling)
