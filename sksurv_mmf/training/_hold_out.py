"""Training patients who are held out to see when the network has learnt enough."""

import numpy as np
from sklearn.model_selection import train_test_split

from ..outcome._outcome import Outcome


def hold_out(outcome: Outcome, rows: np.ndarray, fraction: float, seed: int) -> list[np.ndarray]:
    """Rows to train on and rows to validate on, of the patients `rows`, stratified by event.

    A patient whose row comes several times, as in a bootstrap sample, is on one side with all of them.
    """
    patients = np.unique(rows)
    is_repeated = len(patients) < len(rows)
    patients = patients if is_repeated else rows
    event = outcome.event[patients]
    try:
        sides = train_test_split(patients, test_size=fraction, stratify=event, random_state=seed)
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out validation_fraction={fraction} of {len(patients)} patients with "
            f"{event.sum()} events: {str(error).rstrip('.')}. Change validation_fraction, use more patients or "
            "early_stopping=False."
        ) from error
    return [rows[np.isin(rows, side)] for side in sides] if is_repeated else sides
