"""How well a small model learns sixteen real pictures by heart."""

import io
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import pixace
from pixace.training import run
from pixace.training.loop import train


def memorised(model_type: str, shared: Path, folder: Path) -> tuple[float, float]:
    """Train on sixteen emoji in an empty folder: width 128, 4 layers, 16x16, HSV 4,3,3, 70 steps.

    Returns the loss in nats a token, and the share of missing tokens that are right where halves are completed.
    """
    archive, pictures = shared / "data" / "emoji.zip", folder / "pictures"
    if not archive.exists():
        pytest.skip(f"needs the pictures in {archive}")
    pictures.mkdir()
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(name for name in opened.namelist() if name.endswith(".png"))[::220][:16]:
            Image.open(io.BytesIO(opened.read(name))).save(pictures / name.rpartition("/")[2])
    options = dict(image_size=16, bitdepth=(4, 3, 3), model_type=model_type, d_model=128, n_layers=4, n_heads=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train_step", _optimised_step())
        train("emoji", folder, images=str(pictures), n_steps=70, batch_size=16, lr=0.01, n_samples=0, **options)
    model = pixace.load("emoji", folder)
    tokens = np.stack([model.tokenizer.encode(file) for file in sorted(pictures.iterdir())])
    losses = -np.take_along_axis(model.log_probs(tokens), tokens[..., None].astype(int), axis=-1)
    completed, half = model.sample(tokens, temperature=0), tokens.shape[1] // 2
    return losses.mean(), (completed[:, half:] == tokens[:, half:]).mean()


def _optimised_step():
    """The step of training, compiled with optimisation: here, unlike elsewhere, running it takes most of the time."""
    return jax.jit(
        run.train_step.__wrapped__,
        static_argnums=(0, 1, 2),
        donate_argnums=3,
        compiler_options={"xla_backend_optimization_level": 1},
    )
