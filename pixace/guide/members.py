"""What the table of guide files is made of: members with their kinds, and blocks of members."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "float",
    "int",
    "bool",
    "text",
    "choice",
    "time",
    "interval",
    "image",
    "model",
    "place",
    "tensor",
    "vars",
    "block",
    "list",
]
TIME_ONLY = ("time",)
SIZED = ("time", "resolution")
RUNNING = (*SIZED, "learnrate")
COMPARED = (*RUNNING, "similarity")


@dataclass(frozen=True, eq=False)
class Member:
    """One key of a block.

    Attributes:
        name: the key.
        kind: what its value is. `time` is a frame time, `interval` epochs or seconds, `place` a file to write,
            `model` a CLIP, `tensor` colours as nested lists, `vars` names with constants.
        doc: one line for people.
        default: as a file would write it; None if the member is absent where it is not given.
        required: it must be given.
        lengths: how many numbers it has, the first where one is given for all; () for a number by itself.
        groups: of variables that its expressions may use.
        choices: of a word.
        spelled: other spellings of choices, lower case.
        least, most: bounds of its numbers, both inclusive.
        nullable: null may be given and means that it is not.
        block: what a block, or each entry of a list, holds.
    """

    name: str
    kind: Kind
    doc: str
    default: Any = None
    required: bool = False
    lengths: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    spelled: Mapping[str, str] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None
    nullable: bool = False
    block: "Block | None" = None


@dataclass(frozen=True, eq=False)
class Block:
    """A mapping in a guide file.

    Attributes:
        name: for messages and schema, such as `Target`.
        doc: one line for people.
        members: its keys.
        bare: the members that a value without a mapping stands for: as many of it, or else the first.
        alias: another key for the member `value`.
        draws: the effect differs from view to view.
        resizes: the effect changes the size of what it gets, so that it cannot work on the picture itself.
        ordered: the entry of a list of effects, the keys of which have an order.
    """

    name: str
    doc: str
    members: tuple[Member, ...]
    bare: tuple[str, ...] = ()
    alias: str = ""
    draws: bool = False
    resizes: bool = False
    ordered: bool = False

    def member(self, name: str) -> Member | None:
        """The member of that name."""
        return next((member for member in self.members if member.name == name), None)
