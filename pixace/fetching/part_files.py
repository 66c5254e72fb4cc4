"""A file that is still coming: what has come of it, and what it is a part of."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """What is known of the file that a part is of, so that only more of the same is put behind it."""

    url: str
    validator: str | None  # what If-Range takes: a strong ETag or a date
    total: int | None
    told_sha256: str | None
    commit: str | None


class PartFile:
    """The file that grows, and beside it a note of what it is a part of."""

    def __init__(self, path: Path):
        self.path = path
        self.file = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")

    def size(self) -> int:
        """Bytes that have come."""
        try:
            return self.file.stat().st_size
        except OSError:
            return 0

    def source(self, url: str) -> Source | None:
        """What the part is of, if it is of `url` and can be gone on with."""
        if not self.size():
            return None
        try:
            source = Source(**json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return source if source.url == url and source.validator else None

    def begin(self, source: Source) -> None:
        """Forget what was there; in this order, so that a note never stands beside a part of something else."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(json.dumps(asdict(source)))

    def discard(self) -> None:
        """Remove the part and its note."""
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give it its name."""
        with open(self.file, "rb") as file:
            os.fsync(file.fileno())
        self.file.replace(self.path)
        self.note.unlink(missing_ok=True)
