"""Multimodal survival analysis with scikit-learn and scikit-survival conventions."""

__version__ = "0.1.0"
