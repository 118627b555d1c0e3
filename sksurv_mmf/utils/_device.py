"""Where to compute."""

import torch


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is a GPU, else "cpu"; refuse a GPU that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"device={device!r} is no torch device. Use 'auto', 'cpu' or 'cuda'.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch finds no GPU here. Use device='auto' or 'cpu'.")
    return device
