"""A simulated cohort with RNA, tile bags and known truth."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sksurv.util import Surv

from ..bags._array import BagArray
from ..bags._bag import Bag
from ..utils._sklearn import Interval, StrOptions, validate_params

INFORMATIVE_GENES = 10
GENES_PER_BLOCK = 10
GENE_CORRELATION = 0.3  # of two genes of a block
MARKER_SHIFT = 3.0  # how far witness tiles lie from the others; their projections have AUC Phi(3 / sqrt(2)) = 0.98
SIGNAL_SHIFT = 2.0  # of witness tiles, per unit of the image score
NUISANCE_SHIFT = 0.5  # of the other tiles, along the same direction but without meaning
TILE_SIZE = 512  # pixels
INFORMATIVE_FEATURES = 4  # of an image that is a table
NOISE_SCALE = 2.0  # standard deviation of what replaces the values of a corrupted modality
N_QUALITY = 3  # quality features of a modality
QUALITY_SHIFT = 2.0  # of these, where the modality is corrupted
MOST_NUMBERS = 2 * 10**9  # in memory, 16 GB
WEIBULL_SHAPE = 1.5
WEIBULL_SCALE = 60.0  # months
STREAMS = ["image", "rna", "tiles", "outcome", "missing", "corrupted", "corrupted rna", "corrupted tiles"]


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
        "corrupted": [dict, Interval(Real, 0, 1, closed="both")],
        "image_as": [StrOptions({"tiles", "table"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_multimodal_survival(
    *,
    n_patients: int = 200,
    n_genes: int = 100,
    n_informative_genes: int | None = None,
    n_tiles=(20, 60),
    n_tile_features: int = 32,
    witness_rate: float = 0.2,
    image_effect: float = 1.0,
    rna_effect: float = 1.0,
    interaction: float = 0.0,
    censoring: float = 0.4,
    missing=0.0,
    corrupted=0.0,
    image_as: str = "tiles",
    random_state=None,
) -> Bunch:
    r"""Simulate a cohort with RNA and bags of image tiles whose risk is known.

    Use it to ask whether a model finds what is there: the true risk, the genes that matter, the few tiles that carry
    the image signal, the interaction of image and RNA that no model of a single modality can see, and in which patients
    one of the two is not to be trusted.

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
        Number of features of a tile, or of the image if it is a table; quality features come on top.

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

    corrupted : float or dict, default=0.0
        Share of patients in whom one of the modalities is uninformative and shows it, as an out-of-focus slide or
        degraded RNA does: half of them, to one patient, the image and half the RNA; or the share per modality, as for
        `missing`. Its values are noise of twice the usual size, and three quality features, which all patients have as
        soon as a share is above 0, are shifted by two standard deviations. Everyone keeps one modality that tells
        something: only patients who have both are corrupted, and never in both.

    image_as : {"tiles", "table"}, default="tiles"
        What the image is: a bag of tiles, or `n_tile_features` numbers per patient, standard normal, of which four
        chosen at random (all, if there are fewer) make up the image score, with equal weights of random sign. Use the
        table to study fusions without the encoding of tiles.

    random_state : int, RandomState instance or None, default=None
        Seed. An int gives the same cohort at every call.

    Returns
    -------
    Bunch
        A dictionary with attributes:

        X : DataFrame of shape (n_patients, n_columns)
            Column ``wsi__tiles`` of dtype bag, with coordinates in pixels, or of a table ``wsi__F0000``, ..., and
            columns ``rna__G0000``, .... With `corrupted` there are quality features, too: the last three of each tile,
            or columns ``wsi__Q0`` to ``wsi__Q2``, and columns ``rna__Q0`` to ``rna__Q2``.
        y : structured array of shape (n_patients,)
            Fields ``event`` and ``time`` (months).
        risk : Series of shape (n_patients,)
            The true log hazard ratio; also of patients who lack a modality or have a corrupted one.
        known_risk : Series of shape (n_patients,)
            The expected log hazard ratio given the scores of the informative modalities, the other score being
            replaced by its mean, 0. No prediction is expected to order patients better, so its C-index is the ceiling.
        image_risk, rna_risk : Series of shape (n_patients,)
            The image score and the RNA score, both standard normal.
        coefficients : Series
            The effects ``image``, ``rna`` and ``interaction``.
        genes : list of str
            Columns of the informative genes.
        gene_weights : Series of shape (n_genes,)
            Weight of each gene in the RNA score, zero for the others.
        witness_tiles : Series of shape (n_patients,)
            One boolean array per patient that tells which of the tiles carry the signal: none of a corrupted image.
            None without a bag.
        tile_directions : DataFrame of shape (n_directions, n_features)
            Unit vectors in the space of the tile's features: ``marker``, along which witness tiles differ from the
            others, and ``signal``. Of a table only ``signal``, the weights of its columns in the image score.
        corrupted : Series of shape (n_patients,)
            The corrupted modality, "wsi" or "rna"; None if there is none.
        informative : DataFrame of shape (n_patients, 2)
            Whether the modalities ``wsi`` and ``rna`` are there and intact: what a model should attend to.

    Raises
    ------
    ValueError
        If the parameters contradict each other, or leave a patient without an informative modality.

    See Also
    --------
    sksurv_mmf.inspection.ModalityAttentionDisplay : Shows the attention that `informative` is to be compared with.

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

    All values of a corrupted modality are independent normal numbers with standard deviation 2, whatever the patient's
    score: tiles have neither marker nor signal nor nuisance, and genes no blocks. Quality features are standard normal
    in intact modalities and have mean 2 in corrupted ones, each tile's drawn anew. The outcome follows the
    scores that were measured badly. Because a score's distribution is symmetric about 0, of two patients the one with
    the higher `known_risk` is more likely to die first, whatever is corrupted or missing. From tiles a score can be
    read only approximately, so that a model of bags stays below this ceiling.

    Each part has its own random stream: changing the tiles leaves genes and outcome as they are, changing effects
    or censoring leaves X as it is, and corruption changes what is corrupted alone.

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

    Two tables, one of them useless in two of five patients:

    >>> tables = {"n_genes": 20, "n_informative_genes": 4, "n_tile_features": 20, "image_as": "table"}
    >>> cohort = make_multimodal_survival(n_patients=50, corrupted=0.4, **tables, random_state=0)
    >>> cohort.X.shape
    (50, 46)
    >>> cohort.corrupted.value_counts().to_dict()
    {'wsi': 10, 'rna': 10}
    """
    n_tiles = _check_n_tiles(n_tiles)
    n_informative_genes = _check_n_informative_genes(n_informative_genes, n_genes)
    _check_size(n_patients, n_genes, n_tiles, n_tile_features)
    streams = _random_streams(random_state, STREAMS)
    lacks, damaged = _choose_patients(streams["missing"], streams["corrupted"], n_patients, missing, corrupted)
    informative = ~(lacks | damaged)
    n_quality = N_QUALITY if _total(corrupted) > 0 else 0

    image_risk = streams["image"].standard_normal(n_patients)
    genes, weights = _make_genes(streams["rna"], n_patients, n_genes, n_informative_genes)
    make_image = _make_table if image_as == "table" else partial(_make_bags, n_tiles=n_tiles, witness_rate=witness_rate)
    image, directions, witnesses = make_image(streams["tiles"], image_risk, n_tile_features)
    rna = _measure(streams["corrupted rna"], genes, "rna__G", lacks["rna"], damaged["rna"], n_quality)
    wsi = _measure(streams["corrupted tiles"], image, "wsi__F", lacks["wsi"], damaged["wsi"], n_quality)

    scores = pd.DataFrame({"wsi": image_risk, "rna": genes @ weights}, index=lacks.index)
    effects = pd.Series({"image": image_effect, "rna": rna_effect, "interaction": interaction}, dtype=float)
    risk = _log_hazard(effects, scores)
    event, time = _make_outcome(streams["outcome"], risk.to_numpy(), censoring)
    weights = pd.Series(weights, index=rna.columns[:n_genes], name="gene_weights")
    return Bunch(
        X=pd.concat([wsi, rna], axis=1),
        y=Surv.from_arrays(event, time),
        risk=risk.rename("risk"),
        known_risk=_log_hazard(effects, scores * informative).rename("known_risk"),
        image_risk=scores["wsi"].rename("image_risk"),
        rna_risk=scores["rna"].rename("rna_risk"),
        coefficients=effects,
        genes=list(weights.index[weights != 0]),
        gene_weights=weights,
        witness_tiles=_see(witnesses, lacks["wsi"], damaged["wsi"]),
        tile_directions=directions.reindex(columns=range(n_tile_features + n_quality), fill_value=0.0),
        corrupted=_name_corrupted(damaged),
        informative=informative,
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


def _check_n_informative_genes(n_informative_genes, n_genes):
    if n_informative_genes is None:
        return min(INFORMATIVE_GENES, n_genes)
    if n_informative_genes > n_genes:
        raise ValueError(f"n_informative_genes must be at most n_genes={n_genes}, got {n_informative_genes}.")
    return n_informative_genes


def _check_size(n_patients, n_genes, n_tiles, n_tile_features):
    """Refuse cohorts that no memory holds."""
    size = n_patients * (n_genes + n_tiles[1] * n_tile_features)
    if size > MOST_NUMBERS:
        raise ValueError(
            f"n_patients={n_patients}, n_genes={n_genes}, n_tiles={n_tiles} and n_tile_features={n_tile_features} make "
            f"up to {size:.3g} numbers, more than the {MOST_NUMBERS:.3g} that are simulated at most. Lower one of them."
        )


def _choose_patients(missing_rng, corrupted_rng, n_patients, missing, corrupted):
    """Who lacks, and in whom is corrupted, which modality: two boolean tables, which overlap nowhere."""
    n_missing = _count("missing", missing, n_patients)
    n_corrupted = _count("corrupted", corrupted, n_patients)
    if sum(n_missing.values()) > n_patients:
        raise ValueError(
            f"missing={missing} leaves patients without any modality; the shares must add up to 1 at most."
        )
    if _total(missing) + _total(corrupted) > 1 + 1e-9:  # 0.1 + 0.34 + 0.56 is a little more than 1
        raise ValueError(
            f"missing={missing} and corrupted={corrupted} leave patients without an intact modality; "
            "the shares of both must add up to 1 at most."
        )
    order = missing_rng.permutation(n_patients)
    lacking = {"wsi": order[: n_missing["wsi"]], "rna": order[n_missing["wsi"] : sum(n_missing.values())]}
    order = corrupted_rng.permutation(n_patients)
    order = order[~np.isin(order, np.concatenate(list(lacking.values())))]
    # from both ends, so that a higher share corrupts the same patients and more
    damaged = {"wsi": order[: n_corrupted["wsi"]], "rna": order[n_corrupted["wsi"] :][::-1][: n_corrupted["rna"]]}
    patients = pd.Index([f"P{number:04d}" for number in range(1, n_patients + 1)], name="patient")
    return _as_masks(lacking, patients), _as_masks(damaged, patients)


def _as_masks(rows, patients):
    return pd.DataFrame({name: np.isin(np.arange(len(patients)), own) for name, own in rows.items()}, index=patients)


def _count(argument, shares, n_patients):
    """Number of patients per modality."""
    if not isinstance(shares, dict):
        total = round(shares * n_patients)
        return {"wsi": total // 2, "rna": total - total // 2}
    counts = {"wsi": 0, "rna": 0}
    for name, share in shares.items():
        if name not in counts or not isinstance(share, Real) or not 0 <= share <= 1:
            raise ValueError(f"{argument} must give shares in [0, 1] for 'wsi' and 'rna', got {{{name!r}: {share!r}}}.")
        counts[name] = round(share * n_patients)
    return counts


def _total(shares):
    return sum(shares.values()) if isinstance(shares, dict) else shares


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


def _make_table(rng, image_risk, n_features):
    """Standard normal columns of which the signal direction makes the image score."""
    informative = rng.choice(n_features, min(INFORMATIVE_FEATURES, n_features), replace=False)
    signal = np.zeros(n_features)
    signal[informative] = rng.choice([-1.0, 1.0], len(informative)) / np.sqrt(len(informative))
    features = rng.standard_normal((len(image_risk), n_features))
    features += np.outer(image_risk - features @ signal, signal)
    return features, pd.DataFrame([signal], index=["signal"]), [None] * len(image_risk)


def _make_bags(rng, image_risk, n_tile_features, n_tiles, witness_rate):
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
    return bags, pd.DataFrame(directions.T, index=["marker", "signal"]), witnesses


def _place_tiles(n):
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.arange(n), side)
    return TILE_SIZE * np.column_stack([column, row])


def _nest(rng, coords, witness_rate):
    centre = coords[rng.integers(len(coords))]
    size = max(1, round(witness_rate * len(coords))) if witness_rate else 0
    nearest = np.argsort(np.sum((coords - centre) ** 2, axis=1), kind="stable")
    return np.isin(np.arange(len(coords)), nearest[:size])


def _measure(rng, values, prefix, lacks, damaged, n_quality):
    """The columns of a modality, given its true values, a matrix or a list of bags."""
    if isinstance(values, list):
        bags = [Bag(_corrupt(rng, bag.features, bad, n_quality), bag.coords) for bag, bad in zip(values, damaged)]
        tiles = BagArray([None if gone else bag for bag, gone in zip(bags, lacks)])
        return pd.DataFrame({"wsi__tiles": tiles}, index=lacks.index)
    names = [f"{prefix}{number:04d}" for number in range(values.shape[1])]
    names += [f"{prefix[:-1]}Q{number}" for number in range(n_quality)]
    measured = np.where(lacks.to_numpy()[:, None], np.nan, _corrupt(rng, values, damaged, n_quality))
    return pd.DataFrame(measured, index=lacks.index, columns=names)


def _corrupt(rng, values, damaged, n_quality):
    """Noise in place of the damaged values, and quality features that show it as further columns."""
    if n_quality == 0:
        return values
    damaged = np.reshape(damaged, (-1, 1))
    noise = NOISE_SCALE * rng.standard_normal(values.shape)
    quality = QUALITY_SHIFT * damaged + rng.standard_normal((len(values), n_quality))
    return np.hstack([np.where(damaged, noise, values), quality])


def _see(witnesses, lacks, damaged):
    """The tiles that still carry the signal."""
    seen = [None if gone or own is None else own & (not bad) for own, gone, bad in zip(witnesses, lacks, damaged)]
    return pd.Series(seen, index=lacks.index, name="witness_tiles", dtype=object)


def _name_corrupted(damaged):
    names = [next((name for name in damaged if row[name]), None) for row in damaged.to_dict("records")]
    return pd.Series(names, index=damaged.index, name="corrupted", dtype=object)


def _log_hazard(effects, scores):
    z, r = scores["wsi"], scores["rna"]
    return effects["image"] * z + effects["rna"] * r + effects["interaction"] * z * r


def _make_outcome(rng, risk, censoring):
    time = WEIBULL_SCALE * (rng.standard_exponential(len(risk)) / np.exp(risk)) ** (1 / WEIBULL_SHAPE)
    # Censoring times are uniform up to a common end; that end is where the wanted share of patients is censored.
    entry = 1 - rng.random(len(risk))
    end = np.quantile(time / entry, 1 - censoring)
    event = time / entry <= end
    return event, np.where(event, time, end * entry)
