"""Who has which modality, and whether that is enough."""

from ..utils._validation import shorten, subject


def check_has_any(present, patients, names):
    """Refuse patients who have none of the modalities `names`."""
    nothing = patients[~present.any(axis=1)]
    if len(nothing):
        raise ValueError(
            f"{subject(nothing, 'Patient', 'has', 'have')} none of the modalities {shorten(names)} that the model "
            "reads. Drop such patients from X and y."
        )


def check_present(present, names, n_held_out=0):
    """Refuse to train on a modality that nobody has of those who are not held out."""
    for name, has_any in zip(names, present.any(axis=0)):
        if not has_any and n_held_out:
            raise ValueError(
                f"No patient has modality {name!r} of the {len(present)} who are trained on, beside {n_held_out} who "
                "are held out for early_stopping, so it cannot be learnt. Leave it out, or set early_stopping=False."
            )
        if not has_any:
            raise ValueError(f"No patient has modality {name!r}, so it cannot be learnt. Leave it out.")
