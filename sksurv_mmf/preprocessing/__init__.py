"""Transformers: choosing genes, changing and summarising tiles, preparing each modality, filling in missing ones."""

from ._bag_pooling import BagPooling
from ._bag_transformer import BagTransformer
from ._cox_selector import CoxElasticNetSelector
from ._minmax import MinMaxNormalizer
from ._modality_imputer import ModalityImputer
from ._modality_transformer import make_modality_transformer
from ._present_patients import PresentPatients

__all__ = [
    "BagPooling",
    "BagTransformer",
    "CoxElasticNetSelector",
    "MinMaxNormalizer",
    "ModalityImputer",
    "PresentPatients",
    "make_modality_transformer",
]
