"""Sizes of pictures as people give them: both edges, or the longer one."""

import operator

import numpy as np

from pixace.errors import ConfigError
from pixace.fields import require

LARGEST_EDGE = 16384  # pixels
Size = tuple[int, int]  # height, width


def whole_size(size: int | Size | None, shape: Size | None, name: str = "out_size") -> Size:
    """The (H, W) that `size` stands for.

    Args:
        size: (H, W), or the longer edge of something of this shape, or None for the size that it has.
        shape: (height, width) of the picture that there is; None for none, which is then square.
        name: what to call `size` in errors.

    Raises:
        ConfigError: an edge would have no pixels or too many, or there is no picture whose size None stands for.
    """
    require(size is not None or shape is not None, f"{name}=None needs a picture whose size it stands for")
    own = shape or (1, 1)
    try:
        if size is None:
            whole = list(own)
        elif np.ndim(size):
            whole = [operator.index(edge) for edge in size]  # type: ignore[union-attr]
        else:
            whole = list(fitted(operator.index(size), own))  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"{name}={size!r}: a whole number, or two as (height, width), is needed") from None
    require(len(whole) == 2 and min(whole) >= 1, f"{name}={size}: at least 1 pixel an edge is needed")
    require(max(whole) <= LARGEST_EDGE, f"{name}={size}: at most {LARGEST_EDGE} pixels an edge are possible")
    return whole[0], whole[1]


def fitted(longer: int, shape: Size) -> Size:
    """The size of this shape whose longer edge is given; 0 x 0 for no edge."""
    height, width = (max(1, round(longer * edge / max(shape))) if longer > 0 else 0 for edge in shape)
    return height, width
