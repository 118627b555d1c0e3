"""Transformers: choosing genes, changing tiles, preparing each modality."""

from ._bag_transformer import BagTransformer
from ._cox_selector import CoxElasticNetSelector
from ._minmax import MinMaxNormalizer
from ._modality_transformer import make_modality_transformer
from ._present_patients import PresentPatients

__all__ = [
    "BagTransformer",
    "CoxElasticNetSelector",
    "MinMaxNormalizer",
    "PresentPatients",
    "make_modality_transformer",
]
