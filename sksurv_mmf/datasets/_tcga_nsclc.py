"""Lung cancer of The Cancer Genome Atlas with slides, RNA, miRNA and clinical data."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from sklearn.utils import Bunch

from ..files._download import PublicFile, fetch_file, find_home
from ..utils._sklearn import StrOptions, validate_params
from ._local import assemble_cohort, describe_tiles, encode_clinical, find_cohort, read_bags, read_parquet

MODALITIES = ("wsi", "rna", "mirna", "clinical")
FILES = {"wsi": "hif_bags.npz", "rna": "rnaseq.parquet", "mirna": "mirna.parquet", "clinical": "clinical.csv"}

PREPARED = {
    "clinical.csv": "003c31297a254b6c875131eb9ca70e4e0f58cda3619b622db5cb2ceff2ad7c4c",
    "hif_bags.npz": "e0b29b5063d37c15140a1cf8c02a9d13d2d433e72c35f0a479477a41caeb74f1",
    "rnaseq.parquet": "6c4a3ed692c53c188805b2bfc5ea8105e9a1b04baa5d67c3398138d3cf11a053",
    "mirna.parquet": "4bef63342bba72f3e58c375184d96f107a2152508398138e757890233e5205c9",
}
SIZES = {"clinical.csv": 62_722, "hif_bags.npz": 1_538_246, "rnaseq.parquet": 7_145_305, "mirna.parquet": 3_067_677}
LICENCE = (
    "CC BY-SA 4.0 (human-interpretable features, Path-AI/hif2gene); GPL-3 (expression and clinical tables, "
    "mahmoodlab/PORPOISE and mahmoodlab/MCAT); GPL-2 (miRNA, RTCGA.miRNASeq); underlying TCGA data open access"
)
CITATION = (
    "Diao, J. A., Wang, J. K., Chui, W. F., et al. Human-interpretable image features derived from densely mapped "
    "cancer pathology slides predict diverse molecular phenotypes. Nature Communications 12, 1613 (2021). Chen, R. J., "
    "Lu, M. Y., Williamson, D. F. K., et al. Pan-cancer integrative histology-genomic analysis via multimodal deep "
    "learning. Cancer Cell 40(8), 865-878 (2022)."
)


@validate_params(
    {
        "data_home": [None, str, Path],
        "cohort": [StrOptions({"LUAD", "LUSC"})],
        "endpoint": [StrOptions({"os", "dss", "pfi"})],
        "modalities": ["array-like"],
        "base_url": [None, str],
    },
    prefer_skip_nested_validation=True,
)
def fetch_tcga_nsclc(
    data_home: str | os.PathLike | None = None,
    cohort: str = "LUAD",
    endpoint: str = "os",
    modalities: Sequence[str] = ("wsi", "rna", "clinical"),
    base_url: str | None = None,
) -> Bunch:
    """Download TCGA lung adenocarcinoma or squamous cell carcinoma with several modalities from a mirror.

    The files that the chosen modalities need (12 MB for all) are downloaded once and compared with a checksum; after
    that nothing is downloaded any more.

    There is no public address yet: the files are prepared from several public repositories, which keep their tables in
    formats of R and in archives, and nobody publishes the prepared ones. Name a mirror, or put the files into the
    folder by hand.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder for all cohorts, where a folder ``tcga_nsclc`` is made. None means the environment variable
        ``SKSURV_MMF_DATA``, or without it the cache of the operating system.
    cohort : {"LUAD", "LUSC"}, default="LUAD"
        Lung adenocarcinoma (434 patients with slides) or lung squamous cell carcinoma (405).
    endpoint : {"os", "dss", "pfi"}, default="os"
        Overall survival, disease-specific survival or progression-free interval.
    modalities : sequence of str, default=("wsi", "rna", "clinical")
        Any of "wsi", "rna", "mirna" and "clinical".
    base_url : str, default=None
        Address of a mirror that has ``tcga_nsclc/clinical.csv`` and so on. None means the environment variable
        ``SKSURV_MMF_DATA_URL``.

    Returns
    -------
    Bunch
        What :func:`load_tcga_nsclc` returns, and the attributes `licence` and `citation`.

    Raises
    ------
    FileNotFoundError
        If a file is absent and no mirror is named.
    ConnectionError
        If a file is absent and cannot be downloaded.
    ValueError
        If what is downloaded, or lies there, is not the file that is expected.
    ImportError
        If pooch or pyarrow is absent.

    See Also
    --------
    load_tcga_nsclc : Reads the files; tells what X, y and the other attributes are.

    Notes
    -----
    Licences: CC BY-SA 4.0 for the human-interpretable features (Path-AI/hif2gene), GPL-3 for the expression and
    clinical tables (mahmoodlab/PORPOISE, mahmoodlab/MCAT), GPL-2 for miRNA (RTCGA.miRNASeq); the underlying TCGA data
    are open access. Please cite [1]_ and [2]_.

    References
    ----------
    .. [1] Diao, J. A., Wang, J. K., Chui, W. F., et al. "Human-interpretable image features derived from densely mapped
           cancer pathology slides predict diverse molecular phenotypes." Nature Communications 12, 1613 (2021).
    .. [2] Chen, R. J., Lu, M. Y., Williamson, D. F. K., et al. "Pan-cancer integrative histology-genomic analysis via
           multimodal deep learning." Cancer Cell 40(8), 865-878 (2022).

    Examples
    --------
    >>> from sksurv_mmf.datasets import fetch_tcga_nsclc
    >>> cohort = fetch_tcga_nsclc(base_url="https://example.org/cohorts")  # doctest: +SKIP
    >>> cohort.X.shape[0]  # doctest: +SKIP
    434
    """
    modalities = check_modalities(modalities)
    folder = find_home(data_home) / "tcga_nsclc"
    for name in needed_files(modalities):
        fetch_file(PublicFile(name, PREPARED[name], n_bytes=SIZES[name]), folder, base_url)
    result = load_tcga_nsclc(folder.parent, cohort, endpoint, modalities)
    result.update(licence=LICENCE, citation=CITATION)
    return result


@validate_params(
    {
        "data_home": [None, str, Path],
        "cohort": [StrOptions({"LUAD", "LUSC"})],
        "endpoint": [StrOptions({"os", "dss", "pfi"})],
        "modalities": ["array-like"],
    },
    prefer_skip_nested_validation=True,
)
def load_tcga_nsclc(
    data_home: str | os.PathLike | None = None,
    cohort: str = "LUAD",
    endpoint: str = "os",
    modalities: Sequence[str] = ("wsi", "rna", "clinical"),
) -> Bunch:
    """Load TCGA lung adenocarcinoma or squamous cell carcinoma with several modalities.

    A real cohort in which patients lack modalities. Nothing is downloaded.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder that contains ``tcga_nsclc``, see Notes. None means the environment variable ``SKSURV_MMF_DATA``.

    cohort : {"LUAD", "LUSC"}, default="LUAD"
        Lung adenocarcinoma (434 patients with slides) or lung squamous cell carcinoma (405).

    endpoint : {"os", "dss", "pfi"}, default="os"
        Overall survival, disease-specific survival or progression-free interval.

    modalities : sequence of str, default=("wsi", "rna", "clinical")
        Any of "wsi", "rna", "mirna" and "clinical".

    Returns
    -------
    Bunch
        A dictionary with attributes:

        X : DataFrame
            One row per patient with a known outcome and at least one modality. ``wsi__tiles`` holds bags of 113
            human-interpretable features per tissue compartment of a slide, each in its own unit (to be scaled) and
            some NaN (not defined there: to be imputed, or to be ignored, see ``handle_missing`` of ``BagPooling`` and
            ``baselines``); ``rna__<gene>`` z-scores with heavy tails; ``mirna__<name>`` reads per million;
            ``clinical__age`` in years, ``clinical__sex`` 1 male, 0 female, ``clinical__stage`` 1 to 4. A few ages and
            stages are NaN, to be imputed.
        y : structured array
            Fields ``event`` and ``time`` (days).
        modalities : dict
            The columns of each modality.
        excluded : Series
            Reason for each patient of a modality's table who is not in X. Patients of the other cohort are not listed;
            patients of whom the clinical table knows nothing belong to no cohort and are.
        dropped_columns : list of str
            Columns without a value in this cohort, not in X.
        tile_feature_names : list of str
            Names of the features of an instance; ``{R}`` stands for its region.
        tiles : DataFrame
            Region and slide of each instance, indexed by patient and tile. The last two only with "wsi".

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is absent.
    ImportError
        If pyarrow is absent.

    See Also
    --------
    fetch_tcga_nsclc : Downloads the files first.

    Notes
    -----
    The folder holds ``clinical.csv`` (index ``patient``; ``cohort``, ``age``, ``sex``, ``stage``, and an indicator
    ``os`` and days ``os_time`` per endpoint), ``hif_bags.npz`` (arrays ``patient``, ``offsets``, ``features``,
    ``feature_name``, ``region``, ``slide``; patient ``i`` owns the rows ``offsets[i]:offsets[i + 1]``),
    ``rnaseq.parquet`` and ``mirna.parquet`` (patients x features). The features were published with [1]_, the
    expression tables with [2]_.

    References
    ----------
    .. [1] Diao, J. A., Wang, J. K., Chui, W. F., et al. "Human-interpretable image features derived from densely mapped
           cancer pathology slides predict diverse molecular phenotypes." Nature Communications 12, 1613 (2021).
    .. [2] Chen, R. J., Lu, M. Y., Williamson, D. F. K., et al. "Pan-cancer integrative histology-genomic analysis via
           multimodal deep learning." Cancer Cell 40(8), 865-878 (2022).

    Examples
    --------
    >>> from sksurv_mmf.datasets import load_tcga_nsclc
    >>> load_tcga_nsclc("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere/tcga_nsclc lacks ...
    """
    modalities = check_modalities(modalities)
    path = find_cohort(data_home, "tcga_nsclc", needed_files(modalities))

    clinical = pd.read_csv(path / "clinical.csv", index_col="patient")
    own = clinical.index[clinical["cohort"] == cohort]
    blocks, extras = {}, {}
    for name in modalities:
        if name == "wsi":
            blocks[name], arrays = read_bags(path / FILES[name])
            tiles = describe_tiles(blocks[name].index, arrays, ["region", "slide"])
            extras["tile_feature_names"] = arrays["feature_name"].tolist()
        elif name == "clinical":
            blocks[name] = encode_clinical(clinical.loc[own], sexes={"MALE": 1.0, "FEMALE": 0.0})
        else:
            blocks[name] = read_parquet(path / FILES[name])

    other = clinical.index.difference(own)
    candidates = own
    for block in blocks.values():
        candidates = candidates.union(block.index.difference(other))
    result = assemble_cohort(
        blocks, clinical.loc[own, endpoint], clinical.loc[own, f"{endpoint}_time"], candidates.rename("patient")
    )
    if "wsi" in blocks:
        extras["tiles"] = tiles[tiles.index.get_level_values("patient").isin(result.X.index)]
    result.update(extras)
    return result


def check_modalities(modalities):
    """The names as a list, after refusing unknown and repeated ones."""
    modalities = list(modalities)
    unknown = [name for name in modalities if name not in MODALITIES]
    if unknown or not modalities or len(set(modalities)) < len(modalities):
        raise ValueError(f"modalities must be different names among {list(MODALITIES)}, got {modalities}.")
    return modalities


def needed_files(modalities):
    """Names of the files that modalities are in; the clinical table has the outcomes and is always among them."""
    return ["clinical.csv", *(FILES[name] for name in modalities if name != "clinical")]
