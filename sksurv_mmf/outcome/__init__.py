"""Event and time of each patient: read, checked, aligned, and looked for among the features."""
