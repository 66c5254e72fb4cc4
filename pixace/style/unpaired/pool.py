"""Generated pictures of earlier steps, which discriminators are shown again so that they do not forget.

Shrivastava et al., https://arxiv.org/abs/1612.07828, as Zhu et al. use it.

Legend: N places, B pictures, E their edge.
"""

import jax
import jax.numpy as jnp


def exchange(pool: jax.Array, seen: jax.Array, pictures: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pool after pictures came by, and what the discriminator is shown instead of them.

    Until the pool is full a picture is put into it and shown. From then on, half of them are shown and not kept;
    the others take the place of a random one of the pool, which is shown in their stead.

    Args:
        pool: (N, E, E, 3).
        seen: int32 scalar, the number of pictures that came by before.
        pictures: (B, E, E, 3), taken one after another.
        key: of what is random.
    """
    places = len(pool)
    shown = []
    for i, (picture, own) in enumerate(zip(pictures, jax.random.split(key, len(pictures)), strict=True)):
        half, choice = jax.random.split(own)
        filling = seen + i < places
        exchanged = ~filling & jax.random.bernoulli(half)
        place = jnp.where(filling, seen + i, jax.random.randint(choice, (), 0, places))
        old = pool[place]
        shown.append(jnp.where(exchanged, old, picture))
        pool = pool.at[place].set(jnp.where(filling | exchanged, picture, old))
    return pool, jnp.stack(shown)
