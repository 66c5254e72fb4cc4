"""How good weights are on given pictures."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from pixace.config import ModelConfig
from pixace.sharding import sharding
from pixace.training.step import eval_step


def mean_figures(
    parameters: Any, model: ModelConfig, implementation: str, mesh: Mesh, tokens: np.ndarray, at_once: int
) -> tuple[float, float, float]:
    """Loss (nats a token), share of right tokens and share of wholly right pictures over `tokens` (N, T).

    Args:
        at_once: pictures looked at together.
    """
    sums = np.zeros(3)
    for start in range(0, len(tokens), at_once):
        rows = np.asarray(tokens[start : start + at_once])
        axes = ("batch" if len(rows) % mesh.size == 0 else None, None)
        sums += np.asarray(eval_step(model, implementation, parameters, jax.device_put(rows, sharding(mesh, axes))))
    loss, accuracy, whole = (sums / len(tokens)).tolist()
    return loss, accuracy, whole
