"""Learning-rate schedules over a planned length, and the optimisers (Optax) that `--optimizer` names.

The optimisers give an update for a learning rate of 1; `step.py` multiplies it by `learning_rate`, so
that the planned length is an argument of the compiled step and not a part of it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon

from pixace.config import TrainConfig
from pixace.models.spec import Parameters, named

DEFAULT_LR = {"adamw": 1e-3, "muon": 3e-3, "source": 1e-3}
SOURCE_FACTOR, SOURCE_WARMUP = 0.1, 400

# (reduction axes, output axes) of the stacked matrices; without them Muon would leave 3-D leaves to Adam.
_MATRICES = {
    "query": ((3,), (1, 2)),
    "key": ((3,), (1, 2)),
    "value": ((3,), (1, 2)),
    "out": ((2, 3), (1,)),
    "up": ((2,), (1,)),
    "down": ((2,), (1,)),
}


def learning_rate(config: TrainConfig, step: jax.Array, total: jax.Array) -> jax.Array:
    """The learning rate of `step` (0, 1, ...) of a run planned for `total` steps; both traced.

    Warm-up takes a tenth of the run, 400 steps at most, unless `warmup_steps` says otherwise. The
    source's schedule is lr * min(1, n / 400) / sqrt(max(n, 400)) with n = step + 1, whatever the length.
    """
    schedule = config.schedule or ("source" if config.optimizer == "source" else "cosine")
    n, total = (step + 1).astype(jnp.float32), jnp.maximum(total, 1).astype(jnp.float32)
    if schedule == "source":
        warmup = float(SOURCE_WARMUP if config.warmup_steps is None else max(config.warmup_steps, 1))
        factor = SOURCE_FACTOR if config.lr is None else config.lr
        return factor * jnp.minimum(1.0, n / warmup) / jnp.sqrt(jnp.maximum(n, warmup))
    peak = DEFAULT_LR[config.optimizer] if config.lr is None else config.lr
    if config.warmup_steps is None:
        warmup = jnp.clip(total / 10, 1.0, SOURCE_WARMUP)
    else:
        warmup = jnp.float32(max(config.warmup_steps, 1))
    left = jnp.clip((total + 1 - n) / jnp.maximum(total + 1 - warmup, 1.0), 0.0, 1.0)
    decay = {"constant": jnp.ones_like(left), "linear": left, "cosine": 0.5 - 0.5 * jnp.cos(jnp.pi * left)}[schedule]
    return peak * jnp.minimum(n / warmup, 1.0) * decay


def make_optimizer(config: TrainConfig, parameters: Parameters) -> optax.GradientTransformation:
    """The transformation from gradients to updates at a learning rate of 1.

    Args:
        config: names the optimiser, its weight decay and the clipping.
        parameters: any tree of the model's structure; decides which leaves are matrices.
    """
    clip = [optax.clip_by_global_norm(config.clip)] if config.clip and config.optimizer != "source" else []
    matrices = _by_name(parameters, lambda name: name.startswith("blocks.") and _leaf(name) in _MATRICES)
    if config.optimizer == "source":  # Trax's Adam: decay of every weight, once a step, whatever the rate
        adam = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-5)
        # Trax's loop counts steps from 1, and its Adam adds one more: its first correction of the bias is a second one.
        return optax.GradientTransformation(lambda params: _counting_from(1, adam.init(params)), adam.update)
    if config.optimizer == "muon":
        numbers = _by_name(parameters, lambda name: _numbers(name) if name.startswith("blocks.") else None)
        rule = muon(
            1.0,
            weight_decay=config.weight_decay,
            adam_b2=0.99,
            consistent_rms=0.2,  # updates as large as Adam's, so that one learning rate serves both
            muon_weight_dimension_numbers=lambda _: numbers,
        )
        return optax.chain(*clip, rule, optax.scale(-1.0))
    rule = [optax.scale_by_adam(b1=0.9, b2=0.99), optax.add_decayed_weights(config.weight_decay, mask=matrices)]
    return optax.chain(*clip, *rule)


def _counting_from(count: int, state: Any) -> optax.ScaleByAdamState:
    return state._replace(count=jnp.int32(count))


SOURCE_DECAY = 1e-5


def apply_update(config: TrainConfig, parameters: Any, update: Any, rate: jax.Array) -> Any:
    """New weights: w - rate * update; the source's optimiser also takes 1e-5 of each weight."""
    decay = 1 - SOURCE_DECAY if config.optimizer == "source" else 1.0
    return jax.tree.map(lambda w, u: decay * w - rate * u, parameters, update)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _numbers(name: str) -> MuonDimensionNumbers | None:
    axes = _MATRICES.get(_leaf(name))
    return None if axes is None else MuonDimensionNumbers(*axes)


def _by_name(parameters: Parameters, decide: Any) -> Any:
    names = iter(named(parameters))
    return jax.tree.map(lambda _: decide(next(names)), parameters)
