"""pydantic's models of guide files, made of the table: unknown keys are errors, and all errors are found at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pixace.errors import PixaceError
from pixace.guide.context import Context
from pixace.guide.converting import convert
from pixace.guide.effect_table import CONSTRAINTS, TRANSFORMS
from pixace.guide.members import Block, Member
from pixace.guide.table import GUIDE, PROCESSING
from pixace.guide.trying import shown

Place = tuple[str | int, ...]  # keys and indices, from the top


@dataclass(frozen=True)
class Entry:
    """An entry of a list of effects, with the order of its keys.

    Attributes:
        model: what it says, as the pydantic model of the list's entries.
        kinds: its effects, as they follow each other in the file.
    """

    model: Any
    kinds: tuple[str, ...]


def validate(document: Mapping[str, Any], context: Context) -> tuple[Any, list[tuple[Place, str]]]:
    """A document as pydantic's model of the table's `GUIDE`; or None, and where it is wrong and why."""
    try:
        return model_of(GUIDE).model_validate(document, context=context), []
    except ValidationError as error:
        return None, [(fault["loc"], _reason(fault)) for fault in error.errors(include_url=False)]


@cache
def model_of(block: Block) -> type[BaseModel]:
    """pydantic's model of a block."""
    fields: dict[str, Any] = {}
    for member in block.members:
        if member.required:
            default = Field(description=member.doc)
        elif member.default is None:
            default = Field(default=None, description=member.doc)
        else:
            default = Field(default=member.default, validate_default=True, description=member.doc)
        fields[member.name] = (_annotation(member), default)
    checks: dict[str, Any] = {}
    if block.name in _CHECKS:
        checks["whole"] = model_validator(mode="after")(_checking(_CHECKS[block.name]))
    return create_model(
        block.name,
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=block.doc,
        __validators__=checks,
        **fields,
    )


def _annotation(member: Member) -> Any:
    if member.block is None:
        return Annotated[Any, PlainValidator(_converting(member)), WithJsonSchema(json_schema(member))]
    model = model_of(member.block)
    if member.kind == "block":
        return model
    return list[Annotated[model, WrapValidator(_in_order)] if member.block.ordered else model]


def _converting(member: Member) -> Callable[[Any, ValidationInfo], Any]:
    def check(raw: Any, info: ValidationInfo) -> Any:
        try:
            return convert(member, raw, info.context or Context())
        except PixaceError as error:
            raise PydanticCustomError("guide", "{why}", {"why": str(error)}) from None

    return check


def _in_order(raw: Any, handler: Callable[[Any], BaseModel]) -> Entry:
    model = handler(raw)
    return Entry(model, tuple(key for key in raw if isinstance(getattr(model, key), BaseModel)))


def _checking(reason: Callable[[Any], str | None]) -> Callable[[Any], Any]:
    def check(self: Any) -> Any:
        if why := reason(self):
            raise PydanticCustomError("guide", "{why}", {"why": why})
        return self

    return check


def _feature(feature: Any) -> str | None:
    return None if feature.text or feature.image else "a feature needs text or image"


def _limits(constraint: Any) -> str | None:
    if constraint.above is None and constraint.below is None:
        return "above or below must be given, or both"
    return None


def _guide(guide: Any) -> str | None:
    if guide.model is not None and guide.models is not None:
        return "give model or models, not both"
    weights = [model.weight for model in guide.models or ()]
    if weights and (min(weights) < 0 or sum(weights) == 0):
        return "models: their weights must be 0 or more, and one above 0"
    return None


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "Feature": _feature,
    "Guide": _guide,
    **{block.name: _limits for block in CONSTRAINTS.values() if block.member("above")},
}


def path_of(place: Place) -> str:
    """A place as people write it, such as `targets[0].transforms[2].blur.sigma`; empty at the top.

    The one member of an effect is not named: files rarely do.
    """
    named = place[:-1] if place[-1:] == ("value",) else place
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part:.60}" for part in named).removeprefix(".")


def _reason(fault: Any) -> str:
    place, raw = fault["loc"], fault["input"]
    if fault["type"] == "extra_forbidden":
        return _unknown(place)
    if fault["type"] == "missing":
        block = _block_at(place[:-1])
        member = block.member(str(place[-1])) if block else None
        return f"is missing{f': {member.doc}' if member else ''}"
    if fault["type"] in ("model_type", "dict_type", "model_attributes_type"):
        block = _block_at(place)
        keys = f" ({', '.join(member.name for member in block.members[:4])} ...)" if block else ""
        return f"must be a mapping of keys to values{keys}, not {shown(raw)}"
    if fault["type"] == "list_type":
        return f"must be a list, each entry of which begins with '- ', not {shown(raw)}"
    return str(fault["msg"])


def _unknown(place: tuple[int | str, ...]) -> str:
    name, block = str(place[-1]), _block_at(place[:-1])
    if block is None:
        return "unknown key"
    if block is PROCESSING and name in TRANSFORMS:
        return f"{name} changes the size of what it gets, so that it is for transforms alone"
    near = get_close_matches(name, [member.name for member in block.members], 1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; {_keys(block)}"


def _keys(block: Block) -> str:
    return f"there are {', '.join(member.name for member in block.members)}"


def _block_at(place: tuple[int | str, ...]) -> Block | None:
    block: Block | None = GUIDE
    for part in place:
        if isinstance(part, str) and block is not None:
            member = block.member(part)
            block = member.block if member else None
    return block


def json_schema(member: Member) -> dict[str, Any]:
    """The JSON schema of a member without block: what editors take for right. Expressions are text."""
    number = {"type": "integer" if member.kind == "int" else "number"}
    formula = {"type": "string", "description": "an expression"}
    found: dict[str, Any]
    if member.kind in ("float", "int"):
        choices: list[dict[str, Any]] = [number, formula]
        if member.lengths:
            items = {"anyOf": [number, formula]}
            choices.append({"type": "array", "items": items, "minItems": 1, "maxItems": max(member.lengths)})
        found = {"anyOf": choices}
    elif member.kind in ("time", "interval"):
        found = {"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]}
    elif member.kind == "choice":
        found = {"type": "string", "enum": [*member.choices, *member.spelled]}
    elif member.kind == "tensor":
        found = {"type": "array", "minItems": 3, "maxItems": 3}
    elif member.kind == "vars":
        found = {"type": "object", "additionalProperties": {"anyOf": [number, formula]}}
    else:
        found = {"type": "boolean" if member.kind == "bool" else "string"}
    return {"anyOf": [found, {"type": "null"}]} if member.nullable else found
