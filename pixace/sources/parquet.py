"""Pictures in parquet files, as Hugging Face keeps sets of pictures: a column of files, and often one of labels."""

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pixace.errors import PixaceError
from pixace.progress import Progress
from pixace.sources.source import Picture, state_of

INSTALL = "pip install '.[parquet]'"
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "picture", "bytes", "jpg", "png"), ("label", "labels", "class", "cls")
ROWS = 16  # read at a time


class ParquetFiles:
    """A `Source`: the rows of one file, or of several that belong together, named by their numbers."""

    def __init__(self, text: str, files: Sequence[Path]):
        if find_spec("pyarrow") is None:
            raise PixaceError(f"{text} needs pyarrow: {INSTALL}")
        self.text, self._files = text, files
        self._schema = self._open(files[0]).schema_arrow
        features = _features(self._schema)
        self._image = self._image_column(features)
        self._label = next((name for name in LABEL_COLUMNS if name in self._schema.names), None)
        self.classes = tuple(features.get(self._label, {}).get("names") or ()) if self._label else ()

    def _open(self, file: Path) -> Any:
        import pyarrow
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise PixaceError(f"{file} is not a parquet file that can be read: {error}; is it complete?") from error

    def _image_column(self, features: dict[str, Any]) -> str:
        """The column that the file calls pictures, else one of the usual names, else the only one that can be."""
        told = [name for name, feature in features.items() if feature.get("_type") == "Image"]
        possible = [field.name for field in self._schema if _holds_bytes(field.type)]
        usual = [name for name in IMAGE_COLUMNS if name in possible]
        for names in (told, usual, possible):
            if names and (names is not possible or len(names) == 1):
                return names[0]
        raise PixaceError(
            f"{self.text}: which column holds pictures is not clear among {', '.join(self._schema.names)}"
        )

    def fingerprint(self) -> str:
        """Path, size and date of each file."""
        return "\0".join(f"{file.resolve()}\0{state_of(file)}" for file in self._files)

    def count(self, progress: Progress) -> int:
        """The number of rows."""
        total = sum(self._open(file).metadata.num_rows for file in self._files)
        if not total:
            raise PixaceError(f"no pictures in {self.text}")
        return total

    def pictures(self) -> Iterator[Picture]:
        """The rows, one after another."""
        import pyarrow

        row, columns = 0, [name for name in (self._image, self._label) if name is not None]
        for file in self._files:
            try:
                for batch in self._open(file).iter_batches(batch_size=ROWS, columns=columns):
                    contents = batch.column(self._image).to_pylist()
                    labels = batch.column(self._label).to_pylist() if self._label else [None] * len(contents)
                    for content, label in zip(contents, labels, strict=True):
                        yield Picture(str(row), _bytes_of(content), self._class_of(label))
                        row += 1
            except (pyarrow.ArrowException, OSError, KeyError) as error:
                raise PixaceError(f"{file} cannot be read to its end: {error}; is it complete?") from error

    def _class_of(self, label: Any) -> str | None:
        if isinstance(label, int) and self.classes:
            return self.classes[label] if 0 <= label < len(self.classes) else None
        return str(label) if isinstance(label, int | str) else None


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's library noted of the columns; nothing in other files."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _bytes_of(content: Any) -> bytes | PixaceError:
    if isinstance(content, dict):
        content = content.get("bytes")
    return content if isinstance(content, bytes) else PixaceError("the row holds no picture")
