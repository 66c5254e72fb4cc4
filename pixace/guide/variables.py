"""The variables of expressions: four groups, of which each number of a guide file may use some."""

from collections.abc import Callable, Mapping
from typing import Any

POWERS = (2, 3, 4, 5)

TIME = frozenset(
    {"epoch", "time", "t", "epoch_f", "time_inverse", "ti", "time_step", "ts"}
    | {f"{name}{power}" for name in ("time", "t", "time_inverse", "ti") for power in POWERS}
)
RESOLUTION = frozenset({"resolution", "res", "width", "height"})
LEARNRATE = frozenset({"learnrate", "lr", "learnrate_scale", "lrs"})
SIMILARITY = frozenset({"similarity", "sim"})
GROUPS: Mapping[str, frozenset[str]] = {
    "time": TIME,
    "resolution": RESOLUTION,
    "learnrate": LEARNRATE,
    "similarity": SIMILARITY,
}
EVERYWHERE = frozenset().union(*GROUPS.values())
# What people read: each variable with its other names, and what it is.
MEANING: tuple[tuple[str, str, str], ...] = (
    ("time", "epoch", "number of the epoch, from 0"),
    ("time", "time, t, epoch_f", "epoch / (epochs - 1): 0 in the first epoch, 1 in the last"),
    ("time", "time2 to time5, t2 to t5", "powers of t"),
    ("time", "time_inverse, ti", "1 - t"),
    ("time", "time_inverse2 to time_inverse5, ti2 to ti5", "powers of ti"),
    (
        "time",
        "time_step(a, b), ts(a, b)",
        "0 until t = a, then rising to 1 at t = b; falling if b < a; a jump if a = b",
    ),
    ("resolution", "resolution, res", "[width, height] of the picture in this epoch"),
    ("resolution", "width, height", "the same, each by itself"),
    ("learnrate", "learnrate, lr", "rate of the optimiser in this epoch: base rate * learnrate_scale * learnrate"),
    ("learnrate", "learnrate_scale, lrs", "learnrate_scale in this epoch"),
    (
        "similarity",
        "similarity, sim",
        "100 * cosine of view and feature; in a target or constraint, mean of its features",
    ),
)


def time_values(epoch: int, epochs: int) -> dict[str, Any]:
    """The values of `TIME` in one of so many epochs; `ts` is a function of two shares of the time."""
    t = epoch / max(1, epochs - 1)
    ramp = _ramp(t)
    found: dict[str, Any] = {"epoch": epoch, "epoch_f": t, "time_step": ramp, "ts": ramp}
    for value, names in ((t, ("time", "t")), (1 - t, ("time_inverse", "ti"))):
        for name in names:
            found |= {name: value, **{f"{name}{power}": value**power for power in POWERS}}
    return found


def _ramp(t: float) -> Callable[[float, float], float]:
    def ramp(start: float, end: float) -> float:
        if end < start:
            return 1.0 - ramp(end, start)
        if start == end:
            return float(t >= start)
        return min(max((t - start) / (end - start), 0.0), 1.0)

    return ramp


def resolution_values(width: int, height: int) -> dict[str, Any]:
    """The values of `RESOLUTION` for a picture of this size in pixels."""
    return {"resolution": [width, height], "res": [width, height], "width": width, "height": height}


def learnrate_values(rate: float, scale: float) -> dict[str, float]:
    """The values of `LEARNRATE`: the optimiser's rate, everything included, and `learnrate_scale` alone."""
    return {"learnrate": rate, "lr": rate, "learnrate_scale": scale, "lrs": scale}


def similarity_values(similarity: Any) -> dict[str, Any]:
    """The values of `SIMILARITY`, which is 100 times a cosine."""
    return dict.fromkeys(SIMILARITY, similarity)
