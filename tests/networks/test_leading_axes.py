"""A pair of batches, stacked in front of the patients, gives what the two give one by one."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sksurv_mmf.bags import PackedBags
from sksurv_mmf.encoders import (
    MLP,
    SNN,
    AttentionMIL,
    DeepAttnMISL,
    Identity,
    MaxMIL,
    MeanMIL,
    PathwaySNN,
    TileTokens,
    TransformerMIL,
)
from sksurv_mmf.fusions import (
    Bilinear,
    CoAttention,
    Concat,
    CrossModalAttention,
    GatedAttention,
    Mean,
    SurvPath,
)
from sksurv_mmf.layers._normalization import NORMALIZATIONS
from sksurv_mmf.layers._segments import (
    for_each_row,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_weighted_sum,
)
from sksurv_mmf.networks._embeddings import drop_modalities, hide, normalize, rows_of, spread
from sksurv_mmf.networks._modality_encoder import ModalityEncoder, Standardize
from sksurv_mmf.networks._network import FusionNetwork
from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Weibull
from sksurv_mmf.patients._batch import Batch

LENGTHS = (2, 1, 4)
PRESENT = torch.tensor([[[True, True], [False, True], [True, False]], [[True, False], [True, True], [True, True]]])

GENES = ["a", "b", "c", "d", "e"]
VECTOR_ENCODERS = [
    Identity(),
    MLP(6),
    SNN(6),
    PathwaySNN({"one": ["a", "b"], "two": ["c", "d", "e"], "three": ["a", "e"]}, hidden_dim=4, min_genes=2),
]
BAG_ENCODERS = [
    AttentionMIL(6, 4),
    AttentionMIL(6, 4, gated=False),
    DeepAttnMISL(3, hidden_dim=6, attention_dim=4),
    MaxMIL(6),
    MeanMIL(6),
    TileTokens("relu"),
    TransformerMIL(8, n_heads=2, n_inducing=3),
]
VECTOR_FUSIONS = [
    Bilinear(),
    Bilinear(rank=4),
    Concat(6),
    CrossModalAttention(),
    CrossModalAttention(shared=False),
    CrossModalAttention(normalize=False),
    GatedAttention(),
    Mean(),
    Mean(similarity=0.3),
]
TOKEN_FUSIONS = [
    CoAttention(n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=6),
    CoAttention(["wsi"], n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=6),
    SurvPath(n_heads=2, hidden_dim=6),
]


def each(parts):
    return [pytest.param(part, id=repr(part)) for part in parts]


def random_numbers(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def take(inputs, i):
    """The i-th of stacked inputs; whatever is no tensor belongs to both."""
    if isinstance(inputs, list | tuple):
        return type(inputs)(take(one, i) for one in inputs)
    if isinstance(inputs, PackedBags):
        return inputs.with_values(inputs.values[i])
    return inputs[i] if torch.is_tensor(inputs) else inputs


def assert_pair(function, *inputs):
    """The function of the pair is the pair of its results."""
    together, alone = function(*inputs), [function(*take(inputs, i)) for i in range(2)]
    compare(together, alone)


def compare(together, alone):
    if isinstance(together, list | tuple):
        for parts in zip(together, zip(*alone), strict=True):
            compare(*parts)
    elif isinstance(together, PackedBags):
        assert all(one.lengths == together.lengths for one in alone)
        compare(together.values, [one.values for one in alone])
    elif together is None:
        assert list(alone) == [None, None]
    else:
        assert_close(together, torch.stack(list(alone)), rtol=1e-9, atol=1e-11)


def random_bags(dim=5, seed=0, lengths=LENGTHS):
    return PackedBags(random_numbers(2, sum(lengths), dim, seed=seed), lengths)


def encode(encoder, inputs):
    """The encoder's module in float64, without dropout."""
    torch.manual_seed(0)
    names = [] if encoder.reads == "bag" else GENES
    return encoder.fit(inputs, names).build(5, 8).double().eval()


@pytest.mark.parametrize("lengths", [LENGTHS, (sum(LENGTHS),)], ids=["several", "one"])
def test_segments(lengths):
    scores, values = random_numbers(2, 7), random_numbers(2, 7, 3)
    assert_pair(lambda one: segment_softmax(one, lengths), scores)
    assert_pair(lambda one, other: segment_weighted_sum(one, other, lengths), scores, values)
    assert_pair(lambda one: segment_mean(one, lengths), values)
    assert_pair(lambda one: segment_max(one, lengths), values)
    assert_pair(lambda one: for_each_row(one, lengths), random_numbers(2, len(lengths)))


