"""What is worth knowing and is no warning goes to the logger ``sksurv_mmf``, which is silent until it is given a level.

``logging.basicConfig(level=logging.INFO)`` shows it. Worker processes of `n_jobs` begin without such a setting and stay
silent.
"""

import logging

logger = logging.getLogger("sksurv_mmf")
logger.addHandler(logging.NullHandler())
