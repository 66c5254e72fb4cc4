"""A file of VGG19's first layers with random weights, as Keras names them."""

from pathlib import Path

import numpy as np

from pixace.style.vgg_weights import random_weights


def save_arrays(path: Path, until: str) -> Path:
    """Write the weights up to a layer into `path` (.npz); returns it."""
    arrays = {
        f"block{name[4]}_conv{name[6]}_{part}": np.asarray(array)
        for name, parts in random_weights(until=until).items()
        for part, array in parts.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
