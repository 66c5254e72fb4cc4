"""The state of a run and the one compiled function that moves generators and discriminators on.

Legend: B pictures of each kind a step, L edge they are loaded at, E edge of the squares cut out of them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from pixace.style.fast.network import Weights
from pixace.style.unpaired.config import UnpairedNetworks, UnpairedTraining
from pixace.style.unpaired.discriminator import discriminate, discriminator_shapes
from pixace.style.unpaired.generator import generate, generator_shapes, init_weights
from pixace.style.unpaired.pool import exchange

# The loss of the generators and its terms without their weights, then the loss of each discriminator.
METRICS = ("loss", "gan_ab", "gan_ba", "cycle_a", "cycle_b", "identity_a", "identity_b")
METRICS += ("discriminator_a", "discriminator_b")
EMA_DECAY, EMA_WARMUP = 0.999, 10
Networks = dict[str, Weights]


@partial(
    jax.tree_util.register_dataclass,
    meta_fields=[],
    data_fields=["step", "generators", "discriminators", "optimizers", "average", "pools"],
)
@dataclass(frozen=True)
class UnpairedState:
    """Attributes:
    step: int32 scalar, the number of steps done.
    generators: weights of `ab`, which makes pictures of B from those of A, and of `ba`.
    discriminators: weights of `a` and `b`, by the kind that they know.
    optimizers: the states of the optimisers of `generators` and of `discriminators`.
    average: averaged weights of the generators, or None.
    pools: float32 (pool_size, E, E, 3) generated pictures of `a` and `b`, or None.
    """

    step: Any
    generators: Networks
    discriminators: Networks
    optimizers: dict[str, Any]
    average: Networks | None
    pools: dict[str, jax.Array] | None


def init_state(network: UnpairedNetworks, training: UnpairedTraining) -> UnpairedState:
    """The state before the first step."""
    shapes = generator_shapes(network)
    generators = {name: init_weights(shapes, training.seed, i) for i, name in enumerate(("ab", "ba"))}
    shapes = discriminator_shapes(network)
    discriminators = {name: init_weights(shapes, training.seed, 2 + i) for i, name in enumerate(("a", "b"))}
    optimizer = _optimizer(training)
    empty = (training.pool_size, training.image_size, training.image_size, 3)
    return UnpairedState(
        jnp.int32(0),
        generators,
        discriminators,
        {"generators": optimizer.init(generators), "discriminators": optimizer.init(discriminators)},
        jax.tree.map(jnp.copy, generators) if training.ema else None,
        {name: jnp.zeros(empty) for name in ("a", "b")} if training.pool_size else None,
    )


def learning_rate(training: UnpairedTraining, step: Any) -> Any:
    """That of step 0, 1, ...: constant, then in a line to 0 after the last step."""
    left = training.n_steps - step
    return training.lr * jnp.clip(left / max(training.decaying, 1), 0, 1)


def _optimizer(training: UnpairedTraining) -> optax.GradientTransformation:
    return optax.adam(partial(learning_rate, training), b1=training.beta1)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def train_step(
    network: UnpairedNetworks, training: UnpairedTraining, state: UnpairedState, a: jax.Array, b: jax.Array
) -> tuple[UnpairedState, jax.Array]:
    """One step on pictures of both kinds, uint8 (B, L, L, 3); returns the new state and the figures of `METRICS`.

    `state` is given away. All that is random hangs on the run's seed and the step.
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(training.seed), state.step), 4)
    real_a, real_b = cut_out(a, training, keys[0]), cut_out(b, training, keys[1])

    def generators_loss(generators: Networks) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        # What a generator makes of both kinds is computed together: of the one a translation, of the other the same.
        from_a, same_b = jnp.split(generate(generators["ab"], network, jnp.concatenate([real_a, real_b])), 2)
        from_b, same_a = jnp.split(generate(generators["ba"], network, jnp.concatenate([real_b, real_a])), 2)
        back_a, back_b = generate(generators["ba"], network, from_a), generate(generators["ab"], network, from_b)
        gan_ab = _squares(discriminate(state.discriminators["b"], network, from_a), 1)
        gan_ba = _squares(discriminate(state.discriminators["a"], network, from_b), 1)
        pairs = ((back_a, real_a), (back_b, real_b), (same_a, real_a), (same_b, real_b))
        cycle_a, cycle_b, identity_a, identity_b = (jnp.abs(made - real).mean() for made, real in pairs)
        identity = training.identity_weight * (identity_a + identity_b)
        loss = gan_ab + gan_ba + training.cycle_weight * (cycle_a + cycle_b + identity)
        figures = jnp.stack([loss, gan_ab, gan_ba, cycle_a, cycle_b, identity_a, identity_b])
        return loss, (figures, from_b, from_a)

    def discriminators_loss(discriminators: Networks) -> tuple[jax.Array, jax.Array]:
        losses = []
        for name, real, generated in (("a", real_a, shown_a), ("b", real_b, shown_b)):
            judged = discriminate(discriminators[name], network, jnp.concatenate([real, generated]))
            losses.append((_squares(judged[: len(real)], 1) + _squares(judged[len(real) :], 0)) / 2)
        return losses[0] + losses[1], jnp.stack(losses)

    gradients, (figures, made_a, made_b) = jax.grad(generators_loss, has_aux=True)(state.generators)
    pools, shown_a, shown_b = state.pools, made_a, made_b
    if pools is not None:
        seen = state.step * len(a)
        pool_a, shown_a = exchange(pools["a"], seen, made_a, keys[2])
        pool_b, shown_b = exchange(pools["b"], seen, made_b, keys[3])
        pools = {"a": pool_a, "b": pool_b}
    judging, losses = jax.grad(discriminators_loss, has_aux=True)(state.discriminators)
    optimizer = _optimizer(training)
    steps, own = optimizer.update(gradients, state.optimizers["generators"])
    judged_steps, judged_own = optimizer.update(judging, state.optimizers["discriminators"])
    generators: Networks = optax.apply_updates(state.generators, steps)  # type: ignore[assignment]
    new = UnpairedState(
        state.step + 1,
        generators,
        optax.apply_updates(state.discriminators, judged_steps),  # type: ignore[arg-type]
        {"generators": own, "discriminators": judged_own},
        _average(state, generators),
        pools,
    )
    return new, jnp.concatenate([figures, losses])


