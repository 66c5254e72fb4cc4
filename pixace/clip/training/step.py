"""The state of a run that trains a CLIP, its loss, and the one compiled function that moves it on.

Legend: B batch, E edge of the pictures, T tokens, S entries of the space.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pixace.clip.config import ClipConfig
from pixace.clip.model import clip_shapes, encode_image, encode_text
from pixace.clip.training.config import ClipTraining

METRICS = ("loss", "accuracy", "temperature", "gradient_norm")
FIRST_TEMPERATURE, LEAST_TEMPERATURE = 0.07, 0.01  # section 2.5 of the paper
WARMUP, CLIP_NORM = 0.06, 1.0  # of the run; of a gradient
EMA_DECAY, EMA_WARMUP = 0.998, 10


@partial(
    jax.tree_util.register_dataclass,
    meta_fields=[],
    data_fields=["step", "weights", "scale", "optimizer", "average"],
)
@dataclass(frozen=True)
class ClipState:
    """step: int32, steps done; weights of both towers; scale: log of 1 / temperature; averaged weights or None."""

    step: Any
    weights: Any
    scale: Any
    optimizer: Any
    average: Any


def init_state(config: ClipConfig, training: ClipTraining) -> ClipState:
    """The state before the first step."""
    weights = init_weights(config, training.seed)
    scale = jnp.float32(-math.log(FIRST_TEMPERATURE))
    average = jax.tree.map(jnp.copy, weights) if training.ema else None
    return ClipState(jnp.int32(0), weights, scale, _optimizer(training).init((weights, scale)), average)


def init_weights(config: ClipConfig, seed: int) -> Any:
    """Initial weights, float32: kernels keep the variance of what they are given, and what ends a block is 0."""
    shapes, tree = jax.tree_util.tree_flatten_with_path(clip_shapes(config), is_leaf=lambda x: isinstance(x, tuple))
    leaves = []
    for i, (path, shape) in enumerate(shapes):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        noise = np.random.default_rng([seed, 0, i]).standard_normal(shape).astype(np.float32)
        if name.endswith("scale"):
            values = np.ones(shape, np.float32)
        elif name.endswith("bias"):
            values = np.zeros(shape, np.float32)
        elif name.endswith(("tokens", "positions")):
            values = 0.02 * noise
        elif name.endswith(("second.kernel", "down.kernel")):
            values = np.zeros(shape, np.float32)
        else:
            values = noise / math.sqrt(math.prod(shape[:-1]))
        leaves.append(jnp.asarray(values))
    return tree.unflatten(leaves)


def _optimizer(training: ClipTraining) -> optax.GradientTransformation:
    warmup = max(1, round(WARMUP * training.n_steps))
    rate = optax.warmup_cosine_decay_schedule(0.0, training.lr, warmup, max(training.n_steps, warmup + 1))
    clip = optax.clip_by_global_norm(CLIP_NORM)
    decay = optax.adamw(rate, b2=0.98, eps=1e-6, weight_decay=training.weight_decay, mask=_kernels)
    return optax.chain(clip, decay)


def _kernels(parameters: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)


def contrastive_loss(pictures: jax.Array, texts: jax.Array, matches: jax.Array, scale: jax.Array) -> jax.Array:
    """How badly pictures and texts find each other, section 2.3 of the paper, where several texts may be true.

    A picture is to choose evenly among the texts of the batch that are true of it, and a text among its pictures:
    the mean of both cross entropies, less the entropies of what they are held against, so that 0 is the least.

    Args:
        pictures, texts: unit vectors (B, S).
        matches: bool (B pictures, B texts), each row and column with one at least.
        scale: what products are multiplied by.
    """
    logits = scale * pictures @ texts.T
    return (_cross_entropy(logits, matches) + _cross_entropy(logits.T, matches.T)) / 2


def _cross_entropy(logits: jax.Array, matches: jax.Array) -> jax.Array:
    wanted = matches / matches.sum(1, keepdims=True)
    entropy = jnp.log(matches.sum(1))
    return (-(wanted * jax.nn.log_softmax(logits, 1)).sum(1) - entropy).mean()


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def train_step(
    config: ClipConfig,
    training: ClipTraining,
    state: ClipState,
    pictures: jax.Array,
    tokens: jax.Array,
    matches: jax.Array,
) -> tuple[ClipState, jax.Array]:
    """One step on a `Batch`; returns the new state and the figures named in `METRICS`, float32.

    With `training.adversarial` each picture is first changed against its texts, by one step along the gradient
    (Goodfellow et al., https://arxiv.org/abs/1412.6572) of a given length from a random place: what then tells
    pictures apart is what people see too (Engstrom et al., https://arxiv.org/abs/1906.00945).
    """
    shown = pictures.astype(jnp.float32) / 255

    def loss_of(weights: Any, scale: jax.Array, shown: jax.Array, words: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = encode_image(weights["image"], config, "float32", shown)
        factor = jnp.minimum(jnp.exp(scale), 1 / LEAST_TEMPERATURE)
        best = jnp.argmax(seen @ words.T, 1)
        right = jnp.take_along_axis(matches, best[:, None], 1).mean()
        return contrastive_loss(seen, words, matches, factor), right

    if training.adversarial:
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        words = encode_text(state.weights["text"], config, "float32", tokens)
        size = training.adversarial * jnp.minimum(1, state.step / max(1, training.n_easy))
        start = shown + _of_length(jax.random.normal(key, shown.shape), size / 2)
        against = jax.grad(lambda shown: loss_of(state.weights, state.scale, shown, words)[0])(start)
        shown = jnp.clip(start + _of_length(against, size), 0, 1)

    def whole(parameters: tuple[Any, jax.Array]) -> tuple[jax.Array, jax.Array]:
        weights, scale = parameters
        return loss_of(weights, scale, shown, encode_text(weights["text"], config, "float32", tokens))

    parameters = (state.weights, state.scale)
    (loss, right), gradients = jax.value_and_grad(whole, has_aux=True)(parameters)
    updates, optimizer = _optimizer(training).update(gradients, state.optimizer, parameters)
    changed: Any = optax.apply_updates(parameters, updates)
    weights, scale = changed
    scale = jnp.minimum(scale, -math.log(LEAST_TEMPERATURE))
    new = ClipState(state.step + 1, weights, scale, optimizer, _average(state, weights))
    return new, jnp.stack([loss, right, jnp.exp(-state.scale), optax.global_norm(gradients)])


def _of_length(direction: jax.Array, size: jax.Array) -> jax.Array:
    """Directions (B, E, E, 3) with a root mean square of `size`."""
    length = jnp.sqrt(jnp.square(direction).mean((1, 2, 3), keepdims=True))
    return size * direction / jnp.maximum(length, 1e-12)


def _average(state: ClipState, weights: Any) -> Any:
    """Average of the weights over about a tenth of the steps so far, 500 steps at most."""
    if state.average is None:
        return None
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(EMA_DECAY, done / (done + EMA_WARMUP))
    return jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, state.average, weights)
