"""Real pictures for the benchmarks: CIFAR-10 where its archive lies beside the checkout, else random smooth ones."""

import io
import zipfile

import numpy as np
from machine import DATA
from PIL import Image


def load_pictures(count: int) -> tuple[np.ndarray, str]:
    """uint8 (count, 32, 32, 3) and where they come from."""
    archive = DATA / "cifar10.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith("train/") and name.endswith(".jpg")]
            names = names[:: max(1, len(names) // count)][:count]
            pictures = [np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB")) for name in names]
        return np.stack(pictures), "CIFAR-10"
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((32, 32))) for p in small]), "random, smooth"
