"""What people and editors read of guide files, made of the table: the reference in Markdown, and a JSON schema."""

from collections.abc import Iterable, Iterator
from textwrap import fill
from typing import Any

from pixace.guide.effect_table import CONSTRAINTS, TRANSFORMS
from pixace.guide.expressions import CONSTANTS, FUNCTIONS, RANDOM
from pixace.guide.members import Block, Member
from pixace.guide.schema import json_schema, model_of
from pixace.guide.table import (
    CONSTRAINT,
    FEATURE,
    GUIDE,
    INIT,
    MODEL,
    OPTIMIZER,
    POSTPROC,
    PROCESSING,
    TARGET,
    TRANSFORM,
)
from pixace.guide.variables import GROUPS, MEANING

WIDTH = 120  # of lines, tables apart
_INTRODUCTION = """\
# Guide files: reference

This text is what `pixace guide --reference` prints; the table that it is made of also reads the files. Editors get the
same as a JSON schema from `pixace guide --schema`.

A guide file is YAML: keys with values, lists of which each entry begins with `- `. Unknown keys are errors. This one
asks for a strawberry, and looks at five views of the picture in each of 200 epochs:

```yaml
epochs: 200
targets:
- batch_size: 5
  features:
  - text: a photo of a strawberry
  transforms:
  - random_shift: -1 1
  - noise: .1*ti
postproc:
- blur: {kernel_size: 3, sigma: .35}
  end: 50%
```

## Values

- A number may be an expression, such as `1/3` or `.1*ti`. Those without variables are computed once. What draws random
  numbers draws them anew each time.
- Several numbers are a list, or a text with commas or else spaces between them: `[1, 0, .5]`, `1, 0, .5` and `1 0 .5`
  are the same. One number stands for all. Commas and spaces in brackets do not part, and an expression with spaces
  may be written as it is: `.1 if t < .5 else .2`. An expression may give them all: `[t, 0, ti]`.
- Sizes are width, then height.
- A time is the number of an epoch if it is whole, else a share of the time: `0.5` or `50%`. So `end: 1` is the second
  epoch, and `end: 1.0` the end. Both start and end are included.
- Files lie in the folder of the guide file, or one of `--allow_folder`. Addresses begin with http:// or https://.

An effect that has one value takes it as it is (`noise: .1`) or as a mapping (`noise: {value: .1, start: 50%}`); one
that has several takes a mapping, or its first value alone (`blur: 5`). What is _needed_ has no default.

Several files are merged from left to right. Later values win; targets, features, transforms, constraints and postproc
follow those of the files before, but targets of the same `name` are merged.
"""


def reference() -> str:
    """The reference as Markdown."""
    parts = [
        _INTRODUCTION,
        _section(GUIDE, "The file"),
        _section(MODEL, "models"),
        _section(OPTIMIZER, "optimizer"),
        _section(INIT, "init"),
        _section(TARGET, "targets"),
        _section(FEATURE, "features"),
        _section(TRANSFORM, "transforms", TRANSFORMS),
        _effects(TRANSFORMS),
        _section(CONSTRAINT, "constraints", CONSTRAINTS),
        _effects(CONSTRAINTS),
        _section(PROCESSING, "postproc", POSTPROC),
        _filled(
            "Its effects are those of `transforms` that keep the size; several in one entry work in this order: "
            f"{_words(POSTPROC)}."
        ),
        "",
        _expressions(),
    ]
    return "\n".join(parts)


def _section(block: Block, title: str, effects: Iterable[str] = ()) -> str:
    members = [member for member in block.members if member.name not in effects]
    return f"## {title}\n\n{block.doc}\n\n{_table(members)}"


def _effects(blocks: dict[str, Block]) -> str:
    return "\n".join(
        f"### {name}\n\n{block.doc[0].upper()}{block.doc[1:]}.{_about(block)}\n\n"
        + _table([member for member in block.members if member.name not in ("start", "end")])
        for name, block in blocks.items()
    )


