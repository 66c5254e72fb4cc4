"""What a source of pictures is, and how the classes that pictures belong to are named and numbered."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pixace.errors import PixaceError
from pixace.opening import PictureSource
from pixace.progress import Progress


class Picture(NamedTuple):
    """One picture of a source: its name there, its content or why that cannot be read, and its class if it has one."""

    name: str
    content: PictureSource | PixaceError
    label: str | None


class Source(Protocol):
    """Pictures that are read one after another, in the order that is quickest.

    `text` is the source as people wrote it, `classes` the names of its classes, in the order of their numbers,
    where the source itself says them, and else ().
    """

    text: str
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        """All that the pictures, their names and their classes hang on, without reading the pictures."""
        ...

    def count(self, progress: Progress) -> int:
        """The number of pictures; raises `PixaceError` if there are none. A tar archive is gone through for it."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """All pictures; names are unique."""
        ...


def fair_order(names: Sequence[str]) -> np.ndarray:
    """The order (N,) by which any part of the pictures is a fair sample: it hangs on the names alone."""
    digests = [hashlib.sha256(os.fsencode(name)).digest() for name in names]
    return np.array(sorted(range(len(names)), key=digests.__getitem__), np.intp)


def folder_classes(names: Sequence[str]) -> list[str | None]:
    """The class of each picture by its path: the first folder below the root, if all pictures lie in such folders.

    Where one folder holds all these folders, as in an archive of `pictures/CLASS/x.jpg`, it is taken for the root.
    """
    folders = [name.split("/")[:-1] for name in names]
    if all(len(parts) >= 2 and parts[0] == folders[0][0] for parts in folders):
        folders = [parts[1:] for parts in folders]
    if all(folders):
        return [parts[0] for parts in folders]
    return [None] * len(names)


def number_classes(labels: Sequence[str | None], known: Sequence[str] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as int32 (N,), -1 for none, and the names of the classes that the numbers stand for.

    The classes are the `known` ones; without them, those that occur, in alphabetical order, but a set of labels
    that are all whole numbers keeps these numbers.
    """
    found = {label for label in labels if label is not None}
    classes = tuple(known) or tuple(sorted(found))
    if not known and found and all(label.isdecimal() and label == str(int(label)) for label in found):
        largest = max(map(int, found))
        if largest < len(labels):
            classes = tuple(map(str, range(largest + 1)))
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([-1 if label is None else numbers.get(label, -1) for label in labels], np.int32), classes


def state_of(path: Path) -> str:
    """Size and date of a file: what changes when it is written anew."""
    try:
        status = path.stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    except OSError:  # it has just gone; reading it will say so
        return "missing"
