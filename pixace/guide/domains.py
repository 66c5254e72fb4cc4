"""How large pictures get along a chain of effects: the same arithmetic on the host and in compiled programs.

The domain of a picture is its (width, height) in pixels as the guide file means them, which may change from epoch to
epoch. The array that holds the picture has a fixed size, and covers the domain whatever that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixace.guide.kinds import EFFECTS

LARGEST_EDGE = 2048  # of arrays between effects; larger domains are held at this size
ROUNDING = 1e-3  # of a pixel: as much too small still counts as the whole number above

Values = Mapping[str, Any]  # arrays (..., n), by member
Domain = tuple[Any, Any]  # (width, height), numbers or arrays (...)


@dataclass(frozen=True)
class Step:
    """An effect without its numbers: what a compiled program depends on.

    Attributes:
        kind: one of `EFFECTS`.
        texts: its members that are words, with their names.
    """

    kind: str
    texts: tuple[tuple[str, str], ...] = ()

    def text(self, name: str, default: str) -> str:
        """The member of this name."""
        return dict(self.texts).get(name, default)


def whole(value: Any, xp: Any) -> Any:
    """Numbers without what follows their point."""
    return xp.trunc(value + xp.sign(value) * ROUNDING)


def pixels(value: Any, size: Any, xp: Any) -> Any:
    """Whole pixels: what is between -1 and 1 is a part of the size; 1 is one pixel."""
    return whole(xp.where(xp.abs(value) < 1, value * size, value), xp)


def pad_size(step: Step, values: Values, domain: Domain, xp: Any) -> tuple[Any, Any]:
    """Columns and rows that `pad` adds on each side; with `wrap`, no more than the picture has."""
    sizes = (xp.maximum(whole(values["size"][..., i], xp), 0) for i in range(2))
    if step.text("mode", "fill") == "wrap":
        sizes = (xp.minimum(size, edge) for size, edge in zip(sizes, domain, strict=True))
    across, down = sizes
    return across, down


def domain_after(step: Step, values: Values, domain: Domain, xp: Any) -> Domain:
    """The domain of what an effect makes of a picture.

    Args:
        step: the effect.
        values: its numbers (..., n). Where there is `active` (..., 1), and it is 0, the effect does nothing.
        domain: of the picture.
        xp: `numpy` or `jax.numpy`.
    """
    width, height = domain
    if step.kind == "pad":
        across, down = pad_size(step, values, domain, xp)
        new = width + 2 * across, height + 2 * down
    elif step.kind == "crop":
        new = pixels(values["value"][..., 2], width, xp), pixels(values["value"][..., 3], height, xp)
    elif EFFECTS[step.kind].resizes:
        new = whole(values["value"][..., 0], xp), whole(values["value"][..., 1], xp)
        if step.kind == "repeat":
            new = width * xp.maximum(new[0], 1), height * xp.maximum(new[1], 1)
    else:
        return domain
    new = xp.maximum(new[0], 1), xp.maximum(new[1], 1)
    if "active" in values:
        active = values["active"][..., 0] > 0
        return xp.where(active, new[0], width), xp.where(active, new[1], height)
    return new


def working_sizes(
    steps: Sequence[Step], values: Sequence[Values], source: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    """Sizes (height, width) of the arrays that hold a picture between effects: the largest domain of all epochs.

    Args:
        steps: the effects of a chain.
        values: their numbers, as arrays (epochs, n) or (n,) where they stay the same.
        source: (height, width) of the picture at the start.

    Returns:
        One size for each time that pixels must be there for an effect on colours after geometry was changed, in
        their order: what `chain.run` takes. Edges end at `LARGEST_EDGE`.
    """
    domain: Domain = np.float32(source[1]), np.float32(source[0])
    sizes, pending = [], False
    for step, numbers in zip(steps, values, strict=True):
        if EFFECTS[step.kind].group == "geometry":
            domain = domain_after(step, {name: np.asarray(v, np.float32) for name, v in numbers.items()}, domain, np)
            pending = True
        elif pending:
            width, height = (min(int(np.ceil(np.max(edge))), LARGEST_EDGE) for edge in domain)
            sizes.append((height, width))
            pending = False
    return tuple(sizes)
