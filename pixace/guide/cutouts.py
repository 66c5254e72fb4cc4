"""Views cut out at random, noisy: what keeps a picture from pleasing a CLIP in one way of looking at it only."""

from pixace.guide.expressions import parse
from pixace.guide.settings import Effect
from pixace.guide.variables import RESOLUTION

SMALLEST = 0.35  # of the shorter edge
NOISE = 0.1  # the most


def cutout_effects(view: int) -> tuple[Effect, ...]:
    """Crops of `SMALLEST` to all of the picture's edge, a little wider or higher than square, as `view` x `view` pixels
    with noise of a strength that differs from one to the next."""
    edge = parse(f"min(width, height) * uniform({SMALLEST}, 1)", RESOLUTION)
    strength = parse(f"{NOISE} * random()")

    def effect(kind: str, *value: object) -> Effect:
        return Effect(kind, {"value": value}, {}, 0.0, 1.0, f"cutouts.{kind}")  # type: ignore[dict-item]

    return effect("random_crop", edge, edge), effect("resize", view, view), effect("bwnoise", strength)
