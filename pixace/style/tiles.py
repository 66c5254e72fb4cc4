"""Windows over a picture that is too large to look at in one piece.

Each window looks `halo` pixels beyond the part of the picture that it owns, as far as any feature in that part
depends on pixels. So sums over a feature map are the same, window by window, as those over the whole map, and so are
their gradients: there are no seams to hide. All windows have one shape, so that one compiled program serves them.
"""

from dataclasses import dataclass
from itertools import pairwise

from pixace.errors import ConfigError

GRID = 16  # pixels to one step of the coarsest map (block 5): windows start and end on multiples of it


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut; everything in pixels.

    Attributes:
        size: (H, W) of the picture.
        window: (h, w) of each window.
        starts: (y, x) of each window's first pixel.
        owned: (y, x) ranges of what each owns, (top, bottom, left, right); together they cover the picture once.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    starts: tuple[tuple[int, int], ...]
    owned: tuple[tuple[int, int, int, int], ...]

    def __len__(self) -> int:
        return len(self.starts)


def whole(size: tuple[int, int]) -> Tiling:
    """One window, the picture itself."""
    return Tiling(size, size, ((0, 0),), ((0, size[0], 0, size[1]),))


def cut(size: tuple[int, int], edge: int, halo: int) -> Tiling:
    """Windows of at most `edge` pixels for a picture (H, W), both of whose edges are multiples of `GRID`.

    Args:
        size: (H, W).
        edge: longest edge of a window, in pixels.
        halo: pixels that a feature depends on beyond its own cell.

    Raises:
        ConfigError: windows of that edge would own nothing, or the size is no multiple of `GRID`.
    """
    if max(size) <= edge:
        return whole(size)
    if any(length % GRID for length in size):
        raise ConfigError(f"a picture of {size[1]}x{size[0]} pixels is cut into tiles: both need multiples of {GRID}")
    halo, edge = _up(halo), edge // GRID * GRID
    if edge < 2 * halo + 4 * GRID:
        raise ConfigError(f"--tile={edge}: these layers look {halo} pixels around; at least {2 * halo + 4 * GRID}")
    rows, columns = (_cut_edge(length, edge, halo) for length in size)
    window = min(size[0], edge), min(size[1], edge)
    starts = tuple((y, x) for y, _, _ in rows for x, _, _ in columns)
    owned = tuple((top, bottom, left, right) for _, top, bottom in rows for _, left, right in columns)
    return Tiling(size, window, starts, owned)


def _up(length: int) -> int:
    return -(-length // GRID) * GRID


def _cut_edge(length: int, edge: int, halo: int) -> list[tuple[int, int, int]]:
    """Windows along one edge: (start, first pixel owned, first pixel not owned any more)."""
    if length <= edge:
        return [(0, 0, length)]
    count = 1 + -(-(length - edge) // (edge - 2 * halo - GRID))
    starts = [(length - edge) * i // (count - 1) // GRID * GRID for i in range(count)]
    # A border lies in the middle of what two windows share, at least a halo away from the end of either.
    borders = [_up((later + earlier + edge) // 2) for earlier, later in pairwise(starts)]
    borders = [min(b, start + edge - halo) for b, start in zip(borders, starts, strict=False)]
    return list(zip(starts, [0, *borders], [*borders, length], strict=True))
