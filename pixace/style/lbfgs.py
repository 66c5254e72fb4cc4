"""L-BFGS between bounds: one evaluation of the loss a step, where the first step length is good.

Liu and Nocedal (1989), with the line search of projected methods (Bertsekas 1982): a trial is moved into the bounds
before it is judged, so that what is judged is what is kept. Optax's L-BFGS knows no bounds, and moving its iterates
into them afterwards makes wrong what its line search remembers. The search runs on the host: on a CPU, XLA computes
convolutions inside its own loops three times as slowly.

Legend: N values, M pairs that are remembered.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp

# Pairs that are remembered. More take fewer steps late; each takes the room of a picture and its gradient.
MOST_PAIRS, LEAST_PAIRS, ROOM = 60, 10, 2**29  # ROOM in bytes
ARMIJO = 1e-4  # share of the promised decrease that is enough
TRIALS = 8  # of one step
FIRST_CHANGE = 0.05  # largest change of a value in the very first trial, where nothing is known of the scale
NUDGE = 1e-6  # of a value, to find out whether a bound holds it
LEAST_CURVATURE = 1e-7  # cosine between move and change: a pair with less teaches nothing

Evaluate = Callable[[jax.Array], tuple[jax.Array, jax.Array]]  # figures, the loss first; and the gradient
Project = Callable[[jax.Array], jax.Array]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["x", "figures", "gradient", "moves", "changes", "scales", "newest"],
    meta_fields=[],
)
@dataclass(frozen=True)
class LbfgsState:
    """Where descent is.

    Attributes:
        x: (N,); figures and gradient are those of x, the first figure being the loss.
        moves, changes: (M, N), how x and then the gradient changed in the last steps; each new pair takes the place
            of the oldest one.
        scales: (M,), 1 / (move . change); 0 where there is no pair.
        newest: int32, the place of the newest pair.
    """

    x: jax.Array
    figures: jax.Array
    gradient: jax.Array
    moves: jax.Array
    changes: jax.Array
    scales: jax.Array
    newest: jax.Array


def start(x: jax.Array, evaluate: Evaluate) -> LbfgsState:
    """The state at x (N,), after one evaluation."""
    figures, gradient = evaluate(x)
    pairs = min(max(ROOM // (2 * x.nbytes), LEAST_PAIRS), MOST_PAIRS)
    moves, changes = (jnp.zeros((pairs, x.size), x.dtype) for _ in range(2))  # apart: both are given away
    return LbfgsState(x, figures, gradient, moves, changes, jnp.zeros(pairs, x.dtype), jnp.int32(0))


def step(state: LbfgsState, evaluate: Evaluate, project: Project, rate: float | None = None) -> LbfgsState:
    """One step.

    Args:
        state: where it starts; its loss never rises, unless a rate is given.
        evaluate: the figures, the loss first, and the gradient (N,) of an x (N,).
        project: moves an x (N,) into the bounds.
        rate: a fixed step length, without a line search, as PyTorch's L-BFGS takes it (there the first step is
            also at most one unit of the gradient's sum); None searches.
    """
    # Values at a bound that descent would take beyond it rest, and the others take no notice of them.
    free = project(state.x - NUDGE * jnp.sign(state.gradient)) != state.x
    direction, new, largest, total = _aim(state, free)
    if rate is not None:
        length = rate * min(1.0, 1 / max(float(total), 1e-30)) if new else rate
        x = project(state.x + length * direction)
        return _moved(state, x, *evaluate(x))
    length = FIRST_CHANGE / max(float(largest), 1e-30) if new else 1.0
    loss = float(state.figures[0])
    for _ in range(TRIALS):
        x = project(state.x + length * direction)
        figures, gradient = evaluate(x)
        promised = min(0.0, float(jnp.vdot(state.gradient, x - state.x)))
        found = float(figures[0])
        if found <= loss + ARMIJO * promised:
            return _moved(state, x, figures, gradient)
        parabola = -promised / (2 * (found - loss - promised)) if math.isfinite(found) else 0.0
        length *= min(max(parabola, 0.1), 0.5)  # to where a parabola through both is lowest
    return replace(state, scales=jnp.zeros_like(state.scales))  # begin anew from here


@jax.jit
def _aim(state: LbfgsState, free: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The direction, whether no pair stands behind it, its largest value, and the sum of the gradient's sizes."""
    downhill = jnp.where(free, state.gradient, 0)
    direction = jnp.where(free, _direction(state, downhill), 0)
    new = ~(state.scales > 0).any() | (jnp.vdot(direction, downhill) >= 0)  # rounding, or pairs of far away
    direction = jnp.where(new, -downhill, direction)
    return direction, new, jnp.abs(direction).max(), jnp.abs(downhill).sum()


def _direction(state: LbfgsState, gradient: jax.Array) -> jax.Array:
    """Minus the gradient times the inverse Hessian that the pairs tell (the two loops of Nocedal 1980)."""
    pairs = len(state.scales)
    order = (state.newest - jnp.arange(pairs)) % pairs  # newest first

    def back(rest: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        share = state.scales[i] * jnp.vdot(state.moves[i], rest)
        return rest - share * state.changes[i], share

    def forth(rest: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        i, share = pair
        return rest + (share - state.scales[i] * jnp.vdot(state.changes[i], rest)) * state.moves[i], None

    rest, shares = jax.lax.scan(back, gradient, order)
    change, scale = state.changes[state.newest], state.scales[state.newest]
    square = jnp.vdot(change, change)
    known = (scale > 0) & (square > 0)
    rest = rest * jnp.where(known, 1 / jnp.where(known, scale * square, 1), 1)
    return -jax.lax.scan(forth, rest, (order, shares), reverse=True)[0]


def _moved(state: LbfgsState, x: jax.Array, figures: jax.Array, gradient: jax.Array) -> LbfgsState:
    """The state at x; the pair of this step is remembered if it tells a curvature. Pairs of `state` are given away."""
    move, change = x - state.x, gradient - state.gradient
    kept = _remember(state.moves, state.changes, state.scales, state.newest, move, change)
    return LbfgsState(x, figures, gradient, *kept)


@partial(jax.jit, donate_argnums=(0, 1))
def _remember(
    moves: jax.Array, changes: jax.Array, scales: jax.Array, newest: jax.Array, move: jax.Array, change: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    product = jnp.vdot(move, change)
    good = product > LEAST_CURVATURE * jnp.linalg.norm(move) * jnp.linalg.norm(change)
    place = jnp.where(good, (newest + 1) % len(scales), newest)

    def put(values: jax.Array, new: jax.Array) -> jax.Array:
        return values.at[place].set(jnp.where(good, new, values[place]))

    return put(moves, move), put(changes, change), put(scales, 1 / jnp.where(good, product, 1)), place