def _about(block: Block) -> str:
    remarks = []
    if block.draws:
        remarks.append(" Each view gets another.")
    if block.resizes:
        remarks.append(" For transforms alone, as it changes the size.")
    if block.alias:
        remarks.append(f" `value` may be called `{block.alias}`.")
    return "".join(remarks)


def _table(members: Iterable[Member]) -> str:
    lines = ["| key | value | default | variables | meaning |", "|---|---|---|---|---|"]
    for member in members:
        cells = (f"`{member.name}`", _kind(member), _default(member), ", ".join(member.groups), member.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(member: Member) -> str:
    if member.kind == "choice":
        others = f" (also {_words(member.spelled)})" if member.spelled else ""
        return _words(member.choices) + others
    if member.kind in ("float", "int"):
        number = "whole number" if member.kind == "int" else "number"
        counts = " or ".join(map(str, member.lengths))
        return (f"{counts} {number}s" if member.lengths else number) + _bounds(member)
    return {
        "bool": "true or false",
        "time": "time",
        "interval": "whole number or number",
        "image": "file or address",
        "model": "name, file or folder",
        "place": "file or folder",
        "tensor": "nested lists",
        "vars": "names with numbers",
        "block": "mapping",
        "list": "list",
    }.get(member.kind, member.kind)


def _bounds(member: Member) -> str:
    if member.least is None:
        return ""
    return f" from {member.least:g}" + ("" if member.most is None else f" to {_plain(member.most)}")


def _default(member: Member) -> str:
    if member.required:
        return "_needed_"
    if member.default is None or member.default in ((), {}):
        return ""
    value = member.default
    if isinstance(value, tuple):
        return " ".join(map(_plain, value))
    return _plain(value)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _expressions() -> str:
    rows = "\n".join(f"| {group} | `{names}` | {doc} |" for group, names, doc in MEANING)
    about = (
        "What Python has for computing: `+ - * / // % **`, comparisons, `and or not`, `a if c else b`, lists, `[i]`, "
        "and tables such as `{0: 8, 1: 16}.get(int(t*2), 32)`. The tables above say which groups of variables each key "
        f"may use: {_words(GROUPS)}. The constants of `vars` may be used everywhere."
    )
    names = {"Constants": CONSTANTS, "Functions": sorted(FUNCTIONS), "Random": RANDOM}
    paragraphs = [_filled(f"{title}: {_words(words)}.") for title, words in names.items()]
    head = ["## Expressions", _filled(about), f"| group | variable | value |\n|---|---|---|\n{rows}"]
    return "\n\n".join([*head, *paragraphs])


def _filled(text: str) -> str:
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def editor_schema() -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of guide files, both notations of effects in it."""
    schema = model_of(GUIDE).model_json_schema()
    blocks = {block.name: block for block in _blocks(GUIDE)}
    for name, block in blocks.items():
        definition = schema if block is GUIDE else schema["$defs"][name]
        properties = definition["properties"]
        for member in block.members:
            _tidy(member, properties[member.name])
        if block.alias:
            properties[block.alias] = properties["value"]
            definition.pop("required", None)  # one of the two
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for member in block.members:
        if member.block is not None:
            yield from _blocks(member.block)


def _tidy(member: Member, schema: dict[str, Any]) -> None:
    """Take out what pydantic says of absent members, and put in what may stand for a mapping."""
    schema.pop("title", None)
    if member.default is None:
        schema.pop("default", None)
    if member.block is None or not member.block.bare:
        return
    first = member.block.member(member.block.bare[0])
    assert first is not None
    mapping = {"$ref": f"#/$defs/{member.block.name}"}
    holder = schema["items"] if member.kind == "list" else schema
    for key in ("$ref", "allOf"):
        holder.pop(key, None)
    holder["anyOf"] = [json_schema(first), mapping]
