"""The pictures of a source, decoded in parallel, as one .npy file of tokens, with their classes.

Legend: N pictures, T tokens a picture.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixace.config import TokenizerConfig
from pixace.errors import PixaceError
from pixace.folders import write_atomically
from pixace.progress import Progress
from pixace.sources.source import Picture, Source, fair_order, number_classes
from pixace.threads import in_threads
from pixace.tokenizer import Tokenizer

CHUNK = 16  # pictures a thread takes at a time
CHUNK_BYTES = 32 * 2**20  # and fewer where their files are large
BLOCK = 4096  # pictures put in order at a time


@dataclass(frozen=True)
class Tokenised:
    """What is known of the pictures in a file of tokens.

    Attributes:
        facts: structured (N,): `label` int32, the number of its class or -1; `error` float32, the mean squared error
            in levels of 255 that its tokens make of it; `name` in its source, as the file system has it.
        classes: the names of the classes.
        skipped: what was left out: (name, reason).
    """

    facts: np.ndarray
    classes: tuple[str, ...]
    skipped: list[tuple[str, str]]


def tokenise(source: Source, config: TokenizerConfig, target: Path, progress: Progress) -> Tokenised:
    """Write the tokens of all pictures, uint16 (N, T), to `target` in their fair order; the file is whole or absent.

    Raises:
        PixaceError: if there is no picture that can be read, or the file cannot be written.
    """
    tokenizer, total = Tokenizer(config), source.count(progress)
    names: list[str] = []
    labels: list[str | None] = []
    errors: list[np.ndarray] = []
    skipped: list[tuple[str, str]] = []
    order: list[int] = []

    def work(pictures: list[Picture]) -> tuple[np.ndarray, np.ndarray, list[Picture], list[tuple[str, str]]]:
        squares, good, bad = [], [], []
        for picture in pictures:
            try:
                if isinstance(picture.content, PixaceError):
                    raise picture.content
                squares.append(tokenizer.read(picture.content))
                good.append(picture._replace(content=b""))
            except PixaceError as error:
                bad.append((picture.name, _reason(error, picture)))
        if not good:
            return np.empty((0, config.n_tokens), np.uint16), np.empty(0, np.float32), good, bad
        rgb = np.stack(squares)
        tokens = tokenizer.encode_rgb(rgb)
        return tokens.reshape(len(good), -1), _errors(rgb, tokenizer.decode_tokens(tokens)), good, bad

    def write(path: Path) -> None:
        # Read in the order that suits the source, then put in the order that the names ask for.
        with tempfile.TemporaryFile(dir=path.parent) as rows, open(path, "wb") as out:
            with contextlib.closing(in_threads(work, _chunks(source.pictures()))) as done:
                for tokens, of_tokens, good, bad in done:
                    rows.write(tokens.astype("<u2", copy=False).tobytes())
                    errors.append(of_tokens)
                    names.extend(picture.name for picture in good)
                    labels.extend(picture.label for picture in good)
                    skipped.extend(bad)
                    progress(len(names) + len(skipped), total, f"{len(skipped)} skipped" if skipped else "")
            skipped.sort()
            if not names:
                name, why = skipped[0]
                raise PixaceError(
                    f"none of the {total} pictures in {source.text} could be read; the first: {name}: {why}"
                )
            rows.flush()
            order[:] = fair_order(names)
            table = np.memmap(rows, "<u2", "r", shape=(len(names), config.n_tokens))
            np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(table))
            for start in range(0, len(order), BLOCK):
                out.write(table[order[start : start + BLOCK]].tobytes())

    write_atomically(target, write)
    numbers, classes = number_classes([labels[i] for i in order], source.classes)
    stored = [os.fsencode(names[i]) for i in order]
    kind = [("label", "<i4"), ("error", "<f4"), ("name", f"S{max(map(len, stored))}")]
    facts = np.empty(len(order), kind)
    facts["label"], facts["error"], facts["name"] = numbers, np.concatenate(errors)[order], stored
    return Tokenised(facts, classes, skipped)


def _reason(error: PixaceError, picture: Picture) -> str:
    """Why a picture cannot be read, for a line that begins with its name."""
    text = str(error)
    for called in (str(picture.content), "the picture"):
        if text.startswith(f"{called} "):
            return f"it {text.removeprefix(f'{called} ')}"
    return text


def _errors(pictures: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Mean squared error of each picture, both uint8 (N, S, S, 3), in levels of 255: float32 (N,)."""
    apart = pictures.astype(np.int16) - copies
    return np.mean(np.square(apart, dtype=np.int32), axis=(1, 2, 3)).astype(np.float32)


def _chunks(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """The pictures in parts for one thread each."""
    part: list[Picture] = []
    size = 0
    for picture in pictures:
        part.append(picture)
        size += len(picture.content) if isinstance(picture.content, bytes) else 0
        if len(part) >= CHUNK or size >= CHUNK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