@pytest.mark.parametrize("name", [None, *NORMALIZATIONS])
def test_normalizations(name):
    assert_pair(lambda *one: normalize(name, list(one)), random_numbers(2, 3, 5), random_bags())
    assert_pair(lambda *one: normalize(name, list(one)), random_numbers(2, 3, 4), random_bags())


def test_standardisation():
    values = random_numbers(2, 9, 5)
    values[1, :, 2] = 0.1
    standardize = Standardize(values)
    assert_pair(lambda one: [Standardize(one).mean, Standardize(one).scale], values)
    assert standardize.scale[1, 2] == 1
    assert_pair(Standardize(values[0]), values)


@pytest.mark.parametrize("encoder", each(VECTOR_ENCODERS))
def test_encoders_of_vectors(encoder):
    module = encode(encoder, random_numbers(6, 5))
    assert_pair(ModalityEncoder(Standardize(random_numbers(6, 5)), module), random_numbers(2, 3, 5))


@pytest.mark.parametrize("encoder", each(BAG_ENCODERS))
def test_encoders_of_bags(encoder):
    module = ModalityEncoder(None, encode(encoder, [random_numbers(6, 5).float()]))
    assert_pair(module, random_bags())
    if encoder.has_attention:
        assert_pair(module.attention, random_bags())


def test_attention_pooling_leaves_leading_axes_to_differentiation():
    module = encode(AttentionMIL(6, 4, dropout=0.0), []).train()
    bags = random_bags()
    weight = module.embed[0].weight
    module(bags).square().sum().backward()
    together, weight.grad = weight.grad, None
    for i in range(2):
        module(take(bags, i)).square().sum().backward()
    assert_close(together, weight.grad)


@pytest.mark.parametrize("fusion", each(VECTOR_FUSIONS))
def test_fusions_of_vectors(fusion):
    module = fusion.build({"wsi": 8, "rna": 8}, ["wsi"]).double().eval()
    vectors = [random_numbers(2, 3, 8, seed=m) * PRESENT[..., m, None] for m in range(2)]
    assert_pair(module, vectors, PRESENT)
    assert_pair(lambda one: module(one, PRESENT[0]), vectors)
    if hasattr(module, "penalty"):
        assert_pair(module.penalty, vectors, PRESENT)


@pytest.mark.parametrize("fusion", each(TOKEN_FUSIONS))
@pytest.mark.parametrize("lengths", [(LENGTHS, (3, 3, 3)), ((2, 0, 4), (3, 3, 0)), ((2, 2, 2), (3, 3, 3))], ids=repr)
def test_fusions_of_tokens(fusion, lengths):
    module = fusion.build({"wsi": 8, "rna": 8}, ["wsi"]).double().eval()
    tokens = [random_bags(8, m, one) for m, one in enumerate(lengths)]
    present = PRESENT & (torch.tensor(lengths).T > 0)
    present[1] |= ~present[1].any(-1, keepdim=True) & (torch.tensor(lengths).T > 0)
    assert_pair(module, tokens, present)
    assert_pair(lambda one: module(one, present[0]), tokens)


@pytest.mark.parametrize("interpolation", ["step", "linear", "exponential"])
def test_discrete_hazard(interpolation):
    event, time = np.array([True, True, False, True, True]), np.array([1.0, 2.0, 9.0, 4.0, 8.0])
    objective = DiscreteHazard(3, alpha=0.2, interpolation=interpolation).fit(event, time)
    check_of_each(objective, random_numbers(2, 5, 3), event, time)


def test_weibull():
    event, time = np.array([True, True, False, True, False]), np.array([1.0, 0.0, 9.0, 4.0, 0.0])
    check_of_each(Weibull().fit(event, time), random_numbers(2, 5, 2), event, time)


def check_of_each(objective, outputs, event, time):
    """An objective that has losses, whose targets may be the same or others for each of a pair."""
    target, other = objective.encode(event, time), objective.encode(event[::-1], time[::-1])
    for function in (objective.loss, objective.losses):
        assert_pair(lambda one, function=function: function(one, target), outputs)
        assert_pair(function, outputs, tuple(torch.stack(pair) for pair in zip(target, other, strict=True)))
    assert_pair(objective.risk, outputs)
    assert_pair(objective.cumulative_hazard, outputs)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_cox(ties):
    event, time = np.array([True, True, False, True, True]), np.array([1.0, 2.0, 9.0, 2.0, 8.0])
    objective = CoxPH(ties).fit(event, time)
    outputs, target = random_numbers(2, 5, 1), objective.encode(event, time)
    assert_pair(lambda one: objective.loss(one, target), outputs)
    objective.fit_baseline(lambda: outputs[0], event, time)
    assert_pair(objective.risk, outputs)
    assert_pair(objective.cumulative_hazard, outputs)


