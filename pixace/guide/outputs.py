"""What the files of a run are called, never overwriting another's, and the record that is written beside a picture."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pixace.folders import expanded
from pixace.guide.documents import STDIN

USUAL_RECORD, RECORD = ".yaml", ".record.yaml"


def base_name(file: str, named: str | None, output: str | None = None) -> str:
    """The file for the picture of a run, if nothing of this name is there yet.

    Args:
        file: the last guide file.
        named: what it calls its output, if anything: a file, or a folder that is there or ends with /.
        output: what the command line does.
    """
    name = _in_folder(_slashed(named or "./"), file)
    if output:
        output = _slashed(output)
        name = output + Path(name).name if output.endswith("/") else output
    return name if Path(name).suffix else f"{name}.png"


def _slashed(name: str) -> str:
    return name if name.endswith("/") or not os.path.isdir(expanded(name)) else f"{name}/"


def _in_folder(name: str, file: str) -> str:
    if not name.endswith("/"):
        return name
    return name + ("output" if file == STDIN else Path(file).stem) + ".png"


def unused(name: str, beside: Sequence[str] = ()) -> Path:
    """An absolute path that nothing is at: the name itself, or with -1, -2 ... before its ending.

    Numbers are never used again: the next is above all that the folder has, whatever their endings.

    Args:
        name: of the picture.
        beside: endings of files that will lie beside it, such as `.gif`, at which there must be nothing, too.
    """
    path = Path(os.path.abspath(expanded(name)))
    if not any(map(os.path.lexists, (path, *(path.with_name(path.stem + ending) for ending in beside)))):
        return path
    stem, number = path.stem, 0
    if split := re.fullmatch(r"(.+)-(\d+)", stem):
        stem, number = split[1], int(split[2])
    pattern = re.compile(re.escape(stem) + r"-(\d+)[._].*")
    taken = [int(match[1]) for other in path.parent.iterdir() if (match := pattern.fullmatch(other.name))]
    return path.with_name(f"{stem}-{max([number, *taken]) + 1}{path.suffix}")


def record_file(picture: Path) -> Path:
    """Where the record of a picture goes: `.yaml` in place of its ending, or `.record.yaml` where that is taken."""
    usual = picture.with_name(picture.stem + USUAL_RECORD)
    return picture.with_name(picture.stem + RECORD) if os.path.lexists(usual) else usual


def record(document: Mapping[str, Any], facts: Mapping[str, object], picture: Path) -> str:
    """The guide file that makes the same run again, to be written beside its picture.

    Args:
        document: a `Read`'s, in which everything is said.
        facts: what its head says of the run, by name.
        picture: absolute path of the picture. Files in its folder are named from there on.
    """
    folder = picture.parent
    whole = {"output": str(picture), **_relative({**document, "output": str(picture)}, folder)}
    head = [f"# {name}: {line}" for name, fact in facts.items() for line in str(fact).splitlines() or [""]]
    text = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, text])


def _relative(value: Any, folder: Path) -> Any:
    """A document in which pictures in a folder are named from there on."""
    if isinstance(value, Mapping):
        return {
            key: os.path.relpath(given, folder) if _lies_in(key, given, folder) else _relative(given, folder)
            for key, given in value.items()
        }
    return [_relative(each, folder) for each in value] if isinstance(value, list) else value


def _lies_in(key: str, given: Any, folder: Path) -> bool:
    return key == "image" and isinstance(given, str) and Path(given).is_relative_to(os.path.realpath(folder))


if TYPE_CHECKING:
    _Safe = yaml.SafeDumper
else:
    _Safe = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Safe):
    """Vectors in one line, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    flat = all(isinstance(each, str | int | float | list) for each in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


_Dumper.add_representer(list, _sequence)
