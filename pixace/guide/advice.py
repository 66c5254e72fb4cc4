"""What a guide file says that is allowed, but may mean something else than it seems to."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pixace.guide.effect_table import TRANSFORMS
from pixace.guide.expressions import Expression
from pixace.guide.members import Block, Member
from pixace.guide.schema import Entry, Place
from pixace.guide.settings import Number
from pixace.guide.table import GUIDE, OURS
from pixace.guide.trying import Moments, failures
from pixace.guide.variables import SIMILARITY


def advise(document: Mapping[str, Any], model: BaseModel, at: Moments) -> list[tuple[Place, str]]:
    """Where one file should be looked at again, and why.

    Args:
        document: what it says, in one way.
        model: the same, validated.
        at: what expressions are tried out with.
    """
    found: list[tuple[Place, str]] = []
    for place, member, value in _walk(GUIDE, model, ()):
        found += [(place, why) for why in (*_remarks(place, member, value), *_doubts(member, value, at))]
    if not document.keys() & set(OURS):
        found += _changed_meanings(model)
    return found


def advise_on_whole(document: Mapping[str, Any], model: BaseModel) -> list[tuple[Place, str]]:
    """The same of what files may say together."""
    init, found = document.get("init", {}), _single_views(model)
    missing = [name for name in ("mean", "std") if name not in init]
    if init.get("image") and missing:
        why = "its colours are multiplied by std (0.1) and mean (0.5) is added; write mean: 0 and std: 1 to leave them"
        found.append((("init", "image"), f"without {' and '.join(missing)} {why}"))
    return found


def _walk(block: Block, model: Any, place: Place) -> Iterator[tuple[Place, Member, Any]]:
    """All values below a block, with where they are and what they are."""
    for member in block.members:
        value, here = getattr(model, member.name), (*place, member.name)
        if member.block is None:
            yield here, member, value
        elif isinstance(value, BaseModel):
            yield from _walk(member.block, value, here)
        elif isinstance(value, list):
            for i, each in enumerate(value):
                inner = each.model if isinstance(each, Entry) else each
                yield from _walk(member.block, inner, (*here, i))


def _remarks(place: Place, member: Member, value: Any) -> Iterator[str]:
    if place[-2:] == ("random_shift", "value"):
        yield from _mixed(value)
    elif type(value) is int and member.kind == "interval" and value:
        yield f"is {value} epochs since it is a whole number; write {value}.0 for seconds"
    elif type(value) is int and member.kind == "time" and (member.name, value) == ("end", 1):
        yield "is epoch 1, not the end; write 1.0 or 100% for the end"


def _doubts(member: Member, value: Any, at: Moments) -> Iterator[str]:
    """What is odd about the expressions among some numbers."""
    numbers = value if isinstance(value, tuple) else (value,)
    for expression in {number.source: number for number in numbers if isinstance(number, Expression)}.values():
        if wrong := failures(member, expression, at):
            times = " and ".join(f"t = {share:g}" for share in wrong)
            yield f"cannot be used at {times}: {next(iter(wrong.values()))}"
        if expression.draws and expression.names & SIMILARITY:
            yield "draws its random numbers once and for all, as it has a similarity in it"


def _changed_meanings(model: Any) -> list[tuple[Place, str]]:
    """What CLIPig did otherwise than files for it say by the letter: the first place of each."""
    limits, crops = [], []
    for place, member, value in _walk(GUIDE, model, ()):
        if place[-2:] in (("center_crop", "value"), ("random_crop", "value")) and not _square(value):
            crops.append((place, "is width, then height; CLIPig took them the other way round"))
        elif member.name in ("above", "below") and value is not None:
            why = "is a limit, which colours may keep beyond; CLIPig pulled to it from both sides (compat: clipig)"
            limits.append((place, why))
    return [*limits[:1], *crops[:1]]


def _square(size: Any) -> bool:
    return len({number.source if isinstance(number, Expression) else number for number in size}) == 1


def _mixed(value: tuple[Number, ...]) -> Iterator[str]:
    """Why a range of `random_shift` has draws that mean shares and others that mean pixels."""
    for low, high in zip(value[::2], value[1::2], strict=True):
        if isinstance(low, Expression) or isinstance(high, Expression):
            continue
        if max(abs(low), abs(high)) > 1 and min(low, high) < 1 and max(low, high) > -1:
            yield (
                f"draws from {low:g} to {high:g}, of which those below 1 are shares of the size and others pixels; "
                "keep all on one side, as 0 to 1 or 1 to 5"
            )


def _single_views(model: Any) -> list[tuple[Place, str]]:
    found: list[tuple[Place, str]] = []
    for i, target in enumerate(model.targets):
        if target.batch_size > 1 and not any(map(_differs, target.transforms)):
            why = (
                f"its {target.batch_size} views are all alike, as no transform is random; add one, such as random_shift"
            )
            found.append((("targets", i, "batch_size"), why))
    return found


def _differs(entry: Entry) -> bool:
    """Whether an entry of transforms makes views different from each other."""
    return any(_draws(getattr(entry.model, kind), kind) for kind in entry.kinds)


def _draws(effect: BaseModel, kind: str) -> bool:
    block = TRANSFORMS[kind]
    values = [getattr(effect, member.name) for member in block.members]
    numbers = [number for value in values for number in (value if isinstance(value, tuple) else (value,))]
    return block.draws or any(isinstance(number, Expression) and number.draws for number in numbers)
