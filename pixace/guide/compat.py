"""What CLIPig's last version does beyond what its files say, for `compat: clipig`: it cuts colours off at 0 and 1.

Both of `saturation` and `contrast` are in each of its entries, unseen, and cut off even where they change nothing.
"""

from dataclasses import replace

from pixace.guide.kinds import EFFECTS
from pixace.guide.settings import Effect, Guide


def with_clamps(guide: Guide) -> Guide:
    """The guide with a `clamp` after each effect that may leave the range of colours."""
    targets = tuple(replace(target, transforms=_clamped(target.transforms)) for target in guide.targets)
    return replace(guide, targets=targets, postproc=_clamped(guide.postproc))


def _clamped(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    found: list[Effect] = []
    for effect in effects:
        found.append(effect)
        if EFFECTS[effect.kind].group != "geometry":
            path = effect.path + " clamp"
            found.append(Effect("clamp", {"value": (0.0, 1.0)}, {}, effect.start, effect.end, path))
    return tuple(found)
