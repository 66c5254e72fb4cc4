"""Pictures from anywhere as one uint16 memory map of tokens, and the batch of each step.

Pictures are tokenised once; the result lies in the cache folder under a name made from the state of their
source (paths, sizes and dates) and from the tokenizer's configuration. Which pictures a step sees is a pure
function of the seed and the step, so that going on after an interruption needs nothing but the step.

Legend: N pictures, B batch, T tokens a picture.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL

from pixace.config import TokenizerConfig
from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically
from pixace.progress import Progress, silent
from pixace.sources.finding import find_source
from pixace.sources.source import Source, number_classes
from pixace.tokenising import tokenise

# To be raised when the same pictures give other tokens, the same tokens in another order, or a cache of other files.
CACHE_VERSION = 3  # since 3 a cache also holds names, classes and errors


@dataclass(frozen=True)
class TokenSet:
    """Tokens (N, T) uint16, perhaps a memory map, with what is known of their pictures.

    Attributes:
        tokens: one row a picture.
        skipped: what was left out: (name, reason).
        facts: of each picture its `label`, `error` and `name`, as `pixace.tokenising` describes them; None where
            nothing is known.
        classes: the names of the classes, of which a label is the place; label -1 stands for none.
    """

    tokens: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()
    facts: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def labels(self) -> np.ndarray:
        """The class of each picture, int32 (N,)."""
        return np.full(len(self), -1, np.int32) if self.facts is None else self.facts["label"]

    def name(self, row: int) -> str:
        """What a picture is called in its source, or its number."""
        return str(row) if self.facts is None else os.fsdecode(self.facts["name"][row])

    def part(self, rows: slice) -> "TokenSet":
        """Some of the pictures; nothing is copied, and what was left out is not told again."""
        return TokenSet(self.tokens[rows], (), None if self.facts is None else self.facts[rows], self.classes)

    def with_classes(self, classes: Sequence[str]) -> "TokenSet":
        """The same pictures, their labels being places in `classes`; -1 for a class that is not among them."""
        if self.facts is None:
            return dataclasses.replace(self, classes=tuple(classes))
        names = [self.classes[label] if label >= 0 else None for label in self.labels]
        facts = np.array(self.facts)
        facts["label"] = number_classes(names, classes)[0] if classes else -1
        return dataclasses.replace(self, facts=facts, classes=tuple(classes))


def load_tokens(
    source: str | os.PathLike,
    config: TokenizerConfig,
    *,
    without: str | os.PathLike | None = None,
    validation: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TokenSet:
    """The tokens of all pictures of a source, from the cache if nothing changed, as a memory map.

    The pictures lie in an order made from their names, which looks random, so that any part of them is a fair
    sample. Those that cannot be read are left out and listed in `skipped`. Processes that do this at the same
    time do the work twice but do not harm one another.

    Args:
        source: a folder, archive, parquet file or `tfds:NAME`, as `pixace.sources.finding.find_source` takes it.
        config: how a picture becomes tokens.
        without: of a folder, a folder inside it whose pictures are left out, such as those to validate with.
        validation: the pictures are to validate with: where the source has splits and none is said, it is not train.
        cache: folder of the caches (default: `tokens` in pixace's cache folder).
        progress: gets the number of pictures that are done.

    Raises:
        PixaceError: if the source is missing, holds no picture that can be read, or the cache cannot be written.
    """
    found = find_source(source, without=without, validation=validation)
    base = (cache or cache_folder() / "tokens") / _digest(found, config)
    cached = _read(base)
    if cached is None:
        _fill(base, found, config, progress)
        cached = _read(base)
    if cached is None:
        raise PixaceError(f"{base}.npy was damaged while it was written; is another program working there?")
    return cached


def _digest(source: Source, config: TokenizerConfig) -> str:
    """What the name of a cache is made from: all that the tokens hang on, short of reading the pictures."""
    settings = [CACHE_VERSION, PIL.__version__, dataclasses.asdict(config)]
    return hashlib.sha256(json.dumps(settings).encode() + b"\n" + os.fsencode(source.fingerprint())).hexdigest()[:32]


def _files(base: Path) -> tuple[Path, Path, Path]:
    """Where the tokens, the facts about their pictures, and the header of a cache lie."""
    return base.with_suffix(".npy"), base.with_suffix(".facts.npy"), base.with_suffix(".json")


def _read(base: Path) -> TokenSet | None:
    """A cache, or None if it is not there or not whole."""
    tokens_file, facts_file, header_file = _files(base)
    try:
        header = json.loads(header_file.read_text())
        tokens, facts = (np.load(file, mmap_mode="r") for file in (tokens_file, facts_file))
        skipped = tuple((name, why) for name, why in header["skipped"])
        return TokenSet(tokens, skipped, facts, tuple(header["classes"])) if len(tokens) == len(facts) else None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _fill(base: Path, source: Source, config: TokenizerConfig, progress: Progress) -> None:
    """Write a cache: the header comes last, each file in one step, so that a header means a whole cache."""
    tokens_file, facts_file, header_file = _files(base)
    known = tokenise(source, config, tokens_file, progress)
    write_atomically(facts_file, lambda path: _save(path, known.facts))
    facts = {"source": source.text, "tokenizer": dataclasses.asdict(config)}
    header = json.dumps({**facts, "skipped": known.skipped, "classes": known.classes}, indent=1)
    write_atomically(header_file, lambda path: path.write_text(header))


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def split(tokens: TokenSet, fraction: float) -> tuple[TokenSet, TokenSet]:
    """Hold out a share of the pictures: (training, validation); nothing is copied.

    Validation gets the front of the order that `load_tokens` made from the names: the same pictures each time,
    and mostly the same ones when some pictures are added. Both sides have all the classes.

    Raises:
        PixaceError: if one of the two sides would be empty.
    """
    count = round(len(tokens) * fraction)
    if not 0 < count < len(tokens):
        raise PixaceError(f"--val_fraction={fraction} of {len(tokens)} pictures leaves one side empty")
    training = dataclasses.replace(tokens.part(slice(count, None)), skipped=tokens.skipped)
    return training, tokens.part(slice(count))


def batch_at(
    tokens: np.ndarray, step: int, *, batch_size: int, seed: int, flip: bool = False, width: int | None = None
) -> np.ndarray:
    """The batch of a step (0, 1, ...): uint16 (B, T), a pure function of its arguments.

    Every picture of `tokens` (N, T) comes once an epoch, in a new order each epoch; batches go on over the end
    of an epoch, so that their size changes nothing in the order of pictures. With `flip`, half of the pictures
    are mirrored left to right; `width` is the number of pixels in a row (default: of a square picture).
    The labels of the same pictures are those of `batch_at(labels, step, ...)` without `flip`: (B,).
    """
    place, stop = step * batch_size, (step + 1) * batch_size
    rows, mirrored = [], []
    while place < stop:
        epoch, within = divmod(place, len(tokens))
        part = slice(within, within + stop - place)
        order, sides = _epoch(len(tokens), seed, epoch)
        rows.append(order[part])
        mirrored.append(sides[part])
        place += len(rows[-1])
    batch = np.asarray(tokens[np.concatenate(rows)])
    if flip:
        chosen = np.concatenate(mirrored)
        pictures = batch.reshape(batch_size, -1, width or math.isqrt(batch.shape[1]))
        pictures[chosen] = pictures[chosen, :, ::-1]
    return batch


@lru_cache(maxsize=2)
def _epoch(count: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an epoch in their order, and which of them may be mirrored; both (N,)."""
    random = np.random.default_rng([seed, epoch])
    return random.permutation(count), random.random(count) < 0.5
