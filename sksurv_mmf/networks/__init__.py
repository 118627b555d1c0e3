"""From a batch of patients to the outputs that an objective reads."""
