"""The state of a run and the one compiled function that moves it on.

Legend: B batch, E edge of the pictures, S styles, h, w size of a map, C its channels.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pixace.style.fast.config import FastTraining, TransformConfig
from pixace.style.fast.network import Weights, init_weights, trained, transform_batch
from pixace.style.layers import ordered
from pixace.style.losses import content_distance, total_variation
from pixace.style.objective import FIGURES, Terms
from pixace.style.statistics import make_target, moments, style_distance
from pixace.style.vgg import alike_features

METRICS: tuple[str, ...] = (*FIGURES, "gradient_norm")
EMA_DECAY, EMA_WARMUP = 0.999, 10


@partial(jax.tree_util.register_dataclass, meta_fields=[], data_fields=["step", "weights", "optimizer", "average"])
@dataclass(frozen=True)
class FastState:
    """step: int32 scalar, the number of steps done; weights; optimiser's state; averaged weights or None."""

    step: Any
    weights: Weights
    optimizer: Any
    average: Weights | None


def init_state(network: TransformConfig, training: FastTraining) -> FastState:
    """The state before the first step."""
    return _begin(training, init_weights(network, training.seed))


@partial(jax.jit, static_argnums=0)
def _begin(training: FastTraining, weights: Weights) -> FastState:
    average = jax.tree.map(jnp.copy, weights) if training.ema else None
    return FastState(jnp.int32(0), weights, _optimizer(training).init(trained(weights)), average)


def _optimizer(training: FastTraining) -> optax.GradientTransformation:
    def kernels(weights: Weights) -> dict[str, bool]:
        return {name: name.endswith(".kernel") for name in weights}

    return optax.adamw(training.lr, weight_decay=training.weight_decay, mask=kernels)


@partial(jax.jit, static_argnums=0)
def style_targets(terms: Terms, vgg: Any, picture: jax.Array) -> dict[str, Any]:
    """What a style asks of each style layer; `picture` is float32 (H, W, 3) in [0, 1], `vgg` the weights."""
    maps = _maps(terms, vgg, picture[None], terms.style_layers)
    return {layer: make_target(terms.statistic, moments(maps[layer][0])) for layer in maps}


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=5)
def train_step(
    network: TransformConfig,
    training: FastTraining,
    terms: Terms,
    vgg: Any,
    targets: dict[str, Any],
    state: FastState,
    pictures: jax.Array,
) -> tuple[FastState, jax.Array]:
    """One step on `pictures`, uint8 (B, E, E, 3); returns the new state and the figures named in `METRICS`, float32.

    Args:
        network, training, terms: what is trained, how, and on what loss.
        vgg: the weights of `terms.network`.
        targets: `style_targets` of each style, stacked: leaves (S, ...).
        state: is given away.
        pictures: those of this step.

    Styles take turns over the pictures of all steps; which pictures are mirrored hangs on seed and step.
    """
    count = len(pictures)
    shown = pictures.astype(jnp.float32) / 255
    if training.flip:
        key = jax.random.fold_in(jax.random.key(training.seed + 1), state.step)
        shown = jnp.where(jax.random.bernoulli(key, 0.5, (count, 1, 1, 1)), shown[:, :, ::-1], shown)
    styles = (state.step % network.n_styles * count + jnp.arange(count)) % network.n_styles
    own = jax.tree.map(lambda leaf: leaf[styles], targets)

    def loss_of(changing: Weights) -> tuple[jax.Array, tuple[jax.Array, Weights]]:
        mixture = jax.nn.one_hot(styles, network.n_styles)
        drawn, running = transform_batch({**state.weights, **changing}, network, shown, mixture)
        figures = evaluate(terms, vgg, own, shown, drawn)
        return figures[0], (figures, running)

    gradients, (figures, running) = jax.grad(loss_of, has_aux=True)(trained(state.weights))
    updates, optimizer = _optimizer(training).update(gradients, state.optimizer, trained(state.weights))
    weights = {**state.weights, **optax.apply_updates(trained(state.weights), updates), **running}  # type: ignore[dict-item]
    new = FastState(state.step + 1, weights, optimizer, _average(state, weights))
    return new, jnp.append(figures, optax.global_norm(gradients))


def evaluate(terms: Terms, vgg: Any, targets: dict[str, Any], pictures: jax.Array, drawn: jax.Array) -> jax.Array:
    """The `FIGURES` of a batch, float32 (4,): the loss, and its terms without their weights.

    Args:
        terms: what is weighed how.
        vgg: the weights of `terms.network`.
        targets: what the style of each picture asks for, by layer; leaves (B, ...).
        pictures: (B, H, W, 3) the contents.
        drawn: (B, H, W, 3) what the network makes of them.
    """
    seen = _maps(terms, vgg, drawn, ordered([*terms.content_layers, *terms.style_layers]))
    wanted = _maps(terms, vgg, pictures, terms.content_layers)
    content, style = jnp.float32(0), jnp.float32(0)
    for layer, weight in terms.content:
        content += weight * content_distance(terms.content_distance, seen[layer], wanted[layer])
    for layer, weight in terms.style:
        distances = jax.vmap(partial(style_distance, terms.statistic))(jax.vmap(moments)(seen[layer]), targets[layer])
        style += weight * distances.mean()
    rough = total_variation(drawn, terms.tv)
    loss = terms.content_weight * content + terms.style_weight * style + terms.tv_weight * rough
    return jnp.stack([loss, content, style, rough])


def _maps(terms: Terms, vgg: Any, pictures: jax.Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    return alike_features(vgg, pictures, layers, terms.network) if layers else {}


def _average(state: FastState, weights: Weights) -> Weights | None:
    """Average of the weights over about a tenth of the steps so far, 1,000 steps at most; begins with the first."""
    if state.average is None:
        return None
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(EMA_DECAY, done / (done + EMA_WARMUP))
    return jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, state.average, weights)
