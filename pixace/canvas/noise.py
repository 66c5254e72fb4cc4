"""Noise to start from, the same for the same seed on every device, with nothing to compile."""

import numpy as np

from pixace.fields import require


def generator(seed: int) -> np.random.Generator:
    """Where noise is drawn from; raises `ConfigError` for a negative seed."""
    require(seed >= 0, f"seed={seed}: 0 or more is needed")
    return np.random.default_rng(seed)
