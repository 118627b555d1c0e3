"""How many threads are worth their trouble."""

from ._patients import Patients

MANY_TILES = 4096  # in a batch


def threads_for(patients: Patients, batch_size: int, max_tiles: int | None = None) -> int | None:
    """One thread for small steps, None for torch's own number for others.

    Two threads gain small steps nothing, and where they share a core with others, each waits for the other. What
    decides is the number of tiles, and no clock, since it changes the last bits.
    """
    n_tiles = patients.n_tiles if max_tiles is None else patients.n_tiles.clip(max=max_tiles)
    return None if n_tiles.mean() * min(batch_size, len(patients)) >= MANY_TILES else 1
