"""What all pictures share."""

from ._modality_colors import modality_colors

__all__ = ["modality_colors"]
