"""What the files of a download were when they first came: `record.json` beside them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from pixace.folders import write_atomically
from pixace.zoo.index import Entry, File

RECORD = "record.json"


@dataclass
class Record:
    """What came at first: the hub's commit, each file's size and SHA-256, and whether these are all files."""

    source: str
    commit: str | None = None
    files: dict[str, File] = field(default_factory=dict)
    whole: bool = False


def read_record(folder: Path, entry: Entry) -> Record:
    """The record of an entry; an empty one if there is none, or it is of another source."""
    try:
        raw = json.loads((folder / RECORD).read_text(encoding="utf8"))
        record = Record(raw["source"], raw["commit"], {f["name"]: File(**f) for f in raw["files"]}, raw["whole"])
    except (OSError, ValueError, TypeError, KeyError):
        return Record(entry.source)
    return record if record.source == entry.source else Record(entry.source)


def write_record(folder: Path, record: Record) -> None:
    """Keep the record beside the files; raises `PixaceError` if it cannot be written."""
    content = {
        "source": record.source,
        "commit": record.commit,
        "whole": record.whole,
        "files": [vars(file) for file in record.files.values()],
    }
    write_atomically(folder / RECORD, lambda path: path.write_text(json.dumps(content, indent=2) + "\n"))
