"""Effects one after the other: those that move pixels are composed, so that a view is looked up once in its source.

All numbers are traced: no change of any of them compiles anew. Pixels are there, in an array of a fixed size, only
where an effect on colours or noise needs them; the domain, which says how large the picture is meant to be, may have
another size. Where it is smaller than the array, noise of single pixels is as fine as the array's, and shifts by whole
pixels blend neighbours; `working_sizes` makes arrays as large as the largest domain.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from pixace.guide.colour_effects import COLOUR_EFFECTS
from pixace.guide.domains import Domain, Step, domain_after
from pixace.guide.geometry import Move, moved_back, wraps
from pixace.guide.kinds import EFFECTS
from pixace.guide.noises import NOISES
from pixace.guide.points import centres
from pixace.guide.warping import sample

Size = tuple[int, int]


def run(
    picture: jax.Array,
    steps: Sequence[Step],
    values: Sequence[Mapping[str, jax.Array]],
    key: jax.Array,
    out_size: Size,
    sizes: Sequence[Size],
    nearest: bool = False,
) -> jax.Array:
    """A view (h, w, 3) of a picture, after some effects; to be mapped over views, each with its key and numbers.

    Args:
        picture: float32 (H, W, 3).
        steps: the effects; static.
        values: of each, its numbers by member, float32 (n,), sizes width first. A member `active` (1,) that is 0
            turns the effect off.
        key: what all randomness of this view comes of.
        out_size: (h, w), to which the result is stretched; static.
        sizes: of the arrays between effects, from `working_sizes`; static.
        nearest: pixels are looked up without smoothing.
    """
    height, width, _ = picture.shape
    held: Domain = float(width), float(height)  # the domain that `picture` covers
    domain, moves, sizes = held, [], list(sizes)
    for i, (step, numbers) in enumerate(zip(steps, values, strict=True)):
        own_key = jax.random.fold_in(key, i)
        if EFFECTS[step.kind].group == "geometry":
            after = domain_after(step, numbers, domain, jnp)
            moves.append(Move(step, numbers, own_key, domain, after))
            domain = after
            continue
        if moves:
            picture = _seen(picture, held, moves, domain, sizes.pop(0), nearest)
            held, moves = domain, []
        picture = _changed(picture, step, numbers, own_key, held)
    if moves or picture.shape[:2] != tuple(out_size):
        picture = _seen(picture, held, moves, domain, out_size, nearest)
    return picture


def _seen(
    picture: jax.Array, held: Domain, moves: Sequence[Move], domain: Domain, size: Size, nearest: bool
) -> jax.Array:
    """The (h, w, 3) pixels of a domain that effects make of the one that a picture covers."""
    points = centres(size, domain)
    for move in reversed(moves):
        points = moved_back(points, *move)
    return sample(picture, points, held, bool(moves) and wraps(moves[0].step), nearest)


def _changed(
    picture: jax.Array, step: Step, values: Mapping[str, jax.Array], key: jax.Array, domain: Domain
) -> jax.Array:
    height, width, _ = picture.shape
    if EFFECTS[step.kind].group == "noise":
        changed = NOISES[step.kind](picture, values, key)
    else:
        changed = COLOUR_EFFECTS[step.kind](picture, values, (width / domain[0], height / domain[1]))
    return jnp.where(values["active"][0] > 0, changed, picture) if "active" in values else changed
