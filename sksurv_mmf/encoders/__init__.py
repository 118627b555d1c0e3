"""From one modality to one vector, or several tokens, per patient."""

from ._attention_mil import AttentionMIL
from ._base import Encoder
from ._deep_attn_misl import DeepAttnMISL
from ._gene_sets import read_gene_sets
from ._identity import Identity
from ._mlp import MLP
from ._pathways import PathwaySNN
from ._pooled_mil import MaxMIL, MeanMIL
from ._snn import SNN
from ._tile_tokens import TileTokens
from ._transformer_mil import TransformerMIL

__all__ = [
    "MLP",
    "SNN",
    "AttentionMIL",
    "DeepAttnMISL",
    "Encoder",
    "Identity",
    "MaxMIL",
    "MeanMIL",
    "PathwaySNN",
    "TileTokens",
    "TransformerMIL",
    "read_gene_sets",
]
