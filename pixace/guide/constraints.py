"""What a guide file asks of a view's pixels themselves, as losses beside the opinion of CLIP.

Unless said otherwise each takes the mean over pixels and channels of absolute (`l1`) or squared (`l2`) distances.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pixace.guide.colour_effects import Values, blur, border
from pixace.guide.noises import noise

STRONG_EDGE = 0.7  # of the strongest
SAME_SCALE = (1.0, 1.0)


class _Asked(NamedTuple):
    """All that a function below looks at."""

    view: jax.Array
    values: Values
    key: jax.Array
    distance: Callable[[jax.Array], jax.Array]  # of differences
    attract: bool

    def between(self, value: jax.Array) -> jax.Array:
        """How far a value by channel (3,) is from where `above` and `below` want it."""
        loss = jnp.zeros(())
        for name, sign in (("above", 1), ("below", -1)):
            if name in self.values:
                missing = sign * (self.values[name] - value)
                loss += self.distance(missing if self.attract else jnp.maximum(missing, 0))
        return loss


def loss(
    kind: str,
    view: jax.Array,
    values: Values,
    texts: Mapping[str, str],
    key: jax.Array,
    attract: bool = False,
) -> jax.Array:
    """How far a view is from what a constraint asks, before its weight.

    Args:
        kind: one of `CONSTRAINTS`.
        view: float32 (h, w, 3), in [0, 1].
        values: numbers by member, float32 (n,). `above` and `below` may be left out.
        texts: `loss`, one of `CONSTRAINT_LOSSES`; l2 unless given.
        key: what randomness comes of.
        attract: `above` and `below` pull the value to themselves from both sides, as CLIPig has it; else `above`
            pulls up what is less, and `below` pulls down what is more.
    """
    absolute = texts.get("loss", "l2") in ("l1", "mae")
    distance = (lambda d: jnp.abs(d).mean()) if absolute else (lambda d: jnp.square(d).mean())
    return LOSSES[kind](_Asked(view, values, key, distance, attract))


def _mean(asked: _Asked) -> jax.Array:
    return 100 * asked.between(asked.view.mean((0, 1)))


def _std(asked: _Asked) -> jax.Array:
    # A view of one colour has no std that could be derived, but nearly.
    return 100 * asked.between(jnp.sqrt(asked.view.var((0, 1), ddof=1) + 1e-12))


def _saturation(asked: _Asked) -> jax.Array:
    """Of each channel, how far it is from the mean of all three."""
    return 100 * asked.between(jnp.abs(asked.view - asked.view.mean(-1, keepdims=True)).mean((0, 1)))


def _contrast(asked: _Asked) -> jax.Array:
    """Of each channel, the mean of what is above its mean, less the mean of what is below."""
    view, middle = asked.view, asked.view.mean((0, 1))

    def mean_of(chosen: jax.Array) -> jax.Array:
        n = chosen.sum((0, 1))
        return jnp.where(n > 0, (view * chosen).sum((0, 1)) / jnp.maximum(n, 1), middle)

    return asked.between(mean_of(view > middle) - mean_of(view < middle))


def _edges(asked: _Asked) -> jax.Array:
    return jnp.abs(blur(asked.view, asked.values, SAME_SCALE) - asked.view)


def _edge_mean(asked: _Asked) -> jax.Array:
    return 100 * asked.between(_edges(asked).mean((0, 1)))


def _edge_max(asked: _Asked) -> jax.Array:
    """Of each channel, the mean of its strongest edges."""
    edges = _edges(asked)
    strong = edges >= STRONG_EDGE * edges.max((0, 1))
    return 100 * asked.between((edges * strong).sum((0, 1)) / strong.sum((0, 1)))


def _blur(asked: _Asked) -> jax.Array:
    return 100 * asked.distance(asked.view - blur(asked.view, asked.values, SAME_SCALE))


def _border(asked: _Asked) -> jax.Array:
    return 100 * asked.distance(asked.view - border(asked.view, asked.values, SAME_SCALE))


def _normalize(asked: _Asked) -> jax.Array:
    """From the view stretched so that each channel reaches from `min` to `max`, 0 and 1 unless given."""
    low, high = asked.view.min((0, 1)), asked.view.max((0, 1))
    least, most = asked.values.get("min", 0.0), asked.values.get("max", 1.0)
    unit = (asked.view - low) / jnp.where(high > low, high - low, 1)
    return 10 * asked.distance(asked.view - (least + unit * (most - least)))


def _noise(asked: _Asked) -> jax.Array:
    """From the view with noise of `std` (3,), which is taken as given: so the view is pulled to where noise has it.

    Were it not, the view would cancel out of the difference, and nothing were asked of it.
    """
    noisy = noise(asked.view, {"value": asked.values["std"]}, asked.key)
    return 100 * asked.distance(asked.view - jax.lax.stop_gradient(noisy))


def _total_variation(asked: _Asked) -> jax.Array:
    """Between neighbours, in x and in y."""
    return 100 * (asked.distance(jnp.diff(asked.view, axis=1)) + asked.distance(jnp.diff(asked.view, axis=0)))


def _symmetry(asked: _Asked) -> jax.Array:
    """From the view in a mirror."""
    return 100 * asked.distance(asked.view - asked.view[:, ::-1])


LOSSES: dict[str, Callable[[_Asked], jax.Array]] = {
    "mean": _mean,
    "std": _std,
    "saturation": _saturation,
    "contrast": _contrast,
    "edge_mean": _edge_mean,
    "edge_max": _edge_max,
    "blur": _blur,
    "border": _border,
    "normalize": _normalize,
    "noise": _noise,
    "total_variation": _total_variation,
    "symmetry": _symmetry,
}
