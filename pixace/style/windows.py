"""What is to be seen in each window of a picture, and what of it counts.

Legend: H, W picture; h, w a layer's map; C its channels; R regions, each with a style of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pixace.canvas.resizing import resize
from pixace.fields import require
from pixace.style.layers import map_size, ordered, radius, stride
from pixace.style.tiles import Tiling, cut


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["start", "shares", "owned", "content", "scales"],
    meta_fields=["size"],
)
@dataclass(frozen=True)
class Window:
    """What is to be seen in a part of a picture.

    Attributes:
        size: (h, w) in pixels, static.
        start: int32 (2,), its first row and column.
        shares: by style layer (R, h, w): the share of each position in its region; over all windows they add up to 1.
        owned: by content layer (h, w): the share of each position in the whole map.
        content: by content layer (h, w, C): the maps to be near to.
        scales: by content layer (): the mean square of the whole map to be near to.
    """

    size: tuple[int, int]
    start: jax.Array
    shares: dict[str, jax.Array]
    owned: dict[str, jax.Array]
    content: dict[str, jax.Array]
    scales: dict[str, jax.Array]


def make_windows(
    network: str,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    size: tuple[int, int],
    tile: int,
    masks: Sequence[np.ndarray] | None,
) -> list[Window]:
    """The windows over a picture, without content.

    Args:
        network: vgg16 or vgg19.
        content_layers, style_layers: what is looked at.
        size: (H, W) of the picture.
        tile: longest edge of a window, in pixels.
        masks: (H, W) in [0, 1] of each region; None for one region, the whole picture.

    Raises:
        ConfigError: a mask is empty at some layer, or tiles are too small.
    """
    layers = ordered([*style_layers, *content_layers])
    halo = max((radius(layer, network) for layer in layers), default=0)
    tiling = cut(size, tile, halo)
    regions = [np.ones(size, np.float32)] if masks is None else masks
    shares = {layer: _shares(layer, size, regions) for layer in style_layers}
    windows = []
    for start, borders in zip(tiling.starts, tiling.owned, strict=True):
        parts = {layer: _part(tiling, start, borders, layer) for layer in layers}
        windows.append(
            Window(
                tiling.window,
                jnp.asarray(start, jnp.int32),
                {layer: jnp.asarray(shares[layer][:, *parts[layer][0]] * parts[layer][1]) for layer in shares},
                {layer: jnp.asarray(parts[layer][1] / math.prod(map_size(layer, size))) for layer in content_layers},
                {},
                {},
            )
        )
    return windows


def _shares(layer: str, size: tuple[int, int], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Masks (H, W) at the size of a layer's map, each adding up to 1: float32 (R, h, w)."""
    small = np.stack([np.asarray(resize(mask[..., None], map_size(layer, size), "area"))[..., 0] for mask in masks])
    totals = small.sum((1, 2), keepdims=True)
    require(
        bool((totals > 0).all()), f"a mask is black everywhere, as {layer} sees it; a style counts where it is white"
    )
    return small / totals


def _part(
    tiling: Tiling, start: tuple[int, int], borders: tuple[int, int, int, int], layer: str
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Where a window's map lies in the whole map, and 1 where a position is the window's own, else 0 (h, w)."""
    step, own = stride(layer), []
    places = []
    for first, length, (low, high) in zip(start, tiling.window, (borders[:2], borders[2:]), strict=True):
        place = slice(first // step, first // step + length // step)
        positions = np.arange(place.start, place.stop)
        own.append((positions >= low // step) & (positions < -(-high // step)))
        places.append(place)
    return (places[0], places[1]), np.outer(*own).astype(np.float32)
