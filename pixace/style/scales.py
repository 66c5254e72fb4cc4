"""The sizes at which a picture is made, from coarse to fine."""

from pixace.canvas.sizes import Size, fitted
from pixace.fields import require


def scale_ladder(smallest: int, largest: int) -> list[int]:
    """Longer edges in pixels, rising by sqrt(2) up to `largest`, none below `smallest` but `largest` itself.

    >>> scale_ladder(128, 512)
    [128, 181, 256, 362, 512]

    Raises:
        ConfigError: an edge has no pixels.
    """
    require(min(smallest, largest) >= 1, f"scales from {smallest} to {largest} pixels: at least 1 is needed")
    edges = [largest]
    while (smaller := round(largest / 2 ** (len(edges) / 2))) >= smallest and smaller < edges[-1]:
        edges.append(smaller)
    return edges[::-1]


def size_at(edge: int, shape: Size) -> Size:
    """(H, W) of a picture of this shape whose longer edge is given; no edge is shorter than a pixel."""
    return fitted(edge, shape)


def scale_sizes(size: Size, smallest: int) -> list[Size]:
    """(H, W) of each scale of a picture of this size, which is the last of them."""
    return [size_at(edge, size) for edge in scale_ladder(smallest, max(size))]
