"""The state of a run and the one compiled function that moves it on.

Legend: B batch, T tokens a picture, A parts of a batch (accumulation).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pixace.config import ModelConfig, TrainConfig
from pixace.models.spec import init_parameters, pytree
from pixace.models.transformer import losses
from pixace.training.optimizers import apply_update, learning_rate, make_optimizer

METRICS = ("loss", "accuracy", "picture_accuracy", "gradient_norm", "learning_rate")
EMA_DECAY, EMA_WARMUP = 0.999, 10


@pytree
class TrainState:
    """step: int32 scalar, the number of steps done; parameters; optimiser state; averaged parameters or None."""

    step: Any
    parameters: Any
    optimizer: Any
    average: Any


def init_state(model: ModelConfig, config: TrainConfig, parameters: Any = None) -> TrainState:
    """The state before the first step, from the seed or from given weights."""
    if parameters is None:
        parameters = init_parameters(model, jax.random.key(config.seed))
    return TrainState(
        step=jnp.int32(0),
        parameters=parameters,
        optimizer=make_optimizer(config, parameters).init(parameters),
        average=jax.tree.map(jnp.copy, parameters) if config.ema else None,
    )


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def train_step(
    model: ModelConfig,
    config: TrainConfig,
    implementation: str,
    state: TrainState,
    tokens: jax.Array,
    total_steps: jax.Array,
) -> tuple[TrainState, jax.Array]:
    """One step on `tokens` (B, T); returns the new state and the figures named in `METRICS`, float32.

    Dropout is addressed by (seed, step, part), so the step alone decides it. The gradient norm is that
    before clipping.
    """
    key = jax.random.fold_in(jax.random.key(config.seed + 1), state.step)
    dropping = max(model.dropout, model.attention_dropout, model.position_dropout, model.output_dropout) > 0

    def loss_of(parameters: Any, tokens: jax.Array, key: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        loss, hits = losses(parameters, model, tokens, implementation=implementation, key=key)
        return loss.mean(), jnp.stack([loss.mean(), hits.mean(), hits.all(axis=-1).mean()])

    def part(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        tokens, number = inputs
        part_key = jax.random.fold_in(key, number) if dropping else None
        gradients, figures = jax.grad(loss_of, has_aux=True)(state.parameters, tokens, part_key)
        return jax.tree.map(jnp.add, carry, gradients), figures

    # Every part takes rows of every device: cut the other way, each device would compute all parts.
    parts = tokens.astype(jnp.int32).reshape(-1, config.accumulate, tokens.shape[-1]).swapaxes(0, 1)
    if config.accumulate == 1:
        zeros = jax.tree.map(lambda w: jnp.float32(0), state.parameters)
        gradients, figures = part(zeros, (parts[0], jnp.int32(0)))
    else:
        zeros = jax.tree.map(jnp.zeros_like, state.parameters)
        gradients, figures = jax.lax.scan(part, zeros, (parts, jnp.arange(config.accumulate)))
        gradients = jax.tree.map(lambda g: g / config.accumulate, gradients)
        figures = figures.mean(axis=0)
    optimizer = make_optimizer(config, state.parameters)
    update, optimizer_state = optimizer.update(gradients, state.optimizer, state.parameters)
    rate = learning_rate(config, state.step, total_steps)
    parameters = apply_update(config, state.parameters, update, rate)
    new = TrainState(state.step + 1, parameters, optimizer_state, _average(state, parameters))
    return new, jnp.concatenate([figures, jnp.stack([optax.global_norm(gradients), rate])])


def _average(state: TrainState, parameters: Any) -> Any:
    """Average of the weights over about a tenth of the steps so far, 1,000 steps at most.

    The decay grows as t / (t + 10): after the first step the average is the weights themselves, so the
    initial weights never weigh on it and no correction is left to do.
    """
    if state.average is None:
        return None
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(EMA_DECAY, done / (done + EMA_WARMUP))
    return jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, state.average, parameters)


@partial(jax.jit, static_argnums=(0, 1))
def eval_step(model: ModelConfig, implementation: str, parameters: Any, tokens: jax.Array) -> jax.Array:
    """Sums over `tokens` (B, T): loss, hits, whole pictures right, in the order of `METRICS`; float32 (3,)."""
    loss, hits = losses(parameters, model, tokens.astype(jnp.int32), implementation=implementation)
    return jnp.stack([loss.mean(axis=-1).sum(), hits.mean(axis=-1).sum(), hits.all(axis=-1).sum()])
