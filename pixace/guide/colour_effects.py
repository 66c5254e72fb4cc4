"""What changes the colours of a picture (H, W, 3) and leaves each pixel where it is.

The numbers of an effect come by the names of its members, float32 (n,); `value` is that of an effect with one alone.
`scale` says how many pixels (in x, in y) stand for one that sizes mean.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from pixace.guide.domains import whole
from pixace.guide.filters import gaussian_blur

GRAY = (0.2989, 0.587, 0.114)
Values = Mapping[str, jax.Array]
Scale = tuple[jax.Array | float, jax.Array | float]


def add(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """A colour added."""
    return picture + values["value"]


def mul(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Multiplied with a colour."""
    return picture * values["value"]


def mean(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Shifted so that the mean of each channel is the given one."""
    return picture + (values["value"] - picture.mean((0, 1)))


def clamp(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """No less than the first number, no more than the second."""
    return jnp.clip(picture, values["value"][0], values["value"][1])


def quantize(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Down to a multiple of a step, by channel; step 0 changes nothing. Gradients go straight through."""
    step = values["value"]
    safe = jnp.where(step == 0, 1, step)
    stepped = jnp.where(step == 0, picture, jnp.floor(picture / safe) * safe)
    return picture + jax.lax.stop_gradient(stepped - picture)


def gray(picture: jax.Array) -> jax.Array:
    """The brightness (H, W, 1) that eyes see (ITU-R BT.601)."""
    return (picture * jnp.array(GRAY)).sum(-1, keepdims=True)


def saturation(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Away from gray by a factor: 0 is gray, 1 as it is, kept in [0, 1]."""
    grays = gray(picture)
    return jnp.clip(grays + values["value"] * (picture - grays), 0, 1)


def contrast(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Away from the mean brightness by a factor, kept in [0, 1]; a negative factor is 0."""
    middle = gray(picture).mean()
    return jnp.clip(middle + jnp.maximum(values["value"], 0) * (picture - middle), 0, 1)


def blur(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """Gaussian blur: `kernel_size` (2,), 3 unless given, and `sigma` (2,), which follows from it."""
    return gaussian_blur(picture, values.get("kernel_size", jnp.full(2, 3.0)), values.get("sigma"), scale)


def edge(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """How far the picture is from what `blur` makes of it, times `amount` (3,), kept in [0, 1]."""
    return jnp.clip(jnp.abs(picture - blur(picture, values, scale)) * values.get("amount", 1.0), 0, 1)


def border(picture: jax.Array, values: Values, scale: Scale) -> jax.Array:
    """The outermost `size` (2,) columns and rows, 1 unless given, have a `color` (3,), black unless given."""
    size = jnp.maximum(whole(values.get("size", jnp.ones(2)), jnp), 0)
    height, width, _ = picture.shape
    near = [
        jnp.minimum(jnp.arange(edge), edge - 1 - jnp.arange(edge)) < size[i] * scale[i] - 1e-3
        for i, edge in enumerate((width, height))
    ]
    return jnp.where((near[0] | near[1][:, None])[..., None], values.get("color", 0.0), picture)


COLOUR_EFFECTS: dict[str, Callable[[jax.Array, Values, Scale], jax.Array]] = {
    "add": add,
    "mul": mul,
    "mean": mean,
    "clamp": clamp,
    "quantize": quantize,
    "saturation": saturation,
    "contrast": contrast,
    "blur": blur,
    "edge": edge,
    "border": border,
}
