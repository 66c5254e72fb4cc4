"""The cell of a token: all colours that become it. Inside, a colour is free.

A cell is six inequalities. With HSV they are bounds on value, saturation and hue, with RGB on each channel, and all of
them are linear in five numbers of a colour: red, green, blue, the largest V and the smallest m of these. With codes
from 0 to n a channel is rounded to code k from (k - 1/2) / n to (k + 1/2) / n, so that

    value:       V <= v,  V >= v
    saturation:  (V - m) / V <= s,  which is (1 - s) V - m <= 0,  and >= s
    hue:         on one side of the plane through the greys and a colour of the hue that bounds it, and of another

and the bounds beyond the first and the last code are left out. Of greys the hue is free, of black the saturation, too.
Where the largest and the smallest channel stay the same, a cell is convex.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import N_RESERVED
from pixace.tokenizer import Tokenizer

N_BOUNDS = 6
LARGEST, SMALLEST = 3, 4  # places of these two among the five numbers


@partial(jax.tree_util.register_dataclass, data_fields=["normals", "limits", "colours"], meta_fields=[])
@dataclass(frozen=True)
class Cells:
    """The cells of tokens of shape (...).

    Attributes:
        normals: float32 (..., 6, 5); a colour is inside where normals @ (red, green, blue, V, m) <= limits. A bound
            that is left out has only zeros. Lengths are such that what is above a limit is a distance in RGB.
        limits: float32 (..., 6).
        colours: float32 (..., 3), what the tokens are drawn as; inside.
    """

    normals: jax.Array
    limits: jax.Array
    colours: jax.Array


def cells_of(tokens: np.ndarray, tokenizer: Tokenizer, margin: float = 0.0) -> Cells:
    """The cells of the tokens (...) that their colours are encoded as: of many with one colour that is one.

    With a margin each bound is drawn in by it, or by half of what lies between it and the token's colour, if that is
    less. Raises `PixaceError` for ids outside the vocabulary.
    """
    drawn = tokenizer.decode_tokens(tokens)
    codes = tokenizer.encode_rgb(drawn).astype(np.int64) - N_RESERVED
    bits = tokenizer.config.bitdepth
    first, second = codes & (2 ** bits[0] - 1), (codes >> bits[0]) & (2 ** bits[1] - 1)
    channels = (first, second, codes >> (bits[0] + bits[1]))
    highest = tuple(2**count - 1 for count in bits)
    bounds = _rgb_bounds if tokenizer.config.tokenizer == "rgb" else _hsv_bounds
    normals, limits = bounds(channels, highest)
    colours = drawn / 255
    room = limits - np.einsum("...ij,...j->...i", normals, _numbers_of(colours))
    limits = limits - np.clip(room / 2, 0, margin)
    return Cells(*(jnp.asarray(part, jnp.float32) for part in (normals, limits, colours)))


def outside(colours: jax.Array | np.ndarray, cells: Cells) -> jax.Array:
    """How far colours (..., 3) lie beyond each bound of their cells, in RGB: (..., 6), all 0 inside."""
    red, green, blue = (colours[..., i : i + 1] for i in range(3))
    # Pair by pair: the slope of `max` over an axis is divided by how many colours equal the largest, which are none,
    # and the slope no number, where the compiler rounds the two that are compared differently.
    largest = jnp.maximum(jnp.maximum(red, green), blue)
    smallest = jnp.minimum(jnp.minimum(red, green), blue)
    numbers = jnp.concatenate([red, green, blue, largest, smallest], -1)
    return jax.nn.relu((cells.normals * numbers[..., None, :]).sum(-1) - cells.limits)


def _numbers_of(colours: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, colours.max(-1, keepdims=True), colours.min(-1, keepdims=True)], -1)


def _rgb_bounds(codes: tuple[np.ndarray, ...], highest: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    normals, limits = _no_bounds(codes[0].shape)
    for i, (code, n) in enumerate(zip(codes, highest, strict=True)):
        _bound(normals, limits, 2 * i, code < n, {i: 1.0}, (code + 0.5) / n)
        _bound(normals, limits, 2 * i + 1, code > 0, {i: -1.0}, -(code - 0.5) / n)
    return normals, limits


def _hsv_bounds(codes: tuple[np.ndarray, ...], highest: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    (hue, saturation, value), (n_hue, n_saturation, n_value) = codes, highest
    normals, limits = _no_bounds(hue.shape)
    _bound(normals, limits, 0, value < n_value, {LARGEST: 1.0}, (value + 0.5) / n_value)
    _bound(normals, limits, 1, value > 0, {LARGEST: -1.0}, -(value - 0.5) / n_value)
    for row, side in ((2, 1), (3, -1)):
        share = 1 - (saturation + side / 2) / n_saturation
        there = (value > 0) & (saturation < n_saturation if side > 0 else saturation > 0)
        length = side / np.hypot(share, 1)
        _bound(normals, limits, row, there, {LARGEST: share * length, SMALLEST: -length}, 0.0)
    # Of one bit both codes are red. Else a cell is at most a third of the circle: what two half-spaces can bound.
    coloured = (value > 0) & (saturation > 0) & (n_hue > 1)
    for row, side in ((4, 1), (5, -1)):
        plane = side * _hue_plane((hue % n_hue + side / 2) / n_hue)  # the last code is the first one, red
        _bound(normals, limits, row, coloured, {channel: plane[..., channel] for channel in range(3)}, 0.0)
    return normals, limits


def _no_bounds(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((*shape, N_BOUNDS, 5)), np.zeros((*shape, N_BOUNDS))


def _bound(
    normals: np.ndarray,
    limits: np.ndarray,
    row: int,
    there: np.ndarray | bool,
    entries: dict[int, np.ndarray | float],
    limit: np.ndarray | float,
) -> None:
    """Write one bound of each cell where it is `there`."""
    for place, entry in entries.items():
        normals[..., row, place] = np.where(there, entry, 0.0)
    limits[..., row] = np.where(there, limit, 0.0)


def _hue_plane(hue: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) of the planes through the greys and the hues (1 is the whole circle).

    They point to larger hues, up to half a circle on.
    """
    sixths = 6 * hue
    # Red, green and blue of the full colour of each hue: 1 within a sixth of its own third, 0 from two sixths on.
    pure = np.stack([np.clip(2 - np.abs((sixths - own + 3) % 6 - 3), 0, 1) for own in (0, 2, 4)], -1)
    normal = np.cross(np.ones(3), pure)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)
