"""Where the pixels of a view come from: maps of geometric effects, taken backward from the view to its source.

Each function takes the points at which the result of its effect is looked at, and returns those at which the picture
before it must be: to move a picture to the right is to look to the left.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pixace.guide.domains import Domain, Step, Values, pad_size, pixels, whole
from pixace.guide.points import Number, Points, outside, projected, stretched, translated, turned, wrapped

LEAST_ZOOM = 1e-3


def wraps(step: Step) -> bool:
    """Whether the opposite edges of the picture that an effect takes come to lie side by side."""
    return step.kind in ("shift", "random_shift", "repeat") or (step.kind, step.text("mode", "")) == ("pad", "wrap")


def moved_back(points: Points, step: Step, values: Values, key: jax.Array, before: Domain, after: Domain) -> Points:
    """Points in the picture after an effect, as points in the one before it.

    Args:
        points: in the domain `after`.
        step: the effect, a geometric one.
        values: its numbers, by member, (n,) each. Where there is `active` (1,), and it is 0, nothing happens.
        key: what randomness comes of.
        before, after: domains of the pictures.
    """
    move = Move(step, values, key, before, after)
    moved = MOVES[step.kind](points, move)
    if "active" in values:
        active = values["active"][0] > 0
        return Points(*(_where(active, new, old) for new, old in zip(moved, points, strict=True)))
    return moved


def _where(active: jax.Array, new: Any, old: Any) -> Any:
    return new if new is old else jnp.where(active, new, old)


class Move(NamedTuple):
    """All that a function below needs to know of its effect: the arguments of `moved_back`."""

    step: Step
    values: Values
    key: jax.Array
    before: Domain
    after: Domain

    @property
    def value(self) -> jax.Array:
        """The numbers of an effect with one member."""
        return self.values["value"]

    def uniform(self, low: Number, high: Number, draw: int) -> jax.Array:
        """A random number between two; each draw another."""
        return low + (high - low) * jax.random.uniform(jax.random.fold_in(self.key, draw))

    def within(self, limits: jax.Array, draw: int) -> jax.Array:
        """A random number between two that are given as (2,)."""
        return self.uniform(limits[0], limits[1], draw)


def _pad(points: Points, move: Move) -> Points:
    across, down = pad_size(move.step, move.values, move.before, jnp)
    points = translated(points, -across, -down)
    mode = move.step.text("mode", "fill")
    if mode == "wrap":
        return wrapped(points, move.before)
    if mode == "fill":
        return outside(points, move.before, move.values.get("color", 0.0))
    x, y = (jnp.clip(at, 0.5, edge - 0.5) for at, edge in zip((points.x, points.y), move.before, strict=True))
    inside_x, inside_y = x == points.x, y == points.y
    return points._replace(
        x=x,
        y=y,
        xx=points.xx * inside_x,
        xy=points.xy * inside_x,
        yx=points.yx * inside_y,
        yy=points.yy * inside_y,
    )


def _repeat(points: Points, move: Move) -> Points:
    return wrapped(points, move.before)


def _resize(points: Points, move: Move) -> Points:
    points = points._replace(least_x=jnp.maximum(points.least_x, 1), least_y=jnp.maximum(points.least_y, 1))
    ratios = (old / new for old, new in zip(move.before, move.after, strict=True))
    return stretched(points, (0, 0), *ratios)


def _crop(points: Points, move: Move) -> Points:
    left, top = (pixels(move.value[i], move.before[i], jnp) for i in range(2))
    return outside(translated(points, left, top), move.before)


def _center_crop(points: Points, move: Move) -> Points:
    left, top = (jnp.round((old - new) / 2) for old, new in zip(move.before, move.after, strict=True))
    return outside(translated(points, left, top), move.before)


def _random_crop(points: Points, move: Move) -> Points:
    """Where the crop is larger, the picture comes to lie anywhere in it."""
    left, top = (
        jnp.round(move.uniform(-0.499, jnp.abs(room) + 0.499, i)) * jnp.sign(room)
        for i, room in enumerate(old - new for old, new in zip(move.before, move.after, strict=True))
    )
    return outside(translated(points, left, top), move.before)


def _rotate(points: Points, move: Move) -> Points:
    centre = move.values.get("center", jnp.full(2, 0.5))
    centre = centre[0] * move.before[0], centre[1] * move.before[1]
    return outside(turned(points, -move.values["degree"][0], centre), move.before)


def _random_rotate(points: Points, move: Move) -> Points:
    limits = move.values.get("center", jnp.full(2, 0.5))
    centre = move.within(limits, 1) * move.before[0], move.within(limits, 2) * move.before[1]
    return outside(turned(points, -move.within(move.values["degree"], 0), centre), move.before)


def _random_scale(points: Points, move: Move) -> Points:
    shrink = 1 / jnp.maximum(move.within(move.value, 0), LEAST_ZOOM)
    centre = move.before[0] / 2, move.before[1] / 2
    return outside(stretched(points, centre, shrink, shrink), move.before)


def _random_translate(points: Points, move: Move) -> Points:
    across, down = (
        jnp.round(move.uniform(-most * edge, most * edge, i))
        for i, (most, edge) in enumerate(zip(move.value, move.before, strict=True))
    )
    return outside(translated(points, -across, -down), move.before)


def _random_perspective(points: Points, move: Move) -> Points:
    """Each corner moves toward the middle, by up to `value` halves of an edge."""
    half = jnp.clip(move.value[0], 0, 1) / 2
    inward = [(move.uniform(0, half, 2 * i), move.uniform(0, half, 2 * i + 1)) for i in range(4)]
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))  # from the corner at the top left, clockwise
    corners = [
        ((sign_x < 0) + sign_x * x, (sign_y < 0) + sign_y * y)
        for (sign_x, sign_y), (x, y) in zip(signs, inward, strict=True)
    ]
    return outside(projected(points, corners, move.before), move.before)


def _shift(points: Points, move: Move) -> Points:
    across, down = (pixels(move.value[i], move.before[i], jnp) for i in range(2))
    return wrapped(translated(points, -across, -down), move.before)


def _random_shift(points: Points, move: Move) -> Points:
    """A range within -1 and 1 is of parts of the size, any other of pixels."""
    ranges = move.value[:2], move.value[-2:]
    shifts = []
    for i, ((low, high), edge) in enumerate(zip(ranges, move.before, strict=True)):
        draw = move.uniform(low, high, i)
        are_parts = jnp.maximum(jnp.abs(low), jnp.abs(high)) <= 1
        shifts.append(jnp.where(are_parts, pixels(draw, edge, jnp), whole(draw, jnp)))
    return wrapped(translated(points, -shifts[0], -shifts[1]), move.before)


def _flipped(points: Points, across: jax.Array, down: jax.Array, domain: Domain) -> Points:
    centre = domain[0] / 2, domain[1] / 2
    return stretched(points, centre, jnp.where(across, -1.0, 1.0), jnp.where(down, -1.0, 1.0))


def _flip(points: Points, move: Move) -> Points:
    return _flipped(points, move.value[0] > 0, move.value[1] > 0, move.before)


def _random_flip(points: Points, move: Move) -> Points:
    across, down = (move.uniform(0, 1, i) < move.value[i] for i in range(2))
    return _flipped(points, across, down, move.before)


MOVES: dict[str, Callable[[Points, Move], Points]] = {
    "pad": _pad,
    "repeat": _repeat,
    "resize": _resize,
    "crop": _crop,
    "center_crop": _center_crop,
    "random_crop": _random_crop,
    "rotate": _rotate,
    "random_rotate": _random_rotate,
    "random_scale": _random_scale,
    "random_translate": _random_translate,
    "random_perspective": _random_perspective,
    "shift": _shift,
    "random_shift": _random_shift,
    "flip": _flip,
    "random_flip": _random_flip,
}
