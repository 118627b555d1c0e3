"""The layer that reads the inputs of a modality."""

from torch import Tensor, nn
from torch.nn.functional import linear

from ._lockstep import in_lockstep


class InputLinear(nn.Linear):
    r"""A linear layer over the inputs of a modality, whose learning rate may be made independent of their number.

    Optimizers such as Adam move every weight by about the learning rate. Of a layer with `p` inputs the output then
    moves by up to `p` times as much, so that wide modalities learn faster than narrow ones and take over the fusion.
    Once the layer is made fair, it divides its inputs by :math:`\sqrt{p}` and starts from weights that are
    :math:`\sqrt{p}` times larger.

    Parameters
    ----------
    in_features : int
        Number of inputs, `p`.
    out_features : int
        Number of outputs.
    """

    scale = 1.0

    def make_fair(self) -> None:
        """Divide the inputs by the root of their number, and draw weights anew, with variance 1, biases 0."""
        self.scale = self.in_features**-0.5
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    @property
    def scaled_weight(self) -> Tensor:
        """The weights by which the inputs as they are would be multiplied."""
        return self.weight if self.scale == 1 else self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return linear(x, self.weight, self.bias)
        # Written so that the gradient of many members' weights lies in memory as they do, which spares a copy. Scaled
        # are the outputs, of which there are fewer than inputs or weights.
        products = (self.weight @ x.mT).mT if in_lockstep() else linear(x, self.weight)
        return products * self.scale + self.bias
