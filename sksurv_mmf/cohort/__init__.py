"""From tables to patients, and every error about X and y."""

from ._join import join_modalities

__all__ = ["join_modalities"]
