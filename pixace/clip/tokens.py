"""Texts as CLIP's tokens: byte pairs, by the library that the files were made for.

A word's letters are joined pair by pair, as `merges.txt` ranks the pairs; its last token bears `</w>`. The pieces that
pairs are looked for in, and the lower case, are those of OpenAI's code (https://github.com/openai/CLIP).
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from pixace.errors import PixaceError

WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"""
START, END = "<|startoftext|>", "<|endoftext|>"


@cache
def read_pairs(vocabulary: Path, merges: Path, length: int) -> Callable[[list[str]], np.ndarray]:
    """What makes tokens, int32 (B, length), of texts: a start, the text, an end, then zeros. Longer texts are cut.

    Args:
        vocabulary, merges: the published `vocab.json` and `merges.txt`.
        length: of all texts in tokens.

    Raises:
        PixaceError: the library is not installed, or a file is damaged.
    """
    try:
        from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
        from tokenizers.models import BPE
    except ImportError:
        raise PixaceError("words for CLIP need tokenizers: pip install '.[clip]'") from None
    try:
        model = BPE.from_file(str(vocabulary), str(merges), end_of_word_suffix="</w>", unk_token=END)
    except Exception as error:  # the library has no class of its own for what is wrong with a file
        raise PixaceError(f"{vocabulary} and {merges.name} cannot be read as byte pairs: {error}") from None
    pairs = Tokenizer(model)
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    pairs.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])  # type: ignore[assignment]
    pieces = pre_tokenizers.Split(Regex(WORDS), "removed", invert=True)
    pairs.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    start, end = pairs.token_to_id(START), pairs.token_to_id(END)
    if start is None or end is None:
        raise PixaceError(f"{vocabulary} lacks {START} or {END}: it is not that of a CLIP")

    def tokenize(texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), length), np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = [start, *pairs.encode(text, add_special_tokens=False).ids[: length - 2], end]
            row[: len(ids)] = ids
        return found

    return tokenize
