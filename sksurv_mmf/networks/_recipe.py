"""How a network is made: from parts that are recipes themselves, and from the patients who teach it."""

from dataclasses import dataclass, replace

import torch
from sklearn.base import clone
from torch import nn

from ..fusions._base import Fusion
from ..objectives._base import Objective
from ..patients._modality import Modality
from ..patients._patients import Patients
from ._embeddings import READERS
from ._modality_encoder import ModalityEncoder, Standardize
from ._network import FusionNetwork, noise_scales


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """What decides the network; the parameters of the same names of `FusionSurvivalAnalysis`.

    Attributes
    ----------
    modalities : list of Modality
        What is read, and by which encoders.
    fusion : Fusion
        What makes one vector of theirs.
    embedding_dim, standardize, normalization, input_noise, modality_dropout, fair_inputs, zero_start, precision
        As in `FusionSurvivalAnalysis`.
    """

    modalities: list[Modality]
    fusion: Fusion
    embedding_dim: int
    standardize: bool
    normalization: str | None
    input_noise: float | dict[str, float]
    modality_dropout: float
    fair_inputs: bool
    zero_start: bool
    precision: str


def fit_network(
    recipe: NetworkRecipe, objective: Objective, patients: Patients
) -> tuple[FusionNetwork, list[Modality]]:
    """Make the untrained network; encoders and standardisation learn from `patients` what they must know beforehand.

    Returns the network and the modalities with their fitted encoders; the recipe's own stay as they are.
    """
    modalities, encoders = [], []
    for m, modality in enumerate(recipe.modalities):
        inputs = patients.inputs(m)
        encoder = clone(modality.encoder).fit(inputs, modality.feature_names)
        modalities.append(replace(modality, encoder=encoder))
        encoders.append(build_encoder(recipe, modalities[m], inputs))
    return assemble(recipe, encoders, objective), modalities


def empty_network(recipe: NetworkRecipe, objective: Objective) -> FusionNetwork:
    """Make a network of encoders that are fitted already, for weights that are there already."""
    # The zeros have the right width, and saved values replace what is made of them.
    encoders = [build_encoder(recipe, one, torch.zeros(1, one.n_features)) for one in recipe.modalities]
    return assemble(recipe, encoders, objective)


def build_encoder(recipe: NetworkRecipe, modality: Modality, inputs) -> ModalityEncoder:
    """The untrained encoder of a modality, and the standardisation of its `inputs`."""
    # Tiles keep their scale: one extractor made them all, and means would need a pass over the whole cohort.
    standardize = Standardize(inputs) if recipe.standardize and not modality.is_bag else None
    module = modality.encoder.build(modality.n_features, recipe.embedding_dim)
    if recipe.fair_inputs:
        call_all(module, "make_fair")
    for part in module.modules():
        if hasattr(part, "multiply_in"):
            part.multiply_in(recipe.precision)
    return ModalityEncoder(standardize, module)


def call_all(network: nn.Module, method: str) -> None:
    """Call a method of all parts of a network that have it, of a part before that of what contains it."""
    for part in reversed(list(network.modules())):
        if hasattr(part, method):
            getattr(part, method)()


def assemble(recipe: NetworkRecipe, encoders: list[ModalityEncoder], objective: Objective) -> FusionNetwork:
    """The network of these encoders, whose outputs start where the objective says."""
    if recipe.fusion.reads not in READERS:
        kind = type(recipe.fusion).__name__
        raise ValueError(f"{kind}.reads must be {' or '.join(map(repr, READERS))}, got {recipe.fusion.reads!r}.")
    names = [modality.name for modality in recipe.modalities]
    fusion = recipe.fusion.build(
        {name: encoder.out_dim for name, encoder in zip(names, encoders)},
        bags=[modality.name for modality in recipe.modalities if modality.is_bag],
    )
    network = FusionNetwork(
        encoders,
        fusion,
        objective.n_outputs_,
        initial_outputs=objective.initial_outputs_,
        proportional=objective.proportional,
        reads=recipe.fusion.reads,
        input_noise=noise_scales(recipe.input_noise, names),
        normalization=recipe.normalization,
        modality_dropout=recipe.modality_dropout,
    )
    if recipe.zero_start:
        nn.init.zeros_(network.head.weight)
        call_all(network, "start_evenly")
    return network
