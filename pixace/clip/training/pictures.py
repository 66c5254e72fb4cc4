"""What a CLIP learns from: pictures with what may be said of them, in families, and the batch of each step.

Variants of one picture, such as another skin tone, are a family. One in ten is held out whole, by the rule that the
drawing model's split has (`zoo/emoji.py`), and of each of the others one variant in five, but never the plainest one.

Legend: N pictures, B batch, E edge in pixels, K captions a picture at most, T tokens.
"""

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from pixace.clip.training.augmenting import vary_pictures
from pixace.clip.training.captions import SIDED, captions, colours_of, plain, vary
from pixace.clip.training.config import ClipTraining
from pixace.clip.training.names import name_of_file, read_names
from pixace.clip.words import Words
from pixace.dataset import batch_at
from pixace.errors import PixaceError
from pixace.opening import MAX_PIXELS, opened
from pixace.progress import Progress
from pixace.sources.finding import find_source
from pixace.sources.source import Picture
from pixace.threads import in_threads
from pixace.zoo.emoji import HELD_OUT_OF, family

VARIANT_OF = 5  # one variant in so many is held out
SPELT = 0.03  # of the words of a batch are given letter by letter, so that unknown words can be read too


class Batch(NamedTuple):
    """Pictures uint8 (B, E, E, 3), tokens int32 (B, T) of a text for each, and which texts are true of which pictures:
    bool (B pictures, B texts)."""

    pictures: np.ndarray
    tokens: np.ndarray
    matches: np.ndarray


@dataclass(frozen=True)
class Material:
    """Pictures and their names.

    Attributes:
        files, names: of the N pictures.
        rgba: uint8 (N, E, E, 4).
        families: the number of each picture's family, int (N,).
        family_names: of the families.
        train, variants, unseen: numbers of the pictures to learn from, of held-out variants of families that are
            learned from, and of those of held-out families.
        texts: all captions.
        said, shares: numbers of each picture's captions (N, K), -1 for none, and how often they are to be said.
        skipped: what could not be read: (name, reason).
    """

    files: list[str]
    names: list[str]
    rgba: np.ndarray
    families: np.ndarray
    family_names: list[str]
    train: np.ndarray
    variants: np.ndarray
    unseen: np.ndarray
    texts: list[str]
    said: np.ndarray
    shares: np.ndarray
    skipped: tuple[tuple[str, str], ...]

    @cached_property
    def learned(self) -> list[np.ndarray]:
        """The pictures to learn from, family by family."""
        return _members(self.families, self.train)

    def batch(self, step: int, training: ClipTraining, words: Words) -> Batch:
        """What step (0, 1, ...) shows: each family comes once before one comes again, with any of its variants."""
        size, random = training.batch_size, np.random.default_rng([training.seed, 1, step])
        chosen = batch_at(np.arange(len(self.learned)), step, batch_size=size, seed=training.seed)
        rows = np.array([random.choice(self.learned[group]) for group in chosen])
        # The place in each row of shares, which add up to 1, that a random number falls on.
        places = (np.cumsum(self.shares[rows], 1) < random.random((size, 1))).sum(1)
        texts = self.said[rows, np.minimum(places, (self.said[rows] >= 0).sum(1) - 1)]
        matches = (self.said[rows][:, :, None] == texts).any(1)
        flip = [not SIDED.search(self.names[row]) for row in rows]
        share = training.varied * min(1.0, step / max(1, training.n_easy))
        pictures = vary_pictures(self.rgba[rows], flip, random, share)
        varied = [vary(self.texts[text], random) for text in texts]
        spelt = [word for text in varied for word in text.lower().split() if random.random() < SPELT]
        return Batch(pictures, words.tokenize(varied, spelt), matches)


