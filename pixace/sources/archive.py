"""Pictures in zip and tar archives, read without unpacking them to disk; WebDataset's shards are such archives."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixace.errors import PixaceError
from pixace.images import SUFFIXES
from pixace.progress import Progress
from pixace.sources.archive_files import Entry, entries, guarded_entries, in_one_line
from pixace.sources.source import Picture, folder_classes, state_of

MAX_LABEL_BYTES = 1024
REPORT_EVERY = 1000  # entries


class Archives:
    """A `Source`: one archive, or several that belong together, read one after another.

    Classes are those of WebDataset where there are files such as `x.cls` beside `x.jpg`, else the folders'.
    """

    classes = ()

    def __init__(self, text: str, files: Sequence[Path]):
        self.text, self._files = text, files
        shared = os.path.commonpath([file.parent for file in files])
        self._prefixes = [f"{os.path.relpath(file, shared)}/" if len(files) > 1 else "" for file in files]
        self._places: dict[str, int] = {}  # of the pictures; of several of one name, the last counts, as in unpacking
        self._labels: dict[str, str | None] = {}

    def fingerprint(self) -> str:
        """Path, size and date of each archive."""
        return "\0".join(f"{file.resolve()}\0{state_of(file)}" for file in self._files)

    def count(self, progress: Progress) -> int:
        """Goes through the archives once, for the names of their pictures and for their classes."""
        places: dict[str, int] = {}
        bare: dict[str, str] = {}  # the names without the archive's
        classes: dict[str, str] = {}
        megabytes = [max(1, file.stat().st_size >> 20) for file in self._files]
        for i, (file, prefix) in enumerate(zip(self._files, self._prefixes, strict=True)):
            with in_one_line(self._called(file)):
                for j, entry in enumerate(guarded_entries(file)):
                    name = _clean(entry.name)
                    if name and name.lower().endswith(SUFFIXES):
                        places[prefix + name], bare[prefix + name] = entry.place, name
                    elif name and name.endswith(".cls") and entry.size <= MAX_LABEL_BYTES:
                        text = _content(entry)
                        if isinstance(text, bytes):
                            classes[prefix + _key(name)] = text.decode("utf8", "replace").strip()
                    if j % REPORT_EVERY == REPORT_EVERY - 1:
                        done = sum(megabytes[:i]) + min(entry.place >> 20, megabytes[i])
                        progress(done, sum(megabytes) + 1, f"MB listed, {len(places)} pictures")
        if not places:
            raise PixaceError(f"no pictures ({', '.join(suffix[1:] for suffix in SUFFIXES)}) in {self.text}")
        if classes:
            labels = [classes.get(_key(name)) for name in places]
        else:
            labels = folder_classes([bare[name] for name in places])
        self._places, self._labels = places, dict(zip(places, labels, strict=True))
        return len(places)

    def pictures(self) -> Iterator[Picture]:
        """The content of the pictures, in the order in which they lie there; `count` comes first."""
        for file, prefix in zip(self._files, self._prefixes, strict=True):
            with in_one_line(self._called(file)):
                for entry in entries(file):
                    name = prefix + (_clean(entry.name) or "")
                    if self._places.get(name) == entry.place:
                        yield Picture(name, _content(entry), self._labels[name])

    def _called(self, file: Path) -> str | Path:
        """What an archive is called in errors: as it was given, where it is one alone."""
        return self.text if len(self._files) == 1 else file


def _clean(name: str) -> str | None:
    """The path of an entry as of an unpacked file; None for hidden entries, and for what a Mac adds of its own."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    return "/".join(parts)


def _key(name: str) -> str:
    """What the files of one WebDataset sample share: the path up to the first point in the file's own name."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _content(entry: Entry) -> bytes | PixaceError:
    try:
        return entry.read()
    except PixaceError as error:
        return error
