"""Texts as tokens without any library: whole words that are known, the bytes of those that are not.

Tokens are 0 (nothing), 1 (a text begins), one for each byte, one for each word, and the last one (it ends).
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pixace.errors import PixaceError
from pixace.folders import write_atomically

WORD_LIST = "words.json"  # lies beside the weights
KIND = "words"
BEGIN, FIRST_BYTE = 1, 2
FIRST_WORD = FIRST_BYTE + 256
_PIECES = re.compile(r"\w+|[^\w\s\-]")  # "medium-dark" is two words


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, and its other signs one by one."""
    return _PIECES.findall(unicodedata.normalize("NFKC", text).lower())


@dataclass(frozen=True)
class Words:
    """A vocabulary.

    Attributes:
        words: those that are known, in the order of their tokens.
        length: tokens of a text, those that begin and end it included; longer texts are cut.
    """

    words: tuple[str, ...]
    length: int

    @property
    def size(self) -> int:
        """Number of tokens."""
        return FIRST_WORD + len(self.words) + 1

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: FIRST_WORD + i for i, word in enumerate(self.words)}

    def tokenize(self, texts: Sequence[str], spelt: Iterable[str] = ()) -> np.ndarray:
        """Tokens, int32 (B, length), of any texts.

        Args:
            texts: B of them.
            spelt: words that are taken as bytes although they are known.
        """
        found, bytewise = np.zeros((len(texts), self.length), np.int32), set(spelt)
        for row, text in zip(found, texts, strict=True):
            ids = [BEGIN]
            for word in split_words(text):
                known = None if word in bytewise else self._places.get(word)
                spelling = [FIRST_BYTE + byte for byte in word.encode("utf8", "replace")]
                ids += spelling if known is None else [known]
            ids = [*ids[: self.length - 1], self.size - 1]
            row[: len(ids)] = ids
        return found

    def save(self, folder: Path) -> None:
        """Write `words.json`."""
        text = json.dumps({"kind": KIND, "format": 1, "length": self.length, "words": self.words})
        write_atomically(folder / WORD_LIST, lambda path: path.write_text(text + "\n", "utf8"))


def known_words(texts: Iterable[str]) -> tuple[str, ...]:
    """All words of some texts, in alphabetical order."""
    return tuple(sorted({word for text in texts for word in split_words(text)}))


def load_words(file: Path) -> Words:
    """Read `words.json`; raises `PixaceError` if it is damaged."""
    try:
        raw = json.loads(file.read_text("utf8"))
        words, length = raw["words"], raw["length"]
        good = raw["kind"] == KIND and raw["format"] == 1 and type(length) is int and length >= 3
        good = good and isinstance(words, list) and all(isinstance(word, str) for word in words)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PixaceError(f"{file} cannot be read: {error}") from None
    if not good:
        raise PixaceError(f"{file} is no vocabulary of words as `pixace clip train` writes it")
    return Words(tuple(words), length)
