"""Descent to a picture: Adam with an average of its steps, or L-BFGS, on whatever canvas makes the picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from pixace.canvas.canvas import Canvas
from pixace.canvas.pixels import Pixels
from pixace.canvas.resizing import resize
from pixace.style import lbfgs

ADAM = optax.scale_by_adam(b1=0.9, b2=0.99)

Slope = Callable[[Canvas], tuple[jax.Array, Canvas]]  # figures of a canvas, the loss first; and the loss's gradient


@dataclass(frozen=True)
class Descent:
    """How to descend; static.

    Attributes:
        optimizer: adam or lbfgs.
        lr: step length; None, for lbfgs alone, searches for it.
        average: decay of adam's average, which is then the result; 0 for the best step.
        weight_decay: of adam: each step makes the canvas's numbers smaller by `lr` times this (AdamW).
    """

    optimizer: str
    lr: float | None
    average: float
    weight_decay: float = 0.0

    @property
    def averages(self) -> bool:
        """Whether the result is an average of steps."""
        return self.optimizer == "adam" and self.average > 0


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["canvas", "rule", "average", "best", "best_loss", "count"],
    meta_fields=[],
)
@dataclass(frozen=True)
class DescentState:
    """Where a descent is.

    Attributes:
        canvas: what the next step starts from.
        rule: the optimiser's own state.
        average: decayed sum of the canvases; None where the best one counts.
        best, best_loss: the canvas of the lowest loss that is known, and this loss; before there is one, the first
            canvas and infinity.
        count: steps done, int32.
    """

    canvas: Any
    rule: Any
    average: Any
    best: Any
    best_loss: jax.Array
    count: jax.Array


def begin(descent: Descent, canvas: Canvas, slope: Slope) -> DescentState:
    """The state before the first step."""
    loss, average = jnp.float32(jnp.inf), None
    if descent.optimizer == "adam":
        rule: Any = ADAM.init(canvas)  # type: ignore[arg-type]
    else:
        rule = lbfgs.start(ravel_pytree(canvas)[0], _flat(canvas, slope))
        loss = rule.figures[0]
    if descent.averages:
        average = jax.tree.map(jnp.zeros_like, canvas)
    return DescentState(canvas, rule, average, canvas, loss, jnp.int32(0))


def step(descent: Descent, state: DescentState, slope: Slope) -> tuple[DescentState, jax.Array]:
    """The next state, and the figures that are known now: of the canvas before with adam, of the new one with lbfgs."""
    if descent.optimizer == "adam":
        figures, gradient = slope(state.canvas)
        return _adam_step(descent, state, figures, gradient), figures
    whole = ravel_pytree(state.canvas)[1]

    def project(flat: jax.Array) -> jax.Array:
        return ravel_pytree(whole(flat).projected())[0]

    rule = lbfgs.step(state.rule, _flat(state.canvas, slope), project, descent.lr)
    canvas = whole(rule.x)
    new = replace(state, canvas=canvas, rule=rule, count=state.count + 1)
    return _with_best(new, canvas, rule.figures[0]), rule.figures


@partial(jax.jit, static_argnums=0)
def _adam_step(descent: Descent, state: DescentState, figures: jax.Array, gradient: Canvas) -> DescentState:
    update, rule = ADAM.update(gradient, state.rule)  # type: ignore[arg-type]
    rate, shrink = descent.lr or 0, descent.weight_decay
    canvas = jax.tree.map(lambda leaf, change: leaf - rate * (change + shrink * leaf), state.canvas, update).projected()
    new = replace(state, canvas=canvas, rule=rule, count=state.count + 1)
    new = _with_best(new, state.canvas, figures[0])
    if not descent.averages:
        return new
    decay = descent.average
    return replace(new, average=jax.tree.map(lambda a, leaf: decay * a + (1 - decay) * leaf, state.average, canvas))


@jax.jit
def _with_best(state: DescentState, canvas: Canvas, loss: jax.Array) -> DescentState:
    """The state, with this canvas as the best one if its loss is the lowest."""
    better = loss < state.best_loss
    best = jax.tree.map(lambda old, leaf: jnp.where(better, leaf, old), state.best, canvas)
    return replace(state, best=best, best_loss=jnp.where(better, loss, state.best_loss))


def result(descent: Descent, state: DescentState) -> Canvas:
    """What the descent has found: the average of its steps, or the best of those whose loss is known."""
    if not descent.averages:
        return state.best
    if not state.count:
        return state.canvas
    weight = 1 - descent.average ** state.count.astype(jnp.float32)  # a young average would be nearly nothing
    return jax.tree.map(lambda leaf: leaf / weight, state.average).projected()


def carried(state: DescentState, begun: DescentState) -> DescentState:
    """A descent that has begun at another size, with Adam's moments of the one before, made as large.

    Only moments of pixels have a meaning at another size; other canvases, and L-BFGS, begin anew.
    """
    if not isinstance(begun.canvas, Pixels) or not isinstance(begun.rule, optax.ScaleByAdamState):
        return begun
    size, structure = begun.canvas.size, jax.tree.structure(begun.canvas)

    def enlarged(canvas: Any, method: str) -> Any:
        return jax.tree.unflatten(structure, [resize(canvas.layers[0], size, method)])

    second = jax.tree.map(jax.nn.relu, enlarged(state.rule.nu, "bilinear"))
    rule = optax.ScaleByAdamState(state.rule.count, enlarged(state.rule.mu, "bicubic"), second)
    return replace(begun, rule=rule)


def _flat(canvas: Canvas, slope: Slope) -> lbfgs.Evaluate:
    """The slope, of a canvas's leaves in one vector."""
    whole = ravel_pytree(canvas)[1]

    def evaluate(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
        figures, gradient = slope(whole(flat))
        return figures, ravel_pytree(gradient)[0]

    return evaluate