def cut_out(pictures: jax.Array, training: UnpairedTraining, key: jax.Array) -> jax.Array:
    """Squares at random places of pictures, uint8 (B, L, L, 3), perhaps mirrored: float32 (B, E, E, 3) in [-1, 1]."""
    count, edge = len(pictures), training.image_size
    places, sides = jax.random.split(key)
    corners = jax.random.randint(places, (count, 2), 0, pictures.shape[1] - edge + 1)
    cut = jax.vmap(lambda picture, corner: lax.dynamic_slice(picture, (*corner, 0), (edge, edge, 3)))
    found = cut(pictures, corners).astype(jnp.float32) / 127.5 - 1
    if training.flip:
        found = jnp.where(jax.random.bernoulli(sides, 0.5, (count, 1, 1, 1)), found[:, :, ::-1], found)
    return found


def _squares(judged: jax.Array, wanted: float) -> jax.Array:
    """The loss of least-squares GANs, Mao et al., https://arxiv.org/abs/1611.04076."""
    return jnp.square(judged - wanted).mean()


def _average(state: UnpairedState, generators: Networks) -> Networks | None:
    """Average of the weights over about a tenth of the steps so far, 1,000 steps at most; begins with the first."""
    if state.average is None:
        return None
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(EMA_DECAY, done / (done + EMA_WARMUP))
    return jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, state.average, generators)
