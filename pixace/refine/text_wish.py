"""What words ask of a refined picture, in the eyes of a CLIP that sees it whole and cut anywhere."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.clip.config import ClipConfig
from pixace.clip.model import Clip, encode_image
from pixace.guide import chain
from pixace.guide.agreement import distances
from pixace.guide.domains import Step
from pixace.refine.refine import Wish

VIEWS = 8  # a step; the first is the whole picture
SMALLEST = 0.4  # crop, as a part of the edge
NOISE = 0.05  # standard deviation: what only a pixel's value says is not seen


def text_wish(texts: Sequence[str], clip: Clip, seed: int = 0) -> Wish:
    """That a picture be like all of these texts: the mean of `spherical` over texts and views.

    Args:
        texts: at least one.
        clip: whose eyes.
        seed: of where it looks.

    Raises:
        PixaceError: the CLIP cannot read texts.
    """
    wanted = clip.encode_text(list(texts))
    key, steps = jax.random.key(seed), iter(range(2**31))

    def wish(picture: jax.Array) -> tuple[jax.Array, jax.Array]:
        number = next(steps)
        edges = np.random.default_rng([seed, number]).uniform(SMALLEST, 1, VIEWS) * min(picture.shape[:2])
        edges[0] = min(picture.shape[:2])
        crops = np.repeat(np.maximum(edges, 1)[:, None], 2, 1).astype(np.float32)
        weights, own = clip.weights["image"], jax.random.fold_in(key, number)
        return _slope(clip.config, clip.dtype, clip.image_size, picture, weights, wanted, crops, own)

    return wish


@partial(jax.jit, static_argnums=(0, 1, 2))
def _slope(
    config: ClipConfig,
    dtype: str,
    size: int,
    picture: jax.Array,
    weights: object,
    wanted: jax.Array,
    crops: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The loss, and its gradient (E, E, 3)."""

    def view(picture: jax.Array, crop: jax.Array, own: jax.Array) -> jax.Array:
        place, noise = jax.random.split(own)
        seen = chain.run(picture, (Step("random_crop"),), ({"value": crop},), place, (size, size), ())
        return jnp.clip(seen + NOISE * jax.random.normal(noise, seen.shape), 0, 1)

    def loss(picture: jax.Array) -> jax.Array:
        views = jax.vmap(view, (None, 0, 0))(picture, crops, jax.random.split(key, len(crops)))
        vectors = encode_image(weights, config, dtype, views)  # type: ignore[arg-type]
        kinds = ["spherical"] * len(wanted)
        return jax.vmap(lambda vector: distances(kinds, vector, wanted).mean())(vectors).mean()

    return jax.value_and_grad(loss)(picture)
