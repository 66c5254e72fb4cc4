"""How many 8-bit colours share a token: what its likelihood leaves open about the picture itself.

A model of tokens becomes a model of 8-bit pictures when every colour in a token's cell is taken as equally likely.
Its bits a dimension are then

    (bits a token + mean of log2 |cell of the token|) / 3,

which may stand beside those of models of 8-bit pixels. The best model of 8-bit pictures with these probabilities
of tokens is at least as good, so the figure is an upper bound.
"""

import contextlib

import numpy as np

from pixace.config import TokenizerConfig
from pixace.dataset import CACHE_VERSION
from pixace.errors import PixaceError
from pixace.folders import cache_folder, write_atomically
from pixace.progress import Progress, silent
from pixace.tokenizer import Tokenizer

COLOURS = 2**24
PICTURES_AT_ONCE = 256


def cell_sizes(config: TokenizerConfig, progress: Progress = silent) -> np.ndarray:
    """The number of 8-bit colours that the tokenizer gives each id: int64 (V,), 2**24 in all.

    The tokenizer itself encodes every colour, once; the result is kept in the cache folder.
    """
    bits = "-".join(map(str, config.bitdepth))
    file = cache_folder() / "cells" / f"{config.tokenizer}-{bits}-v{CACHE_VERSION}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # not there, or not whole
        found = np.load(file)
        if found.shape == (config.vocab_size,) and found.dtype == np.int64 and found.sum() == COLOURS:
            return found
    sizes = count_cells(config, progress)

    def write(path) -> None:
        with open(path, "wb") as out:
            np.save(out, sizes)

    with contextlib.suppress(PixaceError):  # it is counted again the next time
        write_atomically(file, write)
    return sizes


def count_cells(config: TokenizerConfig, progress: Progress = silent) -> np.ndarray:
    """Like `cell_sizes`, without the cache."""
    tokenizer = Tokenizer(config)
    green, blue = (plane.reshape(-1) for plane in np.mgrid[:256, :256].astype(np.uint8))
    colours = np.stack([np.zeros_like(green), green, blue], axis=-1)
    sizes = np.zeros(config.vocab_size, np.int64)
    for red in range(256):
        colours[:, 0] = red
        sizes += np.bincount(tokenizer.encode_rgb(colours), minlength=config.vocab_size)
        progress(red + 1, 256)
    return sizes


def cell_bits(tokens: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean log2 of the cell sizes over the tokens of each picture: (N, T) to float64 (N,)."""
    bits = np.log2(np.maximum(sizes, 1))
    parts = range(0, len(tokens), PICTURES_AT_ONCE)
    return np.concatenate([bits[np.asarray(tokens[i : i + PICTURES_AT_ONCE])].mean(axis=1) for i in parts])
