"""Units of time that can be converted into each other."""

DAYS_PER_YEAR = 365.25

UNITS = {"days": 1.0, "weeks": 7.0, "months": DAYS_PER_YEAR / 12, "years": DAYS_PER_YEAR}
"""Length in days."""
