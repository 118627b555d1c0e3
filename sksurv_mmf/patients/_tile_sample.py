"""Which tiles of a bag an epoch of training sees, where it does not see all."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TileSample:
    """At most `most` tiles of each bag, drawn without replacement and anew in each epoch.

    What is drawn of a bag depends on the seed, the epoch and the place of the patient, and not on who was read before.
    """

    most: int
    seed: int
    epoch: int

    def of(self, row: int, n_tiles: int) -> np.ndarray | None:
        """Positions of the tiles in order; None for all."""
        if n_tiles <= self.most:
            return None
        draw = np.random.default_rng([self.seed, self.epoch, row])
        return np.sort(draw.choice(n_tiles, self.most, replace=False, shuffle=False))
