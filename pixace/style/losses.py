"""Distances of feature maps, roughness of pictures, the angle between embeddings, and the loss of fast networks.

Legend: B pictures; H, W their size; h, w size of a map; C channels.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pixace.fields import require
from pixace.style.statistics import moments

CONTENT_DISTANCES = ("mse", "l1", "normalised")
ROUGHNESS = ("squared", "absolute", "nine")
LEAST_SCALE = 1e-12  # of a map that is all but 0


def content_distance(
    kind: str,
    found: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    total: float | jax.Array | None = None,
    scale: jax.Array | None = None,
) -> jax.Array:
    """How far maps are from others, a float32 scalar; what windows give adds up where `total` is the whole's.

    Args:
        kind: `mse`, mean squared difference; `l1`, mean absolute difference; `normalised`, mse divided by `scale`.
        found: (..., C).
        target: (..., C).
        weight: (...), how much each position counts (default: all 1).
        total: what the weighted sum over positions is divided by (default: the sum of the weights).
        scale: for `normalised`, the mean square of the whole target (`mean_square`; default: of this one).

    Raises:
        ConfigError: the kind is not known.
    """
    _check_kind(kind, CONTENT_DISTANCES, "content_distance")
    target = target.astype(jnp.float32)
    difference = found.astype(jnp.float32) - target
    distance = _mean(jnp.abs(difference) if kind == "l1" else jnp.square(difference), weight, total)
    if kind != "normalised":
        return distance
    scale = mean_square(target, weight) if scale is None else scale
    return distance / jnp.maximum(scale, LEAST_SCALE)


def mean_square(
    features: jax.Array, weight: jax.Array | None = None, total: float | jax.Array | None = None
) -> jax.Array:
    """The mean of the squares of maps (..., C), a float32 scalar; `weight` and `total` as in `content_distance`."""
    return _mean(jnp.square(features.astype(jnp.float32)), weight, total)


def total_variation(picture: jax.Array, kind: str = "squared") -> jax.Array:
    """How rough a picture (..., H, W, 3) is, a scalar.

    `squared` and `absolute` add up the squares, or the absolute values, of the differences of neighbours in rows and
    in columns, and divide by the number of values. `nine` (after style-transfer-pytorch) sees all eight neighbours:
    with the edges repeated once, twice the sum of the means of squares, a third of those along each axis and a
    twelfth of those along each diagonal.

    Raises:
        ConfigError: the kind is not known.
    """
    _check_kind(kind, ROUGHNESS, "tv")
    if kind == "nine":
        padded = jnp.pad(picture, [(0, 0)] * (picture.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="edge")
        first, last = padded[..., :-1, :, :], padded[..., 1:, :, :]
        diagonals = jnp.square(last[..., 1:, :] - first[..., :-1, :]), jnp.square(last[..., :-1, :] - first[..., 1:, :])
        # What is repeated beyond the edges has no differences along them.
        return 2 * (total_variation(picture) / 3 + sum(square.mean() for square in diagonals) / 12)
    size = jnp.square if kind == "squared" else jnp.abs
    rows, columns = (size(jnp.diff(picture, axis=axis)).sum() for axis in (-3, -2))
    return (rows + columns) / picture.size


def spherical_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Half the square of the angle between vectors (..., C), in radians: (...).

    Gradients are finite everywhere, and 0 for vectors of equal or of opposite direction.
    """
    a, b = (vector / jnp.maximum(_length(vector), LEAST_SCALE)[..., None] for vector in (a, b))
    angle = 2 * jnp.arctan2(_length(a - b), _length(a + b))  # exact to the last digits, unlike arcus cosine
    return jnp.square(angle) / 2


def perceptual_loss(
    generated_content: Mapping[str, jax.Array],
    generated_style: Mapping[str, jax.Array],
    content_targets: Mapping[str, jax.Array],
    style_targets: Mapping[str, jax.Array],
    generated_image: jax.Array | None = None,
    content_weight: float = 1.0,
    style_weight: float = 1e5,
    tv_weight: float = 1e-10,
    anisotropic: bool = False,
) -> dict[str, jax.Array]:
    """The loss of Johnson, Alahi and Li (https://arxiv.org/abs/1603.08155): content, style and total variation.

    The content is the mean squared difference of maps; the style is that of their Gram matrices, divided by C h w.
    Both are added up over layers.

    Args:
        generated_content, content_targets: maps (B, h, w, C) by layer, of the same layers.
        generated_style, style_targets: the same for the style; targets may be of one picture (1, h', w', C).
        generated_image: (B, H, W, 3); None for no total variation.
        content_weight, style_weight, tv_weight: of the terms in the whole.
        anisotropic: the total variation is that of absolute values, not of squares.

    Returns:
        Scalars: `perceptual`, the weighted sum, and without weights `content`, `style` and `tv`.

    Raises:
        ConfigError: targets and maps are of different layers.
    """
    for name, found, wanted in (
        ("content", generated_content, content_targets),
        ("style", generated_style, style_targets),
    ):
        layers = f"{', '.join(found)} and {', '.join(wanted)}"
        require(found.keys() == wanted.keys(), f"layers of the {name} and of its targets differ: {layers}")
    content = sum(
        (content_distance("mse", found, content_targets[layer]) for layer, found in generated_content.items()),
        start=jnp.float32(0),
    )
    style = sum(
        (jnp.square(_grams(found) - _grams(style_targets[layer])).mean() for layer, found in generated_style.items()),
        start=jnp.float32(0),
    )
    kind = "absolute" if anisotropic else "squared"
    tv = jnp.float32(0) if generated_image is None else total_variation(generated_image, kind)
    whole = content_weight * content + style_weight * style + tv_weight * tv
    return {"perceptual": whole, "content": content, "style": style, "tv": tv}


def _grams(features: jax.Array) -> jax.Array:
    """Gram matrices (B, C, C) of maps (B, h, w, C), divided by C h w."""
    return jax.vmap(moments)(features).second / features.shape[-1]


def _mean(values: jax.Array, weight: jax.Array | None, total: float | jax.Array | None) -> jax.Array:
    """The mean over channels of values (..., C), and the weighted sum over positions, divided by `total`."""
    values = values.mean(-1)
    if weight is not None:
        values = values * weight
    if total is None:
        total = values.size if weight is None else jnp.maximum(weight.sum(), jnp.finfo(jnp.float32).tiny)
    return values.sum() / total


def _length(vectors: jax.Array) -> jax.Array:
    """Lengths (...) of vectors (..., C); the gradient of a length of 0 is 0."""
    squares = jnp.square(vectors).sum(-1)
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def _check_kind(kind: str, known: tuple[str, ...], name: str) -> None:
    require(kind in known, f"{name}={kind!r} is not known; choose one of {', '.join(known)}")