def load_material(training: ClipTraining, edge: int, progress: Progress) -> Material:
    """Read the pictures of a run, as squares of `edge` pixels.

    Raises:
        PixaceError: they, or the table of their names, cannot be read; or they have fewer than two names.
    """
    source = find_source(str(training.images))
    table = read_names(str(training.images), training.names)
    total = source.count(progress)
    files, names, squares, skipped = [], [], [], []

    def read(picture: Picture) -> tuple[str, np.ndarray | PixaceError]:
        try:
            return picture.name, _square(picture, edge)
        except PixaceError as error:
            return picture.name, error

    with contextlib.closing(in_threads(read, _named(source.pictures(), table))) as found:
        for file, square in found:
            if isinstance(square, PixaceError):
                skipped.append((file, str(square)))
            else:
                base = PurePosixPath(file).name
                files.append(base)
                names.append(table.get(base) or name_of_file(base))
                squares.append(square)
            progress(len(files) + len(skipped), total)
    if len(set(names)) < 2:
        why = f"; {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise PixaceError(f"{training.images} has pictures of {len(set(names))} names; at least 2 are needed{why}")
    order = sorted(range(len(files)), key=lambda i: (files[i], names[i]))
    return arrange(
        [files[i] for i in order],
        [names[i] for i in order],
        np.stack([squares[i] for i in order]),
        training.hold_out,
        tuple(skipped),
    )


def arrange(
    files: list[str],
    names: list[str],
    rgba: np.ndarray,
    hold_out: bool,
    skipped: tuple[tuple[str, str], ...] = (),
) -> Material:
    """Families, what is held out, and captions. The arguments are as `Material` has them."""
    keys = [
        family(file) if file.startswith("emoji_u") else name.lower() for file, name in zip(files, names, strict=True)
    ]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    families = np.array([numbers[key] for key in keys])
    held = np.array([hold_out and _one_in(HELD_OUT_OF, key) for key in keys])
    family_names, variants, people = [""] * len(numbers), np.zeros(len(files), bool), np.zeros(len(files), bool)
    for rows in _members(families, np.arange(len(files))):
        plainest = min(rows, key=lambda row: (len(files[row]), files[row]))
        family_names[families[plainest]] = plain(names[plainest])
        people[rows] = any(plain(names[row]) != names[row] for row in rows)
        for row in rows:
            variants[row] = hold_out and row != plainest and not held[row] and _one_in(VARIANT_OF, files[row])
    if len(set(families[~held])) < 2:
        held[:] = False  # of so few names none can be spared
    own = [  # of people no colours are told
        captions(name, family_names[families[row]], [] if people[row] else colours_of(rgba[row]))
        for row, name in enumerate(names)
    ]
    texts = {text: i for i, text in enumerate(dict.fromkeys(text.lower() for said in own for text, _ in said))}
    most = max(map(len, own))
    said, shares = np.full((len(own), most), -1), np.zeros((len(own), most))
    for row, entries in enumerate(own):
        said[row, : len(entries)] = [texts[text.lower()] for text, _ in entries]
        shares[row, : len(entries)] = [share for _, share in entries]
    shares /= shares.sum(1, keepdims=True)
    rows = np.arange(len(files))
    parts = rows[~held & ~variants], rows[variants], rows[held]
    return Material(files, names, rgba, families, family_names, *parts, list(texts), said, shares, skipped)


def _named(pictures: Iterator[Picture], table: dict[str, str]) -> Iterator[Picture]:
    """Where there is a table, the pictures that it names."""
    return (picture for picture in pictures if not table or PurePosixPath(picture.name).name in table)


def _members(families: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    found = defaultdict(list)
    for row in rows:
        found[families[row]].append(row)
    return [np.array(members) for members in found.values()]


def _one_in(count: int, key: str) -> bool:
    return int.from_bytes(hashlib.sha256(key.encode("utf8", "surrogateescape")).digest()[:8]) % count == 0


def _square(picture: Picture, edge: int) -> np.ndarray:
    """A picture, uint8 (E, E, 4); what is not square stands in the middle of nothing."""
    if isinstance(picture.content, PixaceError):
        raise picture.content
    with opened(picture.content, MAX_PIXELS, 20.0) as found:
        whole = found.convert("RGBA")
    largest = max(whole.size)
    square = Image.new("RGBA", (largest, largest))
    square.paste(whole, ((square.width - whole.width) // 2, (square.height - whole.height) // 2))
    return np.array(square.resize((edge, edge), Image.Resampling.LANCZOS))
