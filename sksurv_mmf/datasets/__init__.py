"""Cohorts: simulated ones with known truth, and real ones."""

from ._breast_cancer import load_breast_cancer_cohort
from ._lung_mif import load_lung_mif
from ._simulate import make_multimodal_survival
from ._tcga_nsclc import load_tcga_nsclc

__all__ = ["load_breast_cancer_cohort", "load_lung_mif", "load_tcga_nsclc", "make_multimodal_survival"]
