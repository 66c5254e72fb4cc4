"""Prepared sets of TensorFlow Datasets, read without TensorFlow: `tfds:NAME[/CONFIG][:VERSION][/SPLIT]`."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import expanded
from pixace.progress import Progress
from pixace.sources.source import Picture, state_of

FORMAT = "array_record"
INSTALL = "pip install '.[tfds]'"
INFO = "dataset_info.json"
VERSION = re.compile(r"\d+\.\d+\.\d+")
FOR_VALIDATION = ("validation", "test")
FORM = "tfds:NAME[/CONFIG][:VERSION][/SPLIT], such as tfds:cifar10/train[:10%]"


class TfdsSplit:
    """A `Source`: the pictures of a split, with the classes that the set declares."""

    def __init__(self, text: str, validation: bool):
        self.text, self._tfds = text, _load(text)
        folder, split = _locate(text, self._tfds)
        self._builder = self._open(folder)
        self._split = split or self._usual_split(validation)
        features = dict(sorted(self._builder.info.features.items()))  # their own order differs from run to run
        images = {name: f for name, f in features.items() if type(f) is self._tfds.features.Image}
        labels = {name: f for name, f in features.items() if type(f) is self._tfds.features.ClassLabel}
        self._image = "image" if "image" in images else next(iter(images), None)
        self._label = "label" if "label" in labels else next(iter(labels), None)
        if self._image is None:
            raise PixaceError(f"{text}: the set holds no pictures; its features are {', '.join(features)}")
        if np.dtype(images[self._image].np_dtype).kind == "f":
            raise PixaceError(f"{text}: the set's {self._image} is an array of floats, which is no picture here")
        self.classes = tuple(labels[self._label].names) if self._label else ()
        # What is skipped comes as the bytes of its file: pictures are opened as all others are.
        self._decoders = dict.fromkeys(images, self._tfds.decode.SkipDecoding())

    def _open(self, folder: Path) -> Any:
        """The set in a folder of a version."""
        try:
            builder = self._tfds.builder_from_directory(str(folder))
            formats = sorted(str(found.value) for found in builder.info.available_file_formats())
        except Exception as error:  # whatever a damaged or very old set makes it raise
            raise PixaceError(f"{self.text}: {folder} cannot be read: {_one_line(error)}") from error
        if FORMAT not in formats:
            info = builder.info
            name = f"{info.name}/{info.config_name}" if info.config_name else info.name
            raise PixaceError(
                f"{self.text} is prepared as {' and '.join(formats)} in {folder}, not as {FORMAT}, which alone is read "
                "here; prepare it anew in another folder, and name that in $TFDS_DATA_DIR: "
                + _command(f"{name}:{info.version}", Path("ANOTHER_FOLDER"))
            )
        return builder

    def _usual_split(self, validation: bool) -> str:
        splits = list(self._builder.info.splits)
        for name in FOR_VALIDATION if validation else ("train",):
            if name in splits:
                return name
        raise PixaceError(f"{self.text}: say which split: {', '.join(f'{self.text}/{name}' for name in splits)}")

    def fingerprint(self) -> str:
        """The split, and the name, size and date of each file of the set."""
        folder = Path(self._builder.data_dir)
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return "\0".join([str(folder.resolve()), self._split, *(f"{file.name}\0{state_of(file)}" for file in files)])

    def count(self, progress: Progress) -> int:
        """The number of records of the split."""
        splits = self._builder.info.splits
        try:
            found = splits[self._split].num_examples
        except (ValueError, KeyError, AssertionError) as error:
            there = ", ".join(f"{name} ({info.num_examples} pictures)" for name, info in splits.items())
            raise PixaceError(f"{self.text}: there is no split {self._split!r}, but {there}") from error
        if not found:
            raise PixaceError(f"no pictures in {self.text}")
        return found

    def pictures(self) -> Iterator[Picture]:
        """The records, named by their places in the split."""
        try:
            records = self._builder.as_data_source(self._split, decoders=self._decoders, file_format=FORMAT)
        except Exception as error:  # of a file that is missing or no array_record file, almost anything
            raise PixaceError(f"{self.text} cannot be read: {_one_line(error)}; prepare it again") from error
        for i in range(len(records)):
            try:
                record = records[i]
            except Exception as error:  # of a damaged record, too
                yield Picture(str(i), PixaceError(f"the record cannot be read: {_one_line(error)}"), None)
                continue
            number = -1 if self._label is None else int(record[self._label])
            yield Picture(str(i), bytes(record[self._image]), self.classes[number] if number >= 0 else None)


def _load(text: str) -> ModuleType:
    if find_spec("tensorflow_datasets") is None or find_spec("array_record") is None:
        raise PixaceError(f"{text} needs TensorFlow Datasets and array_record: {INSTALL}")
    import tensorflow_datasets

    if not hasattr(tensorflow_datasets, "builder_from_directory"):  # it logs what went wrong and goes on
        raise PixaceError(f"{text}: TensorFlow Datasets cannot be imported; install it anew: {INSTALL}")
    return tensorflow_datasets


def _locate(text: str, tfds: ModuleType) -> tuple[Path, str | None]:
    """The folder of the set's version, and the split if one is said."""
    home = expanded(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    parts = text.removeprefix("tfds:").split("/")
    name, version = _split_version(parts[0])
    folder, rest = home / name, parts[1:]
    if not re.fullmatch(r"\w+", name) or len(rest) > 2 or "" in rest:
        raise PixaceError(f"{text} is not of the form {FORM}")
    if rest and version is None:  # the first may be a configuration, or already the split
        config, version = _split_version(rest[0])
        if version is not None or len(rest) == 2 or (folder / config).is_dir():
            folder, rest = folder / config, rest[1:]
    if len(rest) > 1:
        raise PixaceError(f"{text} is not of the form {FORM}")
    split = rest[0] if rest else None
    found = {path.name for path in folder.glob("*") if (path / INFO).is_file() and VERSION.fullmatch(path.name)}
    if version in found:
        return folder / str(version), split
    if version is not None and found:
        raise PixaceError(f"{text}: version {version} is not prepared in {folder}, but {', '.join(sorted(found))}")
    if found:
        return folder / max(found, key=lambda name: [int(part) for part in name.split(".")]), split
    raise PixaceError(_how_to_prepare(text, folder, home, version, tfds))


def _how_to_prepare(text: str, folder: Path, home: Path, version: str | None, tfds: ModuleType) -> str:
    """Why no set was found, and what to do."""
    configs = sorted({path.parent.parent.name for path in folder.glob(f"*/*/{INFO}")})
    if configs:
        options = ", ".join(f"tfds:{folder.name}/{name}" for name in configs)
        return f"{text}: the set is prepared in several configurations: say which one: {options}"
    full = folder.relative_to(home)
    known, name = tfds.list_builders(with_community_datasets=False), full.parts[0]
    if name not in known:
        close = get_close_matches(name, known + [path.name for path in home.glob("*")], 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{text}: there is no set {name} in {home} ($TFDS_DATA_DIR), and TensorFlow Datasets knows none{hint}"
    wanted = full.as_posix() + (f":{version}" if version else "")
    return (
        f"{text} is not prepared in {home} ($TFDS_DATA_DIR); prepare it once, where TensorFlow is installed, too "
        f"({INSTALL} tensorflow): {_command(wanted, home)}"
    )


def _command(name: str, home: Path) -> str:
    """What prepares a set. TensorFlow Datasets' own command needs Apache Beam as well."""
    options = f"data_dir='{home}', file_format='{FORMAT}'"
    return f"python -c \"import tensorflow_datasets as t; t.builder('{name}', {options}).download_and_prepare()\""


def _split_version(part: str) -> tuple[str, str | None]:
    """`name:1.2.3` as name and version; other text as it is."""
    name, _, version = part.rpartition(":")
    return (name, version) if VERSION.fullmatch(version) and name else (part, None)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
