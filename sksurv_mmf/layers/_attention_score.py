"""Scores from which a softmax makes attention weights, of tiles and of modalities alike."""

import torch
from torch import Tensor, nn

from ._dropout import Dropout


def xavier_linear(n_in: int, n_out: int, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    """Linear layer with Xavier-normal weights and zero biases."""
    layer = kind(n_in, n_out)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class AttentionScore(nn.Module):
    """(..., n_in) -> (...): the score of each row before the softmax."""

    is_attention = True

    def __init__(self, n_in: int, attention_dim: int, dropout: float, gated: bool):
        super().__init__()
        # The layers V and U of a gated score are one layer, V first: one large matrix product instead of two.
        parts = [xavier_linear(n_in, attention_dim) for _ in range(2 if gated else 1)]
        self.hidden = nn.Linear(n_in, attention_dim * len(parts))
        with torch.no_grad():
            self.hidden.weight.copy_(torch.cat([part.weight for part in parts]))
            self.hidden.bias.zero_()
        self.dropout = Dropout(dropout)
        self.score = xavier_linear(attention_dim, 1)
        self.gated = gated

    def start_evenly(self) -> None:
        """Give all rows the same score until something is learnt."""
        nn.init.zeros_(self.score.weight)

    def forward(self, rows: Tensor) -> Tensor:
        if self.gated:
            value, gate = self.hidden(rows).chunk(2, dim=-1)
            hidden = self.dropout(torch.tanh(value)) * self.dropout(torch.sigmoid(gate))
        else:
            hidden = self.dropout(torch.tanh(self.hidden(rows)))
        return self.score(hidden).squeeze(-1)
