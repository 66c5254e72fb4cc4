"""The optimisers of guide files, by Optax, as those files set them; the rate of a step is a number that it is given."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pixace.canvas.canvas import Canvas
from pixace.canvas.resizing import resize
from pixace.guide.settings import Optimizer

# What `learnrate` and `learnrate_scale` multiply.
BASE_RATES = {"adam": 0.01, "adamw": 0.01, "sgd": 10.0, "rmsprop": 0.01, "rmsprob": 0.003, "adadelta": 20.0}
BASE_RATES |= {"lion": 0.003}
# Logits and frequencies have other units than colours; an optimiser whose steps have a length of its own takes these
# times as long ones.
CANVAS_RATES = {"pixels": 1.0, "imstack": 5.0, "fourier": 5.0, "laplacian": 1.0}


def base_rate(optimizer: Optimizer, canvas: str) -> float:
    """The rate that a guide's `learnrate` of 1 stands for."""
    return BASE_RATES[optimizer.name] * (1.0 if optimizer.name == "sgd" else CANVAS_RATES[canvas])


def make_rule(optimizer: Optimizer) -> optax.GradientTransformation:
    """The optimiser with a rate of 1, its other numbers those of PyTorch's unless they are given."""
    first, second = optimizer.betas or ((0.9, 0.99) if optimizer.name == "lion" else (0.9, 0.999))
    momentum = optimizer.momentum
    rules: dict[str, Callable[[], optax.GradientTransformation]] = {
        "adam": lambda: optax.scale_by_adam(first, second, 1e-8),
        "adamw": lambda: optax.scale_by_adam(first, second, 1e-8),
        "sgd": optax.identity,
        "rmsprop": lambda: optax.scale_by_rms(0.99, 1e-8, eps_in_sqrt=False),
        "rmsprob": lambda: optax.scale_by_stddev(0.99, 1e-8, eps_in_sqrt=False),
        "adadelta": lambda: optax.scale_by_adadelta(0.9, 1e-6),
        "lion": lambda: optax.scale_by_lion(first, second),
    }
    parts = [rules[optimizer.name]()]
    if optimizer.name == "rmsprob" and momentum is None:
        momentum = 0.1
    if momentum:
        parts.append(optax.trace(momentum))
    if optimizer.weight_decay:
        parts.append(optax.add_decayed_weights(optimizer.weight_decay))
    return optax.chain(*parts)


def resampled(state: Any, canvas: Canvas) -> Any:
    """An optimiser's state, its moments made as large as a canvas that has got another size.

    Moments of layers that have no likeness, such as those of frequencies, begin anew.
    """

    def fitted(moments: Any) -> Any:
        if not isinstance(moments, Canvas):
            return moments
        # Linear, so that what is never negative stays so.
        leaves, new = jax.tree.leaves(moments), jax.tree.leaves(canvas)
        leaves += [jnp.zeros(0)] * (len(new) - len(leaves))
        layers = [_alike(old, layer.shape) for old, layer in zip(leaves, new, strict=False)]
        return jax.tree.unflatten(jax.tree.structure(canvas), layers)

    return jax.tree.map(fitted, state, is_leaf=lambda node: isinstance(node, Canvas))


def _alike(moments: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if moments.shape == shape:
        return moments
    if moments.ndim == len(shape) == 3 and moments.shape[2] == shape[2] == 3:
        return resize(moments, shape[:2], "bilinear")
    return jnp.zeros(shape)
