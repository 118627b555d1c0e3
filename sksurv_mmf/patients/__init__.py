"""Patients as arrays, and batches of them."""
