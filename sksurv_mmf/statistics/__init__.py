"""Tests of paired differences, concordance and Kaplan-Meier curves."""
