"""Cohorts: simulated ones with known truth, and real ones; folds that others have published."""

from ..model_selection._published_splits import PublishedSplits, read_survival_splits, write_survival_splits
from ._breast_cancer import load_breast_cancer_cohort
from ._lung_mif import fetch_lung_mif, load_lung_mif
from ._portal_files import write_portal_files
from ._simulate import make_multimodal_survival
from ._tcga_nsclc import fetch_tcga_nsclc, load_tcga_nsclc

__all__ = [
    "PublishedSplits",
    "fetch_lung_mif",
    "fetch_tcga_nsclc",
    "load_breast_cancer_cohort",
    "load_lung_mif",
    "load_tcga_nsclc",
    "make_multimodal_survival",
    "read_survival_splits",
    "write_portal_files",
    "write_survival_splits",
]
