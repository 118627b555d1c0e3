"""Many networks of one shape that compute at once, as one network under vmap over their stacked weights."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..layers._lockstep import Randomness, as_member
from ..patients._batch import Batch

PLAIN = (
    *(nn.Linear, nn.LayerNorm, nn.ReLU, nn.ELU, nn.SELU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Identity),
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict),
)
"""Modules of torch that draw no random numbers and have no state beside their weights."""


def shape_of_network(network: nn.Module) -> tuple:
    """What networks must have in common to compute at once: names, shapes and types of weights and buffers."""
    return tuple((name, one.shape, one.dtype) for name, one in _tensors(network).items())


def _tensors(network):
    return dict(network.named_parameters()) | dict(network.named_buffers())


def knows_lockstep(network: nn.Module) -> bool:
    """Whether a network consists of parts that compute for a member what they would compute for it alone."""
    return network.penalty is None and all(map(_part_knows_lockstep, network.modules()))


def _part_knows_lockstep(part):
    # What users wrote may draw random numbers for all members at once, or look at values, which vmap cannot.
    if type(part).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return getattr(part, "knows_lockstep", True)
    return type(part) in PLAIN


class Lockstep:
    """Networks of one shape.

    Parameters
    ----------
    networks : list of FusionNetwork
        The members; they keep weights of their own.
    """

    def __init__(self, networks: list[nn.Module]):
        self.n_members = len(networks)
        # Without memory of its own: weights are handed to it in each step.
        self.network = deepcopy(networks[0]).to("meta")
        trained = {name for name, _ in networks[0].named_parameters()}
        tensors = [_tensors(network) for network in networks]
        self.stacked = {
            name: torch.stack([one[name].detach() for one in tensors]).requires_grad_(name in trained)
            for name in tensors[0]
        }

    def parameters_by_name(self) -> dict[str, Tensor]:
        """The stacked weights that are trained."""
        return {name: one for name, one in self.stacked.items() if one.requires_grad}

    def outputs(self, batch: Batch, randomness: Randomness | None = None) -> Tensor:
        """Outputs of all members, shape (n_members, n_patients, n_outputs); with `randomness` as in training."""
        is_training = randomness is not None
        if self.network.training != is_training:
            self.network.train(is_training)

        def compute(weights, number, stock):
            with as_member(randomness, number, stock):
                return functional_call(self.network, weights, (batch,))

        numbers = torch.arange(self.n_members, device=batch.present.device)
        stock = randomness.stock if is_training else None
        in_dims = (0, 0, 0 if is_training else None)
        return vmap(compute, in_dims, randomness="error")(self.stacked, numbers, stock)

    def snapshot(self) -> list[dict[str, Tensor]]:
        """Copies of the weights of each member, as `load_state_dict` takes them."""
        names = self.network.state_dict().keys()
        members = [{} for _ in range(self.n_members)]
        for name in names:
            for member, weight in zip(members, self.stacked[name].detach().clone()):
                member[name] = weight
        return members