def test_patients_without_a_modality_and_hidden_ones():
    rows = torch.tensor([1, 2, 4])
    assert_pair(lambda one: spread(one, rows, 5), random_numbers(2, 3, 5))
    assert_pair(lambda one: spread(one, rows, 5), random_bags())
    assert_pair(hide, random_numbers(2, 3, 5), PRESENT[..., 0])
    assert_pair(hide, random_bags(), PRESENT[..., 0])
    torch.manual_seed(0)
    many = PRESENT.repeat(1, 1000, 1)
    kept = drop_modalities(many, 0.9)
    assert kept.any(-1).all()
    assert not (kept & ~many).any()
    assert not torch.equal(kept[0, 1::3], kept[1, 0::3])


def build(fusion, **params):
    torch.manual_seed(0)
    encoders = [TileTokens().build(5, 8), encode(VECTOR_ENCODERS[-1], random_numbers(6, 5))]
    return FusionNetwork(
        [ModalityEncoder(None, one) for one in encoders],
        fusion.build({"wsi": 8, "rna": 8}, ["wsi"]),
        n_outputs=4,
        normalization="minmax",
        reads=fusion.reads,
        **{"input_noise": [0.0, 0.0], "modality_dropout": 0.0, **params},
    ).double()


@pytest.mark.parametrize("fusion", each([*VECTOR_FUSIONS, *TOKEN_FUSIONS]))
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("proportional", [False, True])
def test_network(fusion, missing, proportional):
    network = build(fusion, proportional=proportional).eval()
    if missing:
        rows, lengths = (torch.tensor([0, 2]), torch.tensor([0, 1])), (2, 4)
        present = torch.tensor([[True, True], [False, True], [True, False]])
    else:
        rows, lengths, present = (None, None), LENGTHS, torch.ones(3, 2, dtype=torch.bool)
    inputs = random_bags(lengths=lengths), random_numbers(2, 2 if missing else 3, 5)
    assert_pair(lambda some: network(Batch(some, rows, present)), inputs)
    assert_pair(lambda some, has: network(Batch(some, rows, has)), inputs, present.expand(2, -1, -1))
    assert_pair(lambda some: network.outputs_and_penalty(Batch(some, rows, present))[1], inputs)


@pytest.mark.parametrize("fusion", each([*VECTOR_FUSIONS, *TOKEN_FUSIONS]))
@pytest.mark.parametrize("m", [0, 1])
def test_a_modality_that_nobody_of_the_batch_has(fusion, m):
    network = build(fusion).eval()
    rows = tuple(torch.empty(0, dtype=torch.long) if i == m else None for i in range(2))
    present = torch.arange(2).expand(3, 2) != m
    lacking = [random_bags(), random_numbers(2, 3, 5)]
    lacking[m] = None
    both = network(Batch(tuple(lacking), rows, present))
    for i in range(2):
        single = tuple(None if one is None else take((one,), i)[0] for one in lacking)
        assert_close(network(Batch(single, rows, present)), both[i], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("fusion", each([*VECTOR_FUSIONS, *TOKEN_FUSIONS]))
def test_members_hide_their_own_modalities(fusion, monkeypatch):
    network = build(fusion, modality_dropout=0.5).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.AlphaDropout | torch.nn.MultiheadAttention):
            module.p = module.dropout = 0.0
    masks = {2: PRESENT[0], 3: PRESENT}
    inputs, everybody = (random_bags(), random_numbers(2, 3, 5)), torch.ones(2, 3, 2, dtype=torch.bool)
    monkeypatch.setattr("sksurv_mmf.networks._network.drop_modalities", lambda present, _: masks[present.ndim])
    together = network(Batch(inputs, (None, None), everybody))
    for i in range(2):
        masks[2] = PRESENT[i]
        assert_close(network(Batch(take(inputs, i), (None, None), everybody[i])), together[i], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("fusion", each(TOKEN_FUSIONS))
def test_shapes_do_not_depend_on_what_is_hidden(fusion, monkeypatch):
    network, seen = build(fusion, modality_dropout=0.5), []
    batch = Batch((take(random_bags(), 0), random_numbers(3, 5)), (None, None), torch.ones(3, 2, dtype=torch.bool))
    network.fusion.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for mask in PRESENT:
        monkeypatch.setattr("sksurv_mmf.networks._network.drop_modalities", lambda *_, mask=mask: mask)
        network(batch)
    for one, other in zip(*seen):
        assert one.lengths == other.lengths
        assert not torch.equal(rows_of(one), rows_of(other))
