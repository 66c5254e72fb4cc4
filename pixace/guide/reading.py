"""Guide files: one or several become the settings of a run, or one error that lists all that is wrong in them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixace.errors import ConfigError
from pixace.folders import expanded
from pixace.guide.advice import advise, advise_on_whole
from pixace.guide.building import document_of, guide_of
from pixace.guide.constants import read_constants
from pixace.guide.context import Context
from pixace.guide.dialects import unified
from pixace.guide.documents import STDIN, name_of, read_document
from pixace.guide.expressions import LARGEST
from pixace.guide.members import Block
from pixace.guide.merging import merge, override
from pixace.guide.outputs import base_name
from pixace.guide.schema import Entry, Place, path_of, validate
from pixace.guide.settings import Guide
from pixace.guide.table import GUIDE
from pixace.guide.trying import printable
from pixace.sheets import check_format

MOST_FAULTS = 20  # that a message lists
COMMAND_LINE = "the command line"


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        guide: the settings of a run.
        document: the same as one file would say it, complete with defaults and expressions as they were written.
        warnings: what is allowed but may mean something else than it seems to, each with file, place and advice.
        base_name: the file for the picture, if nothing of this name is there yet.
    """

    guide: Guide
    document: dict[str, Any]
    warnings: list[str]
    base_name: str


def read_guides(
    files: Sequence[str | Path],
    overrides: Mapping[str, str] | None = None,
    output: str | None = None,
    folders: Sequence[str | Path] = (),
) -> Read:
    """Guide files, merged from left to right.

    Args:
        files: paths; `-` is standard input.
        overrides: values by path, such as {"targets[0].batch_size": "4"}; they win over the files.
        output: file or folder (ending with /) for the picture; wins over the files.
        folders: besides that of each file, folders in which the pictures that it names may lie.

    Raises:
        PixaceError: a file cannot be read.
        ConfigError: something in them is wrong; all of it is listed, each with file, place and reason.
    """
    if not files:
        raise ConfigError("which guide files? `-` reads one from standard input")
    others = tuple(expanded(folder) for folder in folders)
    names = ", ".join(map(name_of, files))
    documents = [unified(read_document(file)) for file in files]
    together: dict[str, Any] = {}
    for document in documents:
        together = merge(together, document)
    overrides = overrides or {}
    together = _changed(together, overrides)

    warnings: list[str] = []
    faults: list[str] = []
    merged: dict[str, Any] = {}
    named = None
    for file, document in zip(files, documents, strict=True):
        folder = Path.cwd() if str(file) == STDIN else expanded(file).absolute().parent
        context = _context(names, together, folder, others)
        model, wrong = validate(document, context)
        faults += _lines(name_of(file), wrong)
        if model is not None:
            warnings += _lines(name_of(file), advise(document, model, context.moments))
            merged = merge(merged, _settled(GUIDE, document, model))
            named = model.output
    _refuse(faults)
    name = base_name(str(files[-1]), named, output or overrides.get("output"))
    check_format(name)
    return _finished(names, merged, overrides, warnings, name)


def read_again(document: Mapping[str, Any], picture: str, overrides: Mapping[str, str] | None = None) -> Read:
    """What was read once, from its `Read.document`, which names files by absolute paths, wherever they are.

    Args:
        document: the document.
        picture: the file for the picture, which messages name, too.
        overrides: values by path.

    Raises:
        ConfigError: something in it, or in the overrides, is wrong.
    """
    return _finished(picture, unified(document), overrides or {}, [], picture)


def _changed(document: dict[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    for path, text in overrides.items():
        try:
            document = override(document, path, text)
        except ConfigError as error:
            raise ConfigError(f"{COMMAND_LINE}: {path}: {error}") from None
    return document


def _finished(
    names: str, document: dict[str, Any], overrides: Mapping[str, str], warnings: list[str], picture: str
) -> Read:
    """What files say together, with what the command line changes."""
    document = _changed(document, overrides)
    model, wrong = validate(document, _context(names, document))
    _refuse(_lines(COMMAND_LINE if overrides else names, wrong))
    guide = guide_of(model)
    if guide.start_epoch >= guide.epochs:
        raise ConfigError(f"{names}: start_epoch: {guide.start_epoch} must be below epochs, which are {guide.epochs}")
    return Read(guide, document_of(GUIDE, model), warnings + _lines(names, advise_on_whole(document, model)), picture)


def _context(
    names: str, document: Mapping[str, Any], folder: Path | None = None, others: Sequence[Path] = ()
) -> Context:
    """What values are read with, where all files together say `document`."""
    try:
        constants = read_constants(document.get("vars", {}))
    except ConfigError as error:
        raise ConfigError(f"{names}: vars: {error}") from None
    epochs = document.get("epochs")
    epochs = epochs if isinstance(epochs, int) and 0 < epochs <= LARGEST else 300
    return Context(folder, others, constants, epochs, random.Random(str(document.get("seed", 0))))


def _settled(block: Block, document: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """A document of one way in which files are named by their absolute paths, as its valid model has them."""
    found = dict(document)
    for member in block.members:
        if member.name not in found:
            continue
        value, known = found[member.name], getattr(model, member.name)
        if member.kind in ("image", "model"):
            found[member.name] = known
        elif member.block and member.kind == "list":
            found[member.name] = [
                _settled(member.block, each, inner.model if isinstance(inner, Entry) else inner)
                for each, inner in zip(value, known, strict=True)
            ]
        elif member.block:
            found[member.name] = _settled(member.block, value, known)
    return found


def _lines(name: str, remarks: Sequence[tuple[Place, str]]) -> list[str]:
    return [printable(f"{name}: {path_of(place)}: {why}" if place else f"{name}: {why}") for place, why in remarks]


def _refuse(faults: list[str]) -> None:
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        raise ConfigError("\n".join([*faults[:MOST_FAULTS], *more]))
