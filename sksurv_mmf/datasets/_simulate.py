"""A simulated cohort with RNA, tile bags and known truth."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sksurv.util import Surv

from ..bags._array import BagArray
from ..bags._bag import Bag
from ..utils._sklearn import Interval, validate_params

INFORMATIVE_GENES = 10
GENES_PER_BLOCK = 10
GENE_CORRELATION = 0.3  # of two genes of a block
MARKER_SHIFT = 3.0  # how far witness tiles lie from the others; their projections have AUC Phi(3 / sqrt(2)) = 0.98
SIGNAL_SHIFT = 2.0  # of witness tiles, per unit of the image score
NUISANCE_SHIFT = 0.5  # of the other tiles, along the same direction but without meaning
TILE_SIZE = 512  # pixels
MOST_NUMBERS = 2 * 10**9  # in memory, 16 GB
WEIBULL_SHAPE = 1.5
WEIBULL_SCALE = 60.0  # months


@validate_params(
    {
        "n_patients": [Interval(Integral, 2, None, closed="left")],
        "n_genes": [Interval(Integral, 1, None, closed="left")],
        "n_informative_genes": [Interval(Integral, 1, None, closed="left"), None],
        "n_tiles": [tuple, Interval(Integral, 1, None, closed="left")],
        "n_tile_features": [Interval(Integral, 2, None, closed="left")],
        "witness_rate": [Interval(Real, 0, 1, closed="both")],
        "image_effect": [Interval(Real, None, None, closed="neither")],
        "rna_effect": [Interval(Real, None, None, closed="neither")],
        "interaction": [Interval(Real, None, None, closed="neither")],
        "censoring": [Interval(Real, 0, 1, closed="left")],
        "missing": [dict, Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_multimodal_survival(
    *,
    n_patients=200,
    n_genes=100,
    n_informative_genes=None,
    n_tiles=(20, 60),
    n_tile_features=32,
    witness_rate=0.2,
    image_effect=1.0,
    rna_effect=1.0,
    interaction=0.0,
    censoring=0.4,
    missing=0.0,
    random_state=None,
):
    r"""Simulate a cohort with RNA and bags of image tiles whose risk is known.

    Use it to ask whether a model finds what is there: the true risk, the genes that matter, the few tiles that carry
    the image signal, and the interaction of image and RNA that no model of a single modality can see.

    Parameters
    ----------
    n_patients : int, default=200
        Number of patients.

    n_genes : int, default=100
        Number of genes, standard normal, correlated (0.3) within blocks of ten.

    n_informative_genes : int, default=None
        Number of genes, chosen at random, that make up the RNA score; None is 10, or all if there are fewer. Their
        weights are equal in size and random in sign.

    n_tiles : tuple of (int, int) or int, default=(20, 60)
        Smallest and largest number of tiles of a patient (uniform in between), or the number for all.

    n_tile_features : int, default=32
        Number of features of a tile.

    witness_rate : float, default=0.2
        Share of a patient's tiles, at least one tile, that carry the image signal: one nest of neighbouring tiles.
        With 0 no tile carries it.

    image_effect : float, default=1.0
        Change in log hazard per standard deviation of the image score.

    rna_effect : float, default=1.0
        Change in log hazard per standard deviation of the RNA score.

    interaction : float, default=0.0
        Change in log hazard per unit of the product of both scores.

    censoring : float, default=0.4
        Share of censored patients, exact to one patient. Censoring is independent of everything else.

    missing : float or dict, default=0.0
        Share of patients who lack one of the modalities, half of them the bags and half the RNA; or the share per
        modality, as in ``{"wsi": 0.1, "rna": 0.3}``. Nobody lacks both.

    random_state : int, RandomState instance or None, default=None
        Seed. An int gives the same cohort at every call.

    Returns
    -------
    Bunch
        A dictionary with attributes:

        X : DataFrame of shape (n_patients, 1 + n_genes)
            Column ``wsi__tiles`` of dtype bag, with coordinates in pixels, and columns ``rna__G0000``, ...
        y : structured array of shape (n_patients,)
            Fields ``event`` and ``time`` (months).
        risk : Series of shape (n_patients,)
            The true log hazard ratio; also of patients who lack a modality.
        image_risk, rna_risk : Series of shape (n_patients,)
            The image score and the RNA score, both standard normal.
        coefficients : Series
            The effects ``image``, ``rna`` and ``interaction``.
        genes : list of str
            Columns of the informative genes.
        gene_weights : Series of shape (n_genes,)
            Weight of each gene in the RNA score, zero for the others.
        witness_tiles : Series of shape (n_patients,)
            One boolean array per patient that tells which of the tiles carry the signal; None without a bag.
        tile_directions : DataFrame of shape (2, n_tile_features)
            Unit vectors: ``marker``, along which witness tiles differ from the others, and ``signal``.

    Raises
    ------
    ValueError
        If the parameters contradict each other.

    Notes
    -----
    With image score :math:`z` and RNA score :math:`r`, the risk is
    :math:`\eta = a z + b r + c z r` and the time to the event is Weibull with hazard proportional to
    :math:`e^\eta` (shape 1.5, scale 60 months). With :math:`a = b = 0` the log hazard has mean zero given either score
    alone, so that only both together order the patients.

    Tiles are :math:`x = \varepsilon + 3 m + 2 z u` for witnesses and :math:`x = \varepsilon + 0.5 \nu u` for others:
    standard normal noise, marker direction :math:`m`, signal direction :math:`u`, and a nuisance :math:`\nu`
    of the patient, drawn from a standard normal distribution. The mean over all tiles therefore carries the score too,
    but blurred.

    Each part has its own random stream: changing the tiles leaves genes and outcome as they are, and changing effects
    or censoring leaves X as it is.

    Examples
    --------
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> cohort = make_multimodal_survival(n_patients=50, n_genes=20, random_state=0)
    >>> cohort.X.shape
    (50, 21)
    >>> cohort.X.dtypes["wsi__tiles"].name
    'bag'
    >>> int(cohort.y["event"].sum())
    30
    """
    if n_informative_genes is None:
        n_informative_genes = min(INFORMATIVE_GENES, n_genes)
    if n_informative_genes > n_genes:
        raise ValueError(f"n_informative_genes must be at most n_genes={n_genes}, got {n_informative_genes}.")
    n_tiles = _check_n_tiles(n_tiles)
    _check_size(n_patients, n_genes, n_tiles, n_tile_features)
    missing = _count_missing(missing, n_patients)
    streams = _random_streams(random_state, ["image", "rna", "tiles", "outcome", "missing"])
    patients = pd.Index([f"P{number:04d}" for number in range(1, n_patients + 1)], name="patient")

    image_risk = streams["image"].standard_normal(n_patients)
    genes, weights = _make_genes(streams["rna"], n_patients, n_genes, n_informative_genes)
    rna_risk = genes @ weights
    directions, bags, witnesses = _make_bags(streams["tiles"], image_risk, n_tiles, n_tile_features, witness_rate)

    risk = image_effect * image_risk + rna_effect * rna_risk + interaction * image_risk * rna_risk
    event, time = _make_outcome(streams["outcome"], risk, censoring)

    order = streams["missing"].permutation(n_patients)
    for patient in order[: missing["wsi"]]:
        bags[patient] = witnesses[patient] = None
    genes[order[missing["wsi"] : missing["wsi"] + missing["rna"]]] = np.nan

    columns = [f"rna__G{number:04d}" for number in range(n_genes)]
    tiles = pd.DataFrame({"wsi__tiles": BagArray(bags)}, index=patients)
    weights = pd.Series(weights, index=columns, name="gene_weights")
    return Bunch(
        X=pd.concat([tiles, pd.DataFrame(genes, index=patients, columns=columns)], axis=1),
        y=Surv.from_arrays(event, time),
        risk=pd.Series(risk, index=patients, name="risk"),
        image_risk=pd.Series(image_risk, index=patients, name="image_risk"),
        rna_risk=pd.Series(rna_risk, index=patients, name="rna_risk"),
        coefficients=pd.Series({"image": image_effect, "rna": rna_effect, "interaction": interaction}, dtype=float),
        genes=list(weights.index[weights != 0]),
        gene_weights=weights,
        witness_tiles=pd.Series(witnesses, index=patients, name="witness_tiles", dtype=object),
        tile_directions=pd.DataFrame(directions, index=["marker", "signal"]),
    )


def _random_streams(random_state, names):
    if random_state is not None and not isinstance(random_state, Integral):
        random_state = random_state.randint(np.iinfo(np.int32).max)
    seeds = np.random.SeedSequence(random_state).spawn(len(names))
    return {name: np.random.default_rng(seed) for name, seed in zip(names, seeds)}


def _check_n_tiles(n_tiles):
    pair = (n_tiles, n_tiles) if isinstance(n_tiles, Integral) else n_tiles
    if len(pair) != 2 or not all(isinstance(one, Integral) for one in pair) or not 1 <= pair[0] <= pair[1]:
        raise ValueError(
            f"n_tiles must be a number or a pair of whole numbers (low, high) with 1 <= low <= high, got {n_tiles}."
        )
    return pair


def _check_size(n_patients, n_genes, n_tiles, n_tile_features):
    """Refuse cohorts that no memory holds."""
    size = n_patients * (n_genes + n_tiles[1] * n_tile_features)
    if size > MOST_NUMBERS:
        raise ValueError(
            f"n_patients={n_patients}, n_genes={n_genes}, n_tiles={n_tiles} and n_tile_features={n_tile_features} make "
            f"up to {size:.3g} numbers, more than the {MOST_NUMBERS:.3g} that are simulated at most. Lower one of them."
        )


def _count_missing(missing, n_patients):
    if not isinstance(missing, dict):
        total = round(missing * n_patients)
        return {"wsi": total // 2, "rna": total - total // 2}
    counts = {"wsi": 0, "rna": 0}
    for name, share in missing.items():
        if name not in counts or not isinstance(share, Real) or not 0 <= share <= 1:
            raise ValueError(f"missing must give shares in [0, 1] for 'wsi' and 'rna', got {{{name!r}: {share!r}}}.")
        counts[name] = round(share * n_patients)
    if sum(counts.values()) > n_patients:
        raise ValueError(
            f"missing={missing} leaves patients without any modality; the shares must add up to 1 at most."
        )
    return counts


def _make_genes(rng, n_patients, n_genes, n_informative_genes):
    block = np.arange(n_genes) // GENES_PER_BLOCK
    shared = rng.standard_normal((n_patients, block[-1] + 1))[:, block]
    own = rng.standard_normal((n_patients, n_genes))
    genes = np.sqrt(GENE_CORRELATION) * shared + np.sqrt(1 - GENE_CORRELATION) * own

    informative = rng.choice(n_genes, n_informative_genes, replace=False)
    weights = np.zeros(n_genes)
    weights[informative] = rng.choice([-1.0, 1.0], n_informative_genes)
    block_sums = np.bincount(block, weights)
    # the variance of the score in the population, not in this sample: a patient's risk depends on no other patient
    variance = (1 - GENE_CORRELATION) * np.sum(weights**2) + GENE_CORRELATION * np.sum(block_sums**2)
    return genes, weights / np.sqrt(variance)


def _make_bags(rng, image_risk, n_tiles, n_tile_features, witness_rate):
    directions, _ = np.linalg.qr(rng.standard_normal((n_tile_features, 2)))
    marker, signal = directions.T
    bags, witnesses = [], []
    for score in image_risk:
        n = rng.integers(*n_tiles, endpoint=True)
        coords = _place_tiles(n)
        witness = _nest(rng, coords, witness_rate)
        nuisance = NUISANCE_SHIFT * rng.standard_normal()
        features = rng.standard_normal((n, n_tile_features))
        features[witness] += MARKER_SHIFT * marker + SIGNAL_SHIFT * score * signal
        features[~witness] += nuisance * signal
        bags.append(Bag(features, coords=coords))
        witnesses.append(witness)
    return directions.T, bags, witnesses


def _place_tiles(n):
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.arange(n), side)
    return TILE_SIZE * np.column_stack([column, row])


def _nest(rng, coords, witness_rate):
    centre = coords[rng.integers(len(coords))]
    size = max(1, round(witness_rate * len(coords))) if witness_rate else 0
    nearest = np.argsort(np.sum((coords - centre) ** 2, axis=1), kind="stable")
    return np.isin(np.arange(len(coords)), nearest[:size])


def _make_outcome(rng, risk, censoring):
    time = WEIBULL_SCALE * (rng.standard_exponential(len(risk)) / np.exp(risk)) ** (1 / WEIBULL_SHAPE)
    # Censoring times are uniform up to a common end; that end is where the wanted share of patients is censored.
    entry = 1 - rng.random(len(risk))
    end = np.quantile(time / entry, 1 - censoring)
    event = time / entry <= end
    return event, np.where(event, time, end * entry)
