"""The only place that knows how networks are trained: batches, the skorch net and seeds."""

from ._fit import Recipe, fit

__all__ = ["Recipe", "fit"]
