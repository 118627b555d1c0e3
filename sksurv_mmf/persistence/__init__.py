"""Fitted models as files that hold no code."""

from ._model import load_model, save_model

__all__ = ["load_model", "save_model"]
